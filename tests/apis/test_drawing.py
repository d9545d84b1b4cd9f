"""What is drawn over is what the network reads."""

from pathlib import Path

import cv2
import numpy as np

from mmseg_gc.apis.drawing import drawable
from mmseg_gc.apis.expected import Expected

BGR = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)


def expected(channels: int, **loader: str) -> Expected:
    return Expected(dict(type="LoadImageFromFile", **loader), channels, 120.0)


def test_drawn_are_the_pixels_that_the_network_reads(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "x.png"), BGR)
    for image in (BGR, BGR.astype(np.float32), tmp_path / "x.png"):
        assert np.array_equal(drawable(image, expected(3)), BGR[..., ::-1])
    grey = BGR[..., 0]
    shown = drawable(grey, expected(1, color_type="grayscale"))
    assert np.array_equal(shown, np.dstack([grey] * 3))
    bands = np.zeros((6, 7, 10), np.float32)
    assert drawable(bands, expected(10, color_type="unchanged")).shape == (6, 7, 3)
