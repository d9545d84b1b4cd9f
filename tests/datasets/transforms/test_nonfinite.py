"""Values of images that are no numbers are told of, once a file, and change no integer image."""

import math

import cv2
import numpy as np
import pytest

from mmseg_gc.datasets.transforms import LoadImageFromFile, LoadImageFromNDArray, nonfinite


@pytest.fixture
def lines(monkeypatch):
    said = []
    monkeypatch.setattr(nonfinite, "print_log", lambda text, **_: said.append(text))
    monkeypatch.setattr(nonfinite, "_told", set())
    return said


def test_a_file_is_named_once(tmp_path, lines):
    image = np.ones((4, 5, 3), np.float32)
    image[1, 2], image[0, 0, 0] = math.nan, math.inf
    for name in ("a.tif", "b.tif"):
        cv2.imwrite(str(tmp_path / name), image)
        for _ in range(2):
            load = LoadImageFromFile(color_type="unchanged")
            load({"img_path": str(tmp_path / name)})
    assert len(lines) == 2
    assert lines[0].startswith(f"{tmp_path / 'a.tif'}: 4 of 60 values are NaN or infinite")


def test_an_array_is_told_of(lines):
    LoadImageFromNDArray()({"img": np.full((2, 2), math.nan)})
    assert lines[0].startswith("the image array: 4 of 4 values")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32])
def test_whole_images_are_passed_over(dtype, lines):
    LoadImageFromNDArray()({"img": np.ones((2, 2), dtype)})
    assert not lines and nonfinite.count_nonfinite(np.ones((2, 2), dtype)) == 0
