"""The ready configs for one thing and its background, on masks of 0 and 255."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmseg_gc.checkpoint import load_checkpoint

ROOT = Path(__file__).parents[2]


@pytest.fixture
def masks_root(tmp_path):
    """``images`` and ``labels``, 4 to train and 2 to score, of bright discs on dark ground."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for kind in ("images", "labels"):
            (tmp_path / kind / split).mkdir(parents=True)
        for number in range(count):
            mask = np.zeros((40, 48), np.uint8)
            cv2.circle(mask, tuple(map(int, rng.integers(12, 30, 2))), 9, 255, -1)
            image = mask[..., None] // 2 + rng.integers(0, 60, (40, 48, 3)).astype(np.uint8)
            cv2.imwrite(str(tmp_path / "images" / split / f"{number}.jpg"), image)
            cv2.imwrite(str(tmp_path / "labels" / split / f"{number}.png"), mask)
    return tmp_path


@pytest.mark.parametrize("name", ["binary", "binary-sigmoid"])
def test_train_and_test(run_tool, masks_root, narrow_options, tmp_path, name):
    config = ROOT / f"configs/gcnet/gcnet_r18-d8_1xb4-20k_{name}-512x512.py"
    options = [
        f"data_root={masks_root}",
        "num_workers=0",
        "batch_size=2",
        "img_scale=(48,40)",
        "crop_size=(32,32)",
        "max_iters=2",
        "interval=2",
        "randomness.seed=1",
        "model.pretrained=None",
        "default_hooks.curves=None",
        *narrow_options,
    ]
    work, out = tmp_path / "work", tmp_path / "out"
    done = run_tool("train.py", config, "--work-dir", work, "--cfg-options", *options)
    assert done.status in (0, None), done.err
    done = run_tool(
        "test.py", config, work / "iter_2.pth", "--work-dir", tmp_path / "test", "--out", out,
        "--cfg-options", *options,
    )  # fmt: skip
    assert done.status in (0, None), done.err
    [score] = [json.loads(file.read_text()) for file in (tmp_path / "test").rglob("*.json")]
    pairs = [
        (cv2.imread(str(out / path.name), -1), cv2.imread(str(path), -1))
        for path in (masks_root / "labels/val").iterdir()
    ]
    found, truth = (np.concatenate([pair[i].ravel() for pair in pairs]) for i in (0, 1))
    # Predictions are written as the masks are: 255 where the thing is.
    assert set(np.unique(found)) <= {0, 255}
    ratios = [
        ((found == value) & (truth == value)).sum() / ((found == value) | (truth == value)).sum()
        for value in (0, 255)
    ]
    assert score["mIoU"] == pytest.approx(100 * np.mean(ratios), abs=0.006)
    weight = load_checkpoint(work / "iter_2.pth")["state_dict"]["decode_head.conv_seg.weight"]
    assert len(weight) == (1 if "sigmoid" in name else 2)
