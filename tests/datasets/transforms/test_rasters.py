import cv2
import numpy as np
import pytest

from mmseg_gc.datasets.transforms import (
    ConcatCDInput,
    LoadImageFromNpyFile,
    LoadMultipleRSImageFromFile,
    LoadSingleRSImageFromFile,
)
from mmseg_gc.errors import UserError

BANDS = np.random.RandomState(0).randint(0, 4000, (6, 7, 5)).astype(np.uint16)


def tiff(path, image, **options) -> str:
    tifffile = pytest.importorskip("tifffile", reason="needs the extra `optional`")
    tifffile.imwrite(path, image, **options)
    return str(path)


@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("to_float32", [False, True])
def test_all_bands_of_a_tiff(tmp_path, planes, to_float32) -> None:
    image = BANDS.transpose(2, 0, 1) if planes else BANDS
    options = dict(photometric="minisblack", planarconfig="separate" if planes else "contig")
    path = tiff(tmp_path / "a.tif", image, **options)
    results = LoadSingleRSImageFromFile(to_float32)({"img_path": path})
    np.testing.assert_array_equal(results["img"], BANDS)
    assert results["img"].dtype == (np.float32 if to_float32 else np.uint16)
    assert results["img_shape"] == results["ori_shape"] == (6, 7)


def test_red_comes_first_in_every_format(tmp_path) -> None:
    """As GDAL has it; one band is a channel as well."""
    rgb = BANDS[..., :3].astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), rgb[..., ::-1])
    cv2.imwrite(str(tmp_path / "grey.png"), rgb[..., 0])
    load = LoadSingleRSImageFromFile()
    for path in (str(tmp_path / "a.png"), tiff(tmp_path / "a.tif", rgb, photometric="rgb")):
        np.testing.assert_array_equal(load({"img_path": path})["img"], rgb)
    grey = load({"img_path": str(tmp_path / "grey.png")})["img"]
    np.testing.assert_array_equal(grey, rgb[..., :1])


def test_two_dates_become_one_image(tmp_path) -> None:
    paths = [tiff(tmp_path / f"{i}.tif", BANDS[..., :3] + i) for i in range(2)]
    results = LoadMultipleRSImageFromFile()({"img_path": paths[0], "img_path2": paths[1]})
    results = ConcatCDInput()(results)
    assert results["img"].dtype == np.float32 and "img2" not in results
    expected = np.concatenate([BANDS[..., :3], BANDS[..., :3] + 1], axis=2)
    np.testing.assert_array_equal(results["img"], expected)
    assert results["img_path"] == paths[0]


def test_wrong_pairs(tmp_path) -> None:
    paths = [tiff(tmp_path / f"{i}.tif", BANDS[: 5 + i, :, :3]) for i in range(2)]
    with pytest.raises(UserError, match=r"0\.tif is of shape \(5, 7, 3\) and .*1\.tif"):
        LoadMultipleRSImageFromFile()({"img_path": paths[0], "img_path2": paths[1]})
    with pytest.raises(UserError, match="has no second image, img_path2"):
        LoadMultipleRSImageFromFile()({"img_path": paths[0]})
    with pytest.raises(UserError, match="finds no img2: put LoadMultipleRSImageFromFile before"):
        ConcatCDInput()({"img": BANDS})
    with pytest.raises(UserError, match="can't be read"):
        LoadSingleRSImageFromFile()({"img_path": str(tmp_path / "missing.tif")})


def test_arrays_of_numpy(tmp_path) -> None:
    np.save(tmp_path / "a.npy", BANDS)
    cv2.imwrite(str(tmp_path / "b.png"), BANDS[..., :3].astype(np.uint8))
    results = LoadImageFromNpyFile(to_float32=True)({"img_path": str(tmp_path / "a.npy")})
    np.testing.assert_array_equal(results["img"], BANDS)
    assert results["img"].dtype == np.float32 and results["ori_shape"] == (6, 7)
    results = LoadImageFromNpyFile()({"img_path": str(tmp_path / "b.png")})
    np.testing.assert_array_equal(results["img"], BANDS[..., :3].astype(np.uint8))


def test_arrays_that_are_no_image(tmp_path) -> None:
    path = tmp_path / "a.npy"
    for array, words in (
        (np.array([object()]), "is no array of numbers"),
        (np.zeros(3), r"holds float64 of shape \(3,\)"),
        (np.full((2, 2), "a"), "holds <U1"),
    ):
        np.save(path, array, allow_pickle=True)
        with pytest.raises(UserError, match=words):
            LoadImageFromNpyFile()({"img_path": str(path)})
        assert LoadImageFromNpyFile(ignore_empty=True)({"img_path": str(path)}) is None
