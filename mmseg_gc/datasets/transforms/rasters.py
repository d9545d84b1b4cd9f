"""Images of any number of bands: of satellites, two dates at a time, and NumPy's own files."""

import io
from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
from mmcv.transforms import BaseTransform

from mmseg_gc.datasets.transforms.decoding import decode, fetch
from mmseg_gc.datasets.transforms.headers import TIFF_STARTS
from mmseg_gc.datasets.transforms.loading import LoadImageFromFile, set_image
from mmseg_gc.errors import UserError
from mmseg_gc.registry import TRANSFORMS


def read_bands(path: str) -> np.ndarray:
    """All bands of the image at ``path``, in the file's order, as numbers are stored: (h, w, c).

    Raises:
        UserError: it can't be read.
    """
    content = fetch(path, None)
    if content.startswith(TIFF_STARTS) and find_spec("tifffile") is not None:
        image = decode(content, path, "unchanged", "tifffile")
    else:
        image = decode(content, path, "unchanged", "cv2")
        if image.ndim == 3:  # OpenCV's order is blue, green, red, transparency
            image = image[..., [2, 1, 0, 3][: image.shape[2]]]
    return np.ascontiguousarray(image if image.ndim == 3 else image[..., None])


@TRANSFORMS.register_module()
class LoadSingleRSImageFromFile(BaseTransform):
    """Read all bands of ``img_path`` into ``img``: (h, w, c), in the file's order.

    ``to_float32=False`` keeps the numbers as they are stored. TIFF of any number of bands is read
    by tifffile, other formats by OpenCV; red comes first, so that bgr_to_rgb is to be left out.

    Raises:
        UserError: the file is missing or can't be read.

    Source: ``mmseg.datasets.transforms.LoadSingleRSImageFromFile``, which needs GDAL.
    """

    def __init__(self, to_float32: bool = True) -> None:
        self.to_float32 = to_float32

    def transform(self, results: dict) -> dict:
        return set_image(results, read_bands(results["img_path"]), self.to_float32)


@TRANSFORMS.register_module()
class LoadMultipleRSImageFromFile(BaseTransform):
    """`LoadSingleRSImageFromFile`, and of ``img_path2`` into ``img2``, which is of the same shape.

    Source: ``mmseg.datasets.transforms.LoadMultipleRSImageFromFile``, which needs GDAL.
    """

    def __init__(self, to_float32: bool = True) -> None:
        self.to_float32 = to_float32

    def transform(self, results: dict) -> dict:
        if "img_path2" not in results:
            raise UserError(
                f"{results['img_path']} has no second image, img_path2: use a data set of pairs, "
                "or LoadSingleRSImageFromFile."
            )
        first, second = (read_bands(results[key]) for key in ("img_path", "img_path2"))
        if first.shape != second.shape:
            raise UserError(
                f"{results['img_path']} is of shape {first.shape} and {results['img_path2']} of "
                f"{second.shape}: make both the same."
            )
        other = set_image({"img_path": results["img_path2"]}, second, self.to_float32)
        results["img2"] = other["img"]
        return set_image(results, first, self.to_float32)


@TRANSFORMS.register_module()
class ConcatCDInput(BaseTransform):
    """Put the channels of ``input_keys`` one behind the other into ``img``.

    Source: ``mmseg.datasets.transforms.ConcatCDInput``.
    """

    def __init__(self, input_keys: Sequence[str] = ("img", "img2")) -> None:
        self.input_keys = tuple(input_keys)

    def transform(self, results: dict) -> dict:
        missing = [key for key in self.input_keys if key not in results]
        if missing:
            raise UserError(
                f"ConcatCDInput finds no {', '.join(missing)}: put LoadMultipleRSImageFromFile "
                "before it."
            )
        images = [results.pop(key) for key in self.input_keys]
        results["img"] = np.concatenate(images, axis=2)
        return results


@TRANSFORMS.register_module()
class LoadImageFromNpyFile(LoadImageFromFile):
    """`LoadImageFromFile` that takes a .npy file as well: (h, w) or (h, w, c), as it is.

    Raises:
        UserError: the file is missing, or holds anything else.

    Source: ``mmseg.datasets.transforms.LoadImageFromNpyFile``.
    """

    def transform(self, results: dict) -> dict | None:
        path = results["img_path"]
        if "packed" in results or not str(path).endswith(".npy"):
            return super().transform(results)
        try:
            image = _read_array(path, self.backend_args)
        except UserError:
            if self.ignore_empty:
                return None
            raise
        return set_image(results, image, self.to_float32)


def _read_array(path: str, backend_args: dict | None) -> np.ndarray:
    try:
        # Unpickling could run code.
        array = np.load(io.BytesIO(fetch(path, backend_args)), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise UserError(f"{path} is no array of numbers ({error}): save it anew.") from error
    if array.ndim not in (2, 3) or array.dtype.kind not in "uif":
        raise UserError(
            f"{path} holds {array.dtype} of shape {array.shape}: images are numbers, (h, w) or "
            "(h, w, channels)."
        )
    return array
