from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmseg_gc.datasets.transforms import LoadAnnotations, LoadImageFromFile, LoadImageFromNDArray
from mmseg_gc.datasets.transforms.decoding import _may_be_cut_short
from mmseg_gc.errors import UserError


@pytest.fixture
def image(tmp_path: Path) -> np.ndarray:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    for suffix in ("png", "jpg"):
        cv2.imwrite(str(tmp_path / f"image.{suffix}"), pixels)
    return pixels


def save_label(tmp_path: Path, pixels: list | np.ndarray, dtype=np.uint8) -> str:
    path = tmp_path / "label.png"
    Image.fromarray(np.array(pixels, dtype)).save(path)
    return str(path)


def load_label(path: str, **results) -> np.ndarray:
    return LoadAnnotations()({"seg_map_path": path, "img_path": "x.jpg", **results})["gt_seg_map"]


def test_image_is_bgr_with_its_shapes(tmp_path, image):
    results = LoadImageFromFile()({"img_path": str(tmp_path / "image.png")})
    assert (results["img"] == image).all() and results["img"].dtype == np.uint8
    assert results["img_shape"] == results["ori_shape"] == (40, 60)
    floats = LoadImageFromFile(to_float32=True)({"img_path": str(tmp_path / "image.png")})
    assert floats["img"].dtype == np.float32


@pytest.mark.parametrize(("channels", "suffix"), [(1, "tiff"), (3, "tiff"), (4, "png"), (1, "png")])
def test_16_bits_and_four_channels_stay(tmp_path, channels, suffix):
    shape = (8, 9, channels) if channels > 1 else (8, 9)
    pixels = np.random.default_rng(0).integers(0, 65536, shape, dtype=np.uint16)
    path = str(tmp_path / f"deep.{suffix}")
    cv2.imwrite(path, pixels)
    results = LoadImageFromFile(color_type="unchanged")({"img_path": path})
    assert results["img"].dtype == np.uint16 and (results["img"] == pixels).all()
    assert results["ori_shape"] == (8, 9)


@pytest.mark.parametrize("planar", ["contig", "separate", None])
def test_tiff_of_six_channels(tmp_path, planar):
    tifffile = pytest.importorskip("tifffile")
    pixels = np.random.default_rng(0).integers(0, 65536, (8, 9, 6), dtype=np.uint16)
    stored = pixels if planar == "contig" else pixels.transpose(2, 0, 1)
    path = str(tmp_path / "bands.tif")
    tifffile.imwrite(path, stored, photometric="minisblack", planarconfig=planar)
    load = LoadImageFromFile(color_type="unchanged", imdecode_backend="tifffile")
    results = load({"img_path": path})
    assert (results["img"] == pixels).all() and results["ori_shape"] == (8, 9)


def test_array_in_place_of_a_file(image):
    results = LoadImageFromNDArray()({"img": image})
    assert results["img"] is image and results["img_path"] is None
    assert results["img_shape"] == results["ori_shape"] == (40, 60)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("backend", ["cv2", "pillow"])
@pytest.mark.parametrize("kept", [0, 0.6])
def test_broken_image_is_named(tmp_path, image, suffix, backend, kept):
    path = tmp_path / f"image.{suffix}"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    load = LoadImageFromFile(imdecode_backend=backend)
    with pytest.raises(UserError, match=rf"image\.{suffix} \(\d+ bytes\) is no readable image"):
        load({"img_path": str(path)})
    skip = LoadImageFromFile(imdecode_backend=backend, ignore_empty=True)
    assert skip({"img_path": str(path)}) is None


def test_jpeg_without_its_end_is_looked_at_twice(tmp_path, image, monkeypatch):
    path = tmp_path / "image.jpg"
    content = path.read_bytes()
    assert not _may_be_cut_short(content) and _may_be_cut_short(content[:-2])
    path.write_bytes(content + b"trailer of a camera")
    assert LoadImageFromFile()({"img_path": str(path)})["img"].shape == (40, 60, 3)
    # OpenCV 4 hands out what it has of a truncated JPEG.
    monkeypatch.setattr("mmcv.imfrombytes", lambda *_, **__: image)
    path.write_bytes(content[:-20])
    with pytest.raises(UserError, match=r"image\.jpg.*truncated"):
        LoadImageFromFile()({"img_path": str(path)})


