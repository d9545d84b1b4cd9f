"""`tools/test.py` without labels, in the form of a benchmark, and on a user's own kind of files."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from cityscapesscripts.helpers.labels import labels
from PIL import Image

from mmseg_gc.apis import init_model
from mmseg_gc.checkpoint import save_checkpoint

CONFIGS = Path(__file__).parents[2] / "configs/gcnet"
CAMVID = CONFIGS / "gcnet_r18-d8_1xb8-20k_camvid-360x480.py"
SCENES = CONFIGS / "gcnet_r18-d8_1xb4-demo_scenes-128x256.py"


@pytest.fixture
def weights(tmp_path):
    def make(config: Path) -> Path:
        path = tmp_path / "weights.pth"
        save_checkpoint({"state_dict": init_model(config).state_dict()}, path)
        return path

    return make


@pytest.fixture
def unlabelled(camvid_root, tmp_path) -> list[str]:
    """Options that make the test split a folder of images alone."""
    shutil.copytree(camvid_root / "val", tmp_path / "images")
    return [
        f"test_dataloader.dataset.data_root={tmp_path}",
        "test_dataloader.dataset.data_prefix.img_path=images",
        "test_dataloader.dataset.data_prefix.seg_map_path=None",
    ]


def test_images_without_labels(run_tool, camvid_options, unlabelled, weights, tmp_path):
    arguments = ["--work-dir", tmp_path / "t", "--cfg-options", *camvid_options]
    finished = run_tool(
        "test.py", CAMVID, weights(CAMVID), "--out", tmp_path / "out", *arguments, *unlabelled
    )
    assert finished.status == 0, finished.err
    assert "per class" not in finished.out + finished.err
    files = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in files] == ["0001TP_006690.png", "0001TP_006720.png"]
    ids = cv2.imread(str(files[0]), cv2.IMREAD_UNCHANGED)
    assert ids.shape == (72, 96) and ids.max() < 11


def test_images_without_labels_need_a_place_for_the_result(
    run_tool, camvid_options, unlabelled, tmp_path
):
    arguments = ["--work-dir", tmp_path / "t", "--cfg-options", *camvid_options, *unlabelled]
    finished = run_tool("test.py", CAMVID, "w.pth", *arguments)
    assert finished.status == 1 and "has no labels to score: name a folder" in finished.err
    finished = run_tool("test.py", CAMVID, "w.pth", "--format-only", *arguments)
    assert finished.status == 1 and "--format-only: name a folder" in finished.err


@pytest.mark.parametrize("option", ["--out", "--show-dir"])
def test_a_folder_that_can_not_be_made_is_told_at_once(run_tool, camvid_options, tmp_path, option):
    (tmp_path / "file").touch()
    finished = run_tool(
        "test.py", CAMVID, "w.pth", option, tmp_path / "file", "--work-dir", tmp_path / "t",
        "--cfg-options", *camvid_options,
    )  # fmt: skip
    assert finished.status == 1
    assert f"file can't be written (File exists); mend its rights or pass another {option}." in (
        finished.err
    )


def test_format_only_writes_cityscapes_label_ids(run_tool, cityscapes_root, weights, tmp_path):
    root = tmp_path / "cityscapes"
    shutil.copytree(cityscapes_root / "leftImg8bit", root / "leftImg8bit")  # no gtFine at all
    finished = run_tool(
        "test.py", SCENES, weights(SCENES), "--work-dir", tmp_path / "t",
        "--format-only", "--out", tmp_path / "out", "--cfg-options",
        f"test_dataloader.dataset.data_root={root}", "test_dataloader.num_workers=0",
        "test_dataloader.dataset.pipeline.1.scale=(128,64)", "model.test_cfg.mode=whole",
    )  # fmt: skip
    assert finished.status == 0, finished.err
    files = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in files] == [
        f"frankfurt_000000_{frame:06d}_leftImg8bit.png" for frame in range(2)
    ]
    scored = {label.id for label in labels if not label.ignoreInEval}
    assert set(np.unique(np.array(Image.open(files[0])))) <= scored


OWN_CONFIG = """
_base_ = ["{gcnet}/../_base_/models/gcnet_r18-d8.py", "{gcnet}/../_base_/default_runtime.py",
          "{gcnet}/../_base_/schedules/schedule_20k.py"]
classes = dict(classes=["water", "field", "town"], palette=[[0, 0, 255], [0, 255, 0], [255, 0, 0]],
               ignored_colors=[[0, 0, 0]])
load = dict(type="LoadImageFromFile", color_type="unchanged")
data = dict(type="BaseSegDataset", data_root="{root}", img_suffix=".tif", seg_map_suffix=".png",
            ann_file="train.txt", data_prefix=dict(img_path="images", seg_map_path="masks"),
            metainfo=classes,
            pipeline=[load, dict(type="LoadAnnotations"), dict(type="PackSegInputs")])
train_dataloader = dict(batch_size=2, num_workers=0, dataset=data,
                        sampler=dict(type="InfiniteSampler"))
test_dataloader = dict(batch_size=1, num_workers=0, dataset=data | dict(test_mode=True),
                       sampler=dict(type="DefaultSampler", shuffle=False))
test_evaluator = dict(type="IoUMetric")
val_dataloader, val_evaluator, val_cfg = None, None, None
train_cfg = dict(max_iters=1)
model = dict(
    pretrained=None,
    data_preprocessor=dict(mean=[9e3] * 4, std=[5e3] * 4, bgr_to_rgb=False),
    backbone=dict(in_channels=4, base_channels=8),
    decode_head=dict(num_classes=3, in_channels=64, channels=8),
    auxiliary_head=dict(num_classes=3, in_channels=32, channels=8),
    test_cfg=dict(mode="whole"),
)
"""


def test_16_bit_tiff_of_four_channels_and_colour_masks(run_tool, tmp_path):
    rng = np.random.default_rng(0)
    colors = np.array([[0, 0, 255], [0, 255, 0], [255, 0, 0], [0, 0, 0]], np.uint8)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for name in "abc":
        image = rng.integers(0, 65536, (40, 56, 4), dtype=np.uint16)
        cv2.imwrite(str(tmp_path / "images" / f"{name}.tif"), image)
        mask = colors[rng.integers(0, 4, (40, 56))]
        Image.fromarray(mask).save(tmp_path / "masks" / f"{name}.png")
    (tmp_path / "train.txt").write_text("a\nb\n")
    config = tmp_path / "own.py"
    config.write_text(OWN_CONFIG.format(gcnet=CONFIGS, root=tmp_path))
    finished = run_tool("train.py", config, "--work-dir", tmp_path / "w")
    assert finished.status == 0, finished.err
    finished = run_tool("test.py", config, tmp_path / "w" / "iter_1.pth", "--work-dir", tmp_path)
    assert finished.status == 0, finished.err
    assert "2/2" in finished.err and "town" in finished.out + finished.err
