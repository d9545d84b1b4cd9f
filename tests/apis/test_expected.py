"""An image in memory is what the pipeline would have read from its file, or is refused."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image as PILImage

from mmseg_gc.apis.expected import Expected
from mmseg_gc.apis.inference import as_array
from mmseg_gc.datasets.transforms import LoadImageFromFile
from mmseg_gc.errors import UserError

BGR = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)
GREY = BGR[..., 0]
DEEP = np.random.default_rng(1).integers(0, 4096, (6, 7, 3), dtype=np.uint16)


def expected(channels=3, mean=120.0, **loader) -> Expected:
    return Expected(dict(type="LoadImageFromFile", **loader), channels, mean)


COLOUR, ONE = expected(), expected(channels=1, color_type="grayscale")
WHOLE = expected(mean=2000.0, color_type="unchanged")


def read(path, want: Expected) -> np.ndarray:
    options = {key: value for key, value in want.loader.items() if key != "type"}
    return LoadImageFromFile(**options)({"img_path": str(path)})["img"]


@pytest.mark.parametrize(
    ("image", "stored", "want"),
    [
        (BGR, BGR, COLOUR),
        (BGR[:, ::-1], BGR[:, ::-1], COLOUR),
        (np.asfortranarray(BGR), BGR, COLOUR),
        (np.frombuffer(BGR.tobytes(), np.uint8).reshape(BGR.shape), BGR, COLOUR),
        (BGR.astype(np.int64), BGR, COLOUR),
        (BGR.astype(np.uint16), BGR, COLOUR),
        (BGR.astype(np.float64), BGR, COLOUR),
        (GREY, GREY, COLOUR),
        (GREY[..., None], GREY, COLOUR),
        (GREY > 99, np.where(GREY > 99, 255, 0).astype(np.uint8), COLOUR),
        (GREY, GREY, ONE),
        (GREY[..., None], GREY, ONE),
        (np.dstack([GREY] * 3), GREY, ONE),
        (DEEP, DEEP, WHOLE),
        (DEEP.astype(">u2"), DEEP, WHOLE),
        (DEEP.astype(np.float32), DEEP, WHOLE),
        (PILImage.fromarray(BGR[..., ::-1].copy()), BGR, COLOUR),
        (PILImage.fromarray(GREY), GREY, COLOUR),
        (PILImage.fromarray(GREY), GREY, ONE),
        (PILImage.fromarray(np.dstack([BGR[..., ::-1], GREY])), BGR, COLOUR),
    ],
)
def test_an_array_is_what_its_file_is(tmp_path, image, stored, want):
    cv2.imwrite(str(tmp_path / "x.png"), np.ascontiguousarray(stored))
    of_file, array = read(tmp_path / "x.png", want), as_array(image, want)
    assert np.array_equal(array, of_file)
    assert array.flags["C_CONTIGUOUS"] and array.flags["WRITEABLE"]
    assert array.dtype in (of_file.dtype, np.float32)


def test_pil_images_of_other_kinds(tmp_path):
    image = PILImage.fromarray(BGR[..., ::-1].copy())
    for mode in ("P", "CMYK", "1"):
        converted = image.convert(mode)
        rgb = np.asarray(converted.convert("RGB"))
        assert np.array_equal(as_array(converted, COLOUR), rgb[..., ::-1])
    four = np.dstack([BGR, GREY])
    rgba = PILImage.fromarray(four[..., [2, 1, 0, 3]])
    assert np.array_equal(as_array(rgba, expected(channels=4, color_type="unchanged")), four)


BANDS = np.zeros((6, 7, 10), np.float32)


@pytest.mark.parametrize(
    ("image", "want", "sentence"),
    [
        (None, COLOUR, "is None, as cv2.imread gives"),
        (b"", COLOUR, "is of type bytes"),
        (torch.from_numpy(BGR), COLOUR, "torch tensor.*permute"),
        (BGR.astype(object), COLOUR, "dtype object"),
        (BGR.astype(complex), COLOUR, "dtype complex"),
        (BGR[None], COLOUR, r"shape \(1, 6, 7, 3\)"),
        (BGR[:0], COLOUR, r"shape \(0, 7, 3\)"),
        (BGR[0, 0], COLOUR, r"shape \(3,\)"),
        (BGR.transpose(2, 0, 1), COLOUR, r"has 7 channels and .* takes 3; turn it by array.trans"),
        (GREY[None], COLOUR, "turn it by array.transpose"),
        (np.dstack([BGR, GREY]), COLOUR, r"has 4 channels .* array\[..., :3\]"),
        (BGR[..., :2], COLOUR, "has 2 channels and the network takes 3; give 3"),
        (BANDS, COLOUR, "has 10 channels"),
        (DEEP, expected(channels=1, color_type="unchanged"), "has 3 channels .* takes 1"),
        ((BGR / 255).astype(np.float32), COLOUR, "from 0.* and .* 0 to 255; multiply it by 255"),
        (BGR / 250, COLOUR, "multiply it by 255"),
        (BGR / 255, expected(color_type="unchanged"), "mean and std are up to 120"),
        (BGR.astype(np.uint16) * 256, COLOUR, "values from .* scale it by array // 256"),
        (BGR.astype(np.float32) - 128, COLOUR, "0 to 255; scale it to that range"),
        (BGR, WHOLE, "mean and std are up to 2000"),
    ],
)
def test_what_the_network_cannot_take(image, want, sentence):
    with pytest.raises(UserError, match=sentence):
        as_array(image, want)


def test_values_that_the_config_wants():
    """Files of 0 to 1 under a mean of 0 to 1, and black frames, are right as they are."""
    unit = BGR / np.float32(255)
    assert np.array_equal(as_array(unit, expected(mean=0.5, color_type="unchanged")), unit)
    assert not as_array(np.zeros((2, 2, 3)), COLOUR).any()
    holes = BGR.astype(np.float32)
    holes[0, 0] = np.nan
    assert np.array_equal(as_array(holes, COLOUR), holes, equal_nan=True)


def config(loader=None, preprocessor=None, backbone=None) -> Config:
    pipeline = [dict(type="LoadImageFromFile", **(loader or {}))]
    return Config(
        dict(
            model=dict(
                data_preprocessor=preprocessor,
                backbone=dict(type="ResNet", **(backbone or {})),
            ),
            test_dataloader=dict(dataset=dict(type="BaseSegDataset", pipeline=pipeline)),
        )
    )


def test_what_a_config_tells():
    assert Expected.of(config()).channels == 3
    assert Expected.of(config(backbone=dict(in_channels=5))).channels == 5
    ten = Expected.of(config(preprocessor=dict(mean=[7.0] * 10, std=[9.0] * 10)))
    assert (ten.channels, ten.largest_level, ten.reads_8_bits) == (10, 9.0, True)
    one = config(preprocessor=dict(mean=[7.0], std=[1.0]), loader=dict(color_type="unchanged"))
    assert (Expected.of(one).channels, Expected.of(one).reads_8_bits) == (3, False)
    assert not Expected.of(config(loader=dict(imdecode_backend="tifffile"))).reads_8_bits
    with pytest.raises(UserError, match=r"no test_dataloader.dataset.pipeline"):
        Expected.of(Config(dict(model=dict())))


def test_a_pil_image_is_turned_as_its_file_is(tmp_path):
    pixels, exif = np.zeros((8, 8, 3), np.uint8), PILImage.Exif()
    pixels[:4, :4], exif[274] = 250, 6  # a quarter to the left
    PILImage.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, quality=100)
    for loader in ({}, dict(color_type="color_ignore_orientation"), dict(color_type="unchanged")):
        want = expected(**loader)
        image = PILImage.open(tmp_path / "a.jpg")
        found, same = as_array(image, want), read(tmp_path / "a.jpg", want)
        assert np.abs(found.astype(int) - same.astype(int)).max() < 8