def test_missing_image_and_label_are_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.jpg can't be read \(No such file"):
        LoadImageFromFile()({"img_path": str(tmp_path / "gone.jpg")})
    with pytest.raises(UserError, match=r"gone\.png can't be read"):
        load_label(str(tmp_path / "gone.png"))


def test_backend_is_checked_at_once():
    with pytest.raises(UserError, match="'opencv': choose from cv2, pillow, tifffile"):
        LoadImageFromFile(imdecode_backend="opencv")


def test_label_needs_nothing_from_a_data_set(tmp_path):
    path = save_label(tmp_path, [[0, 7], [200, 255]])
    results = LoadAnnotations()({"seg_map_path": path, "seg_fields": []})
    assert results["gt_seg_map"].tolist() == [[0, 7], [200, 255]]
    assert results["gt_seg_map"].dtype == np.uint8
    assert results["seg_fields"] == ["gt_seg_map"]


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_wide_labels_are_narrowed_or_refused(tmp_path, dtype):
    path = str(tmp_path / "wide.tiff")
    Image.fromarray(np.array([[0, 7], [200, 255]], dtype)).save(path)
    assert load_label(path).tolist() == [[0, 7], [200, 255]]
    Image.fromarray(np.array([[0, 7], [300, 255]], dtype)).save(path)
    with pytest.raises(UserError, match=r"wide\.tiff has label ids outside .*: 300"):
        load_label(path, num_classes=19)


def test_one_bit_label(tmp_path):
    path = tmp_path / "bits.png"
    Image.fromarray(np.array([[True, False]])).save(path)
    assert load_label(str(path), num_classes=2).tolist() == [[1, 0]]


@pytest.mark.parametrize(("of_dataset", "of_transform"), [(True, None), (True, True), (None, True)])
def test_reduce_zero_label(tmp_path, of_dataset, of_transform):
    results = {"seg_map_path": save_label(tmp_path, [[0, 1, 150, 255]])}
    if of_dataset is not None:
        results["reduce_zero_label"] = of_dataset
    label = LoadAnnotations(reduce_zero_label=of_transform)(results)["gt_seg_map"]
    assert label.tolist() == [[255, 0, 149, 255]]


def test_reduce_zero_label_must_agree(tmp_path):
    path = save_label(tmp_path, [[0]])
    with pytest.raises(UserError, match="reduce_zero_label is True but the data set's is False"):
        LoadAnnotations(reduce_zero_label=True)({"seg_map_path": path, "reduce_zero_label": False})


def test_ids_are_named_as_the_file_has_them(tmp_path):
    path = save_label(tmp_path, [[0, 1, 3, 4, 9, 12, 30, 31, 32]])
    with pytest.raises(UserError, match=r"outside the 3 classes: 4, 9, 12, 30, 31, …;"):
        load_label(path, num_classes=3, reduce_zero_label=True)


def test_size_must_be_the_images(tmp_path):
    path = save_label(tmp_path, np.zeros((4, 6)))
    assert load_label(path, ori_shape=(4, 6)).shape == (4, 6)
    with pytest.raises(UserError, match=r"label\.png is 6 x 4 pixels but its image x\.jpg is 4 x"):
        load_label(path, ori_shape=(6, 4))


def test_color_mask_with_transparency(tmp_path):
    path = save_label(tmp_path, [[[1, 2, 3, 255], [4, 5, 6, 0]]])
    colors = [((1, 2, 3), 1), ((4, 5, 6), 0)]
    assert load_label(path, mask_colors=colors).tolist() == [[1, 0]]
    cv2_label = LoadAnnotations(imdecode_backend="cv2")(
        {"seg_map_path": path, "mask_colors": colors}
    )
    assert cv2_label["gt_seg_map"].tolist() == [[1, 0]]


def test_color_shared_by_two_classes(tmp_path):
    path = save_label(tmp_path, [[[1, 2, 3]]])
    with pytest.raises(UserError, match=r"classes 0 and 1 share the colour \(1, 2, 3\)"):
        load_label(path, mask_colors=[([1, 2, 3], 0), ([1, 2, 3], 1)])


def test_grey_with_transparency_is_no_label(tmp_path):
    path = save_label(tmp_path, [[[1, 255]]])
    with pytest.raises(UserError, match="2 channels of uint8"):
        load_label(path, mask_colors=[([1, 2, 3], 0)])
