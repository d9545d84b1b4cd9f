import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch

from mmseg_gc.apis import init_model
from mmseg_gc.checkpoint import save_checkpoint

CONFIG = Path(__file__).parents[2] / "configs/gcnet/gcnet_r18-d8_1xb8-20k_camvid-360x480.py"


@pytest.fixture
def small(tiny_text, tmp_path):
    """The paths of a small config and of weights for it."""
    torch.manual_seed(0)
    cfg = tmp_path / "small.py"
    pipeline = [dict(type="LoadImageFromFile"), dict(type="PackSegInputs")]
    loader = f"test_dataloader = dict(dataset=dict(pipeline={pipeline}))\n"
    cfg.write_text(f"_base_ = {str(CONFIG)!r}\n{tiny_text}{loader}")
    save_checkpoint(dict(state_dict=init_model(cfg).state_dict()), tmp_path / "w.pth")
    return cfg, tmp_path / "w.pth"


def test_a_folder_is_labelled(run_tool, camvid_root, small, tmp_path):
    out = tmp_path / "out"
    arguments = ("label.py", *small, camvid_root / "val", "--device=cpu")
    finished = run_tool(*arguments, "--out_dir", out)
    assert finished.status == 0, finished.err
    assert f"{out}/pred" in finished.out
    labels = cv2.imread(str(sorted((out / "pred").iterdir())[0]), cv2.IMREAD_UNCHANGED)
    assert labels.shape == (72, 96) and labels.max() < 11
    assert len(list((out / "vis").iterdir())) == 2
    finished = run_tool(*arguments, "--out-dir", small[0])
    assert finished.status == 1 and "small.py can't be written (File exists)" in finished.err
    finished = run_tool(*arguments[:-1], "--device=gpu", "--out-dir", out)
    assert finished.status == 1 and "Error: device='gpu' is no device" in finished.err


def test_broken_images_are_listed_at_the_end(run_tool, camvid_root, small, tmp_path):
    images, out = tmp_path / "in", tmp_path / "out"
    for folder in ("x", "y/z"):
        shutil.copytree(camvid_root / "val", images / folder)
    broken = sorted((images / "x").iterdir())[1]
    broken.write_bytes(broken.read_bytes()[:200])
    arguments = ("label.py", *small, images, "--device=cpu", "--out-dir", out)
    finished = run_tool(*arguments)
    assert finished.status == 1
    assert f"\nError: 1 of 4 images could not be labelled: {broken} (200 bytes)" in finished.err
    found = sorted(str(path.relative_to(out)) for path in out.rglob("*.png"))
    names = sorted(path.name for path in (camvid_root / "val").iterdir())
    assert found == [f"pred/x/{names[0]}", *(f"pred/y/z/{name}" for name in names)]
    os.mkfifo(images / "pipe.png")
    finished = run_tool(*arguments, "--skip-existing")
    assert finished.status == 1 and "3 of 5 images had their results already." in finished.out
    assert "Error: 2 of 5 images could not be labelled:\n  " in finished.err
    assert f"\n  {images}/pipe.png is a pipe" in finished.err


@pytest.mark.slow
def test_many_images_one_broken_killed_and_rerun(small, tmp_path):
    script = Path(__file__).parents[2] / "tools/benchmarks/label_many.py"
    command = [sys.executable, script, *small, "--images", "300", "--size", "256", "512"]
    finished = subprocess.run(
        [*map(str, command), "--max-mib", "200"], capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert json.loads(finished.stdout)["results"] == dict(pred=299, vis=299)


def test_a_folder_without_images(run_tool, tmp_path):
    torch.manual_seed(0)
    save_checkpoint(dict(state_dict=init_model(CONFIG).state_dict()), tmp_path / "w.pth")
    (tmp_path / "empty").mkdir()
    finished = run_tool("label.py", CONFIG, tmp_path / "w.pth", tmp_path / "empty", "--device=cpu")
    assert finished.status == 1
    assert "no image found" in finished.err and "empty" in finished.err
