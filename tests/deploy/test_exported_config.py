"""A config whose network is a file: `test`, `report`, and what does not fit together."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmseg_gc.apis import inference_model, init_model
from mmseg_gc.cli import predict, report, test
from mmseg_gc.config import config_of_weights, load_config
from mmseg_gc.deploy import exported_model, run_exported
from mmseg_gc.errors import UserError

CONFIG = Path(__file__).parents[2] / "configs/gcnet/gcnet_r18-d8_1xb8-20k_camvid-360x480.py"


@pytest.fixture
def scene_config(camvid_root, tiny_files, tiny_text, tmp_path):
    """The config of the weights, with its own way to read the tiny data set."""
    loader = dict(dataset=dict(data_root=str(camvid_root)), num_workers=0, persistent_workers=False)
    lines = [f"_base_ = {str(CONFIG)!r}", tiny_text, f"test_dataloader = {loader}"]
    path = tmp_path / "scenes.py"
    path.write_text("\n".join(lines))
    return path


def scored(main, *words, folder) -> dict:
    with pytest.raises(SystemExit) as stopped:
        main([*map(str, words), "--work-dir", str(folder)])
    assert stopped.value.code in (0, None)
    [figures] = [json.loads(path.read_text()) for path in folder.rglob("2*.json")]
    return figures


SMALL = ["--cfg-options", "test_dataloader.dataset.pipeline.1.scale=(96,72)"]
SLIDE = [
    "model.test_cfg.mode=slide",
    "model.test_cfg.crop_size=(48,64)",
    "model.test_cfg.stride=(24,32)",
]


@pytest.mark.parametrize(
    "more",
    [
        pytest.param([*SMALL, *SLIDE, "runtime.threads=1"], id="slide"),
        pytest.param(SMALL, id="whole", marks=pytest.mark.slow),
        pytest.param(["--aug-test", *SMALL], id="views", marks=pytest.mark.slow),
    ],
)
def test_scores_are_those_of_the_weights(scene_config, tiny_files, exported, tmp_path, more):
    of_torch = scored(test.main, scene_config, tiny_files[1], *more, folder=tmp_path / "t")
    of_file = scored(test.main, scene_config, exported.path, *more, folder=tmp_path / "o")
    assert of_file["mIoU"] == pytest.approx(of_torch["mIoU"], abs=0.01) and of_torch["mIoU"] > 0.5


@pytest.mark.slow
def test_a_report_on_a_file(scene_config, exported, tmp_path):
    words = [scene_config, exported.path, "-o", tmp_path / "r.html", *SMALL]
    scored(report.main, *words, folder=tmp_path / "w")
    assert "tiny.onnx" in (tmp_path / "r.html").read_text()
    assert np.load(tmp_path / "confusion.npy").sum() > 0


def test_predict_by_the_file_alone(exported, tiny_model, camvid_root, tmp_path):
    image = next((camvid_root / "val").glob("*.png"))
    words = [exported.path, image, "-o", tmp_path, "--outputs", "ids", "--device", "cpu"]
    with pytest.raises(SystemExit) as stopped:
        predict.main([str(word) for word in words])
    assert stopped.value.code in (0, None)
    found = np.asarray(Image.open(tmp_path / "ids" / image.name))
    assert (found == inference_model(tiny_model, str(image)).pred_sem_seg.data[0].numpy()).all()


def test_options_of_predict_reach_the_runtime(exported, tiny_files, capsys):
    """Behind a file alone, and behind its config."""
    for words in ([exported.path], [tiny_files[0], exported.path]):
        words = [str(word) for word in (*words, "a.png")]
        with pytest.raises(SystemExit) as stopped:
            predict.main([*words, "--cfg-options", "runtime.provider=tensorrt"])
        assert stopped.value.code == 1
        assert "runtime.provider='tensorrt': this ONNX Runtime has cpu" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"no config key 'runtme'; did you mean 'runtime'"):
        init_model(exported.path, cfg_options={"runtme.provider": "cpu"})


def test_predict_needs_images(exported, capsys):
    with pytest.raises(SystemExit) as stopped:
        predict.parse_args([str(exported.path)])
    assert stopped.value.code == 2
    assert "required: checkpoint" in capsys.readouterr().err


def test_what_does_not_fit_the_config(exported, tiny_files, monkeypatch):
    cfg = load_config(tiny_files[0])
    seven = load_config(tiny_files[0])
    seven.model.decode_head.num_classes = 7
    with pytest.raises(UserError, match=r"tells 11 classes apart and .*tiny.py has num_classes=7"):
        exported_model(seven, exported.path)
    grey = {"model.data_preprocessor.mean": [1, 2, 3, 4], "model.data_preprocessor.std": [1] * 4}
    grey["model.backbone.in_channels"] = 4
    with pytest.raises(UserError, match=r"takes images of 3 channels and .*tiny.py reads 4"):
        exported_model(load_config(tiny_files[0], grey), exported.path)
    told = []
    monkeypatch.setattr(config_of_weights, "print_log", lambda text, **_: told.append(text))
    exported_model(cfg, exported.path)
    assert told == []
    exported_model(
        load_config(tiny_files[0], {"model.data_preprocessor.std": [1] * 3}), exported.path
    )
    assert len(told) == 1 and "model.data_preprocessor.std=[1, 1, 1], where they had" in told[0]
    with pytest.raises(UserError, match=r"runtime='cuda' is no dict; write such as runtime.thr"):
        exported_model(load_config(tiny_files[0], {"runtime": "cuda"}), exported.path)
    with pytest.raises(UserError, match=r"run by its own runtime, not by torch: leave out compile"):
        run_exported(cfg, exported.path, compile=True)
    with pytest.raises(UserError, match=r"holds its own weights: leave out .*w.pth"):
        init_model(exported.path, tiny_files[1])


def test_precision_and_device_reach_the_runtime(exported, exported_openvino, tiny_files):
    cfg = load_config(tiny_files[0], {"runtime.threads": 1})
    made = exported_model(cfg, exported_openvino, precision="bf16", device="cuda:0")
    assert made["runtime"] == dict(threads=1, precision="bf16", device="GPU")
    assert exported_model(cfg, exported.path, device="cuda:0")["runtime"]["provider"] == "cuda"
    with pytest.raises(UserError, match=r"runtime.provider='cuda': this ONNX Runtime has cpu"):
        init_model(exported.path, device="cuda:0")
