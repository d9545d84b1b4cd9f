"""Each file of the package has its tests at the same place below ``tests``."""

from pathlib import Path

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "mmseg_gc"
# Where the tests of the others are. These grow with the package only where one command is made of
# several files.
OF_COMMANDS = {
    "cli/browse.py": "tools/test_browse_dataset.py",
    "cli/check.py": "tools/test_check_dataset.py",
    "cli/comparing/runs.py": "cli/test_compare.py",
    "cli/comparing/scoring.py": "cli/test_compare.py",
    "cli/convert.py": "cli/test_main.py",
    "cli/curves.py": "tools/test_analyze_logs.py",
    "cli/folder_layout.py": "cli/test_init.py",
    "cli/info.py": "cli/test_models.py",
    "cli/label.py": "tools/test_label.py",
    "cli/light_imports.py": "cli/test_main.py",
    "cli/report.py": "tools/test_report.py",
    "cli/split.py": "cli/test_init.py",
    "cli/test.py": "tools/test_train_and_test.py",
    "cli/train.py": "tools/test_train_and_test.py",
    "cli/converters/ade20k.py": "tools/test_convert_ade20k.py",
    "cli/converters/archives.py": "tools/test_convert_archives.py",
    "cli/converters/camvid.py": "tools/test_convert_camvid.py",
    "cli/converters/camvid_instances.py": "tools/test_camvid_instances.py",
    "cli/converters/cityscapes.py": "tools/test_convert_cityscapes.py",
    "cli/converters/common.py": "tools/test_convert_archives.py",
    "cli/converters/coco.py": "tools/test_convert_polygons.py",
    "cli/converters/coco_stuff.py": "tools/test_convert_published.py",
    "cli/converters/coco_stuff10k.py": "tools/test_convert_published.py",
    "cli/converters/coco_stuff164k.py": "tools/test_convert_published.py",
    "cli/converters/cvat.py": "tools/test_convert_polygons.py",
    "cli/converters/labelme.py": "tools/test_convert_polygons.py",
    "cli/converters/loveda.py": "tools/test_convert_published.py",
    "cli/converters/outlines.py": "tools/test_convert_polygons.py",
    "cli/converters/pascal_context.py": "tools/test_convert_published.py",
    "cli/converters/polygons.py": "tools/test_convert_polygons.py",
    "cli/converters/potsdam.py": "tools/test_convert_published.py",
    "cli/converters/tiles.py": "tools/test_convert_published.py",
    "cli/converters/vaihingen.py": "tools/test_convert_published.py",
    "cli/converters/yolo.py": "tools/test_convert_polygons.py",
    "cli/converters/sources.py": "tools/test_convert_archives.py",
    "cli/converters/voc_aug.py": "tools/test_convert_voc_aug.py",
    "cli/dataset_doctor/advice.py": "tools/test_dataset_advice.py",
    "cli/dataset_doctor/charts.py": "tools/test_check_dataset.py",
    "cli/dataset_doctor/diagnosis.py": "tools/test_check_dataset.py",
    "cli/dataset_doctor/findings.py": "tools/test_check_dataset.py",
    "cli/dataset_doctor/page.py": "tools/test_check_dataset.py",
    "cli/dataset_doctor/reading.py": "tools/test_check_dataset.py",
    "cli/dataset_doctor/splits.py": "tools/test_check_dataset.py",
    "cli/dataset_doctor/thumbnails.py": "tools/test_check_dataset.py",
    "deploy/hub.py": "cli/test_hub.py",
    # what `predict` is made of
    "apis/pixels.py": "apis/test_predict.py",
    "apis/predict_files.py": "apis/test_predict.py",
    "apis/videos.py": "apis/test_predict.py",
    # what `train` and `test` show
    "engine/console.py": "tools/test_screen.py",
    "engine/hooks/screen.py": "tools/test_screen.py",
    "engine/screen_text.py": "tools/test_screen.py",
    "visualization/curves.py": "engine/hooks/test_curves.py",
    # what `test --report` and `report` are made of
    "report/boundary.py": "report/test_figures.py",
    "report/charts.py": "report/test_page.py",
    "report/files.py": "report/test_page.py",
    "report/hook.py": "tools/test_report.py",
    "report/provenance.py": "tools/test_report.py",
    "report/request.py": "tools/test_report.py",
}
# All that these do shows in what their callers do. This list can only shrink.
OF_CALLERS = {
    "accelerate/cpu/memory.py": "accelerate/test_prepare.py",
    "checkpoint/addresses.py": "checkpoint/test_files.py",
    "checkpoint/http.py": "checkpoint/test_hostile_servers.py",
    "checkpoint/loading.py": "checkpoint/test_files.py",
    "checkpoint/numpy_pickles.py": "checkpoint/test_unpickler.py",
    "checkpoint/tensor_pickles.py": "checkpoint/test_unpickler.py",
    "checkpoint/torch_files.py": "checkpoint/test_unpickler.py",
    "config/check.py": "config/test_load.py",
    "config/check_settings.py": "config/test_load.py",
    "config/read.py": "config/test_load.py",
    "datasets/pairing.py": "datasets/test_base.py",
    "datasets/transforms/drawing.py": "engine/hooks/test_visualization.py",
    "engine/acceleration.py": "accelerate/test_blocked.py",
    "engine/saved_optimizer.py": "engine/test_resume.py",
}
TESTED_ELSEWHERE = OF_COMMANDS | OF_CALLERS


def test_every_file_has_its_tests():
    alone = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if path.name not in ("__init__.py", "__main__.py", "version.py")
        if not (TESTS / path.relative_to(PACKAGE)).with_name(f"test_{path.name}").exists()
    }
    assert alone - TESTED_ELSEWHERE.keys() == set(), "write their tests"
    assert TESTED_ELSEWHERE.keys() - alone == set(), "take these off the list"


def test_the_tests_elsewhere_exist():
    for place in TESTED_ELSEWHERE.values():
        assert (TESTS / place).is_file(), place
