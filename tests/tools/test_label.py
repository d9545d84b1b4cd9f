from pathlib import Path

import cv2
import torch

from mmseg_gc.apis import init_model
from mmseg_gc.checkpoint import save_checkpoint

CONFIG = Path(__file__).parents[2] / "configs/gcnet/gcnet_r18-d8_1xb8-20k_camvid-360x480.py"


def test_a_folder_is_labelled(run_tool, camvid_root, tmp_path):
    torch.manual_seed(0)
    cfg = tmp_path / "small.py"
    pipeline = [dict(type="LoadImageFromFile"), dict(type="PackSegInputs")]
    cfg.write_text(
        f"_base_ = {str(CONFIG)!r}\ntest_dataloader = dict(dataset=dict(pipeline={pipeline}))\n"
    )
    save_checkpoint(dict(state_dict=init_model(cfg).state_dict()), tmp_path / "w.pth")
    out = tmp_path / "out"
    finished = run_tool(
        "label.py", cfg, tmp_path / "w.pth", camvid_root / "val", "--out_dir", out, "--device=cpu"
    )
    assert finished.status == 0, finished.err
    assert f"{out}/pred" in finished.out
    labels = cv2.imread(str(sorted((out / "pred").iterdir())[0]), cv2.IMREAD_UNCHANGED)
    assert labels.shape == (72, 96) and labels.max() < 11
    assert len(list((out / "vis").iterdir())) == 2
    finished = run_tool(
        "label.py", cfg, tmp_path / "w.pth", camvid_root / "val", "--out-dir", cfg, "--device=cpu"
    )
    assert finished.status == 1 and "small.py can't be written (File exists)" in finished.err


def test_a_folder_without_pictures(run_tool, tmp_path):
    torch.manual_seed(0)
    save_checkpoint(dict(state_dict=init_model(CONFIG).state_dict()), tmp_path / "w.pth")
    (tmp_path / "empty").mkdir()
    finished = run_tool("label.py", CONFIG, tmp_path / "w.pth", tmp_path / "empty", "--device=cpu")
    assert finished.status == 1
    assert "no image found" in finished.err and "empty" in finished.err
