"""Read images and labels; a file that can't be used is named with the cure."""

import os.path as osp
from importlib.util import find_spec

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmseg_gc.datasets.notices import is_first, warn
from mmseg_gc.datasets.transforms.decoding import decode, fetch, levels_lost, stored_ids
from mmseg_gc.datasets.transforms.headers import Header, orientation, read_header
from mmseg_gc.datasets.transforms.labels import colors_to_ids, id_table, shared_color
from mmseg_gc.datasets.transforms.nonfinite import tell_nonfinite
from mmseg_gc.errors import UserError
from mmseg_gc.registry import TRANSFORMS
from mmseg_gc.structures import all_ids_known

RESIZABLE = (np.uint8, np.uint16, np.int16, np.float32)  # by OpenCV; others become float32


@TRANSFORMS.register_module()
class LoadImageFromFile(BaseTransform):
    """Read ``img_path`` into ``img``: (h, w, 3), BGR, uint8 unless ``color_type="unchanged"``.

    ``color_type="unchanged"`` keeps 16 bits and any number of channels; that any other keeps 8 of
    16 bits is told once a folder. A TIFF of more than four channels, or of several grey ones, needs
    ``imdecode_backend="tifffile"``, which keeps the file's order of channels. ``ignore_empty``
    skips a file that can't be read.

    Raises:
        UserError: The file is missing, unreadable or truncated.

    Source: ``mmcv.transforms.LoadImageFromFile``.
    """

    def __init__(
        self,
        to_float32: bool = False,
        color_type: str = "color",
        imdecode_backend: str = "cv2",
        ignore_empty: bool = False,
        backend_args: dict | None = None,
    ) -> None:
        self.to_float32 = to_float32
        self.color_type = color_type
        self.imdecode_backend = _usable(imdecode_backend)
        self.ignore_empty = ignore_empty
        self.backend_args = dict(backend_args) if backend_args else None

    @property
    def decoding(self) -> dict[str, str]:
        """The options that the pixels depend on."""
        return {"color_type": self.color_type, "imdecode_backend": self.imdecode_backend}

    def transform(self, results: dict) -> dict | None:
        if "packed" in results:
            return set_image(results, results["packed"].image(), self.to_float32)
        path = results["img_path"]
        try:
            content = fetch(path, self.backend_args)
            image = decode(content, path, self.color_type, self.imdecode_backend)
        except UserError:
            if self.ignore_empty:
                return None
            raise
        self._tell_lost_bits(content, path, image)
        if self.color_type in ("color", "grayscale") and (how := orientation(content)) != 1:
            results["orientation"] = how
        return set_image(results, image, self.to_float32)

    def _tell_lost_bits(self, content: bytes, path: str, image: np.ndarray) -> None:
        if image.dtype != np.uint8 or read_header(content).bits <= 8:
            return
        if not is_first(f"bits {self.color_type} {osp.dirname(path)}"):
            return
        if levels := levels_lost(content, path, image):
            warn(
                f"{path} has more than 8 bits a channel, and color_type={self.color_type!r} keeps "
                f"the upper 8: {levels[1]} levels become {levels[0]}; set color_type='unchanged' "
                "in every LoadImageFromFile, and mean and std in the file's range, to keep all."
            )


@TRANSFORMS.register_module()
class LoadImageFromNDArray(BaseTransform):
    """Take ``img`` as it is, (h, w) or (h, w, c), where the caller has read it.

    Source: ``mmseg.datasets.transforms.LoadImageFromNDArray``.
    """

    def __init__(self, to_float32: bool = False) -> None:
        self.to_float32 = to_float32

    def transform(self, results: dict) -> dict:
        results["img_path"] = None
        return set_image(results, results["img"], self.to_float32)


@TRANSFORMS.register_module()
class LoadAnnotations(BaseTransform):
    """Read ``seg_map_path`` into ``gt_seg_map``: (h, w), uint8, the ids that training sees.

    The data set says through the results how: ``file_label_map`` says what an id of the file stands
    for, ``reduce_zero_label`` and ``label_map`` rename what that gives, ``mask_colors`` translates
    a colour mask, and an id that is neither below ``num_classes`` nor ``ignore_index`` is an error.
    ``reduce_zero_label`` here must agree. A packed label is all that already. Grey PNGs of 1, 2 and
    4 bits hold ids as any other; labels of a lossy format are warned of once a folder.

    Raises:
        UserError: The label is missing, unreadable, of another size than the image, has ids
            outside the classes, or colours outside the palette.

    Source: ``mmseg.datasets.transforms.LoadAnnotations``, which reads wrong ids modulo 256.
    """

    def __init__(
        self,
        reduce_zero_label: bool | None = None,
        backend_args: dict | None = None,
        imdecode_backend: str = "pillow",
    ) -> None:
        self.reduce_zero_label = reduce_zero_label
        self.backend_args = dict(backend_args) if backend_args else None
        self.imdecode_backend = _usable(imdecode_backend)

    def transform(self, results: dict) -> dict:
        path = results.get("seg_map_path")
        if path is None:
            raise UserError(
                f"{results.get('img_path')} has no label: set data_prefix.seg_map_path, or leave "
                "LoadAnnotations out of the pipeline to predict only."
            )
        if "packed" in results:
            results["gt_seg_map"] = results["packed"].label()
            results.setdefault("seg_fields", []).append("gt_seg_map")
            return results
        content = fetch(path, self.backend_args)
        label = decode(content, path, "unchanged", self.imdecode_backend)
        if label.ndim == 3 and label.shape[2] == 1:
            label = label[..., 0]
        header = read_header(content)
        label = stored_ids(label, header)
        if "orientation" in results and is_first(f"turned {osp.dirname(path)}"):
            warn(
                f"{results['img_path']} is read turned or mirrored, as its EXIF orientation "
                f"({results['orientation']}) says: its label has to be drawn on what viewers show, "
                "or else set color_type='color_ignore_orientation' in every LoadImageFromFile."
            )
        shape = results.get("ori_shape")
        if shape is not None and label.shape[:2] != tuple(shape[:2]):
            raise UserError(
                f"{path} is {_size(label.shape)} pixels but its image {results['img_path']} is "
                f"{_size(shape)}: make both the same size."
            )
        if label.ndim == 3:
            label = self._ids_of_colors(label, results, path)
        else:
            label = self._final_ids(label, results, path, header)
        results["gt_seg_map"] = label
        results.setdefault("seg_fields", []).append("gt_seg_map")
        return results

    def _ids_of_colors(self, mask: np.ndarray, results: dict, path: str) -> np.ndarray:
        colors = results.get("mask_colors")
        if not colors or mask.shape[2] == 2 or mask.dtype != np.uint8:
            raise UserError(
                f"{path} has {mask.shape[2]} channels of {mask.dtype} where one id per pixel is "
                "expected: convert it to ids, or give metainfo.palette if it is an 8-bit RGB mask."
            )
        if shared := shared_color(colors):
            color, first, second = shared
            raise UserError(
                f"{path} is a colour mask, but the classes {first} and {second} share the colour "
                f"{color}: give metainfo.palette one colour each."
            )
        # mmcv hands colours out as BGR, whatever the backend; a fourth channel is transparency.
        label, unknown = colors_to_ids(np.ascontiguousarray(mask[..., :3]), colors)
        if unknown:
            raise UserError(
                f"{path} has {len(unknown)} colours (r, g, b) outside metainfo.palette, first "
                f"{unknown[:3]}: correct the palette, or list colours to ignore in "
                "metainfo.ignored_colors."
            )
        return label

    def _final_ids(self, label: np.ndarray, results: dict, path: str, header: Header) -> np.ndarray:
        num_classes, ignore_index = results.get("num_classes"), results.get("ignore_index", 255)
        if label.dtype != np.uint8:
            narrow = label.astype(np.uint8)
            if not np.array_equal(narrow, label):
                raise _outside(path, np.unique(label[narrow != label]), results, header)
            label = narrow
        reduces, label_map = self._reduces(results), results.get("label_map")
        file_label_map = results.get("file_label_map")
        final = label
        if reduces or label_map or file_label_map:
            final = cv2.LUT(label, id_table(reduces, label_map, ignore_index, file_label_map))
        if num_classes is not None and not all_ids_known(final, num_classes, ignore_index):
            known = (final < num_classes) | (final == ignore_index)
            raise _outside(path, np.unique(label[~known]), results, header)
        if header.lossy and is_first(f"lossy labels {osp.dirname(path)}"):
            warn(
                f"{path} is a {header.lossy}, whose compression changes the ids in a label where "
                "classes meet, even at the highest quality: save the labels as PNG, from what "
                "they were made of."
            )
        return final

    def _reduces(self, results: dict) -> bool:
        of_dataset = results.get("reduce_zero_label", self.reduce_zero_label)
        if self.reduce_zero_label is not None and self.reduce_zero_label != of_dataset:
            raise UserError(
                f"LoadAnnotations.reduce_zero_label is {self.reduce_zero_label} but the data set's "
                f"is {of_dataset}: set it on the data set alone."
            )
        return bool(of_dataset)


def _usable(backend: str) -> str:
    known = ("cv2", "pillow", "tifffile", "turbojpeg")
    if backend not in known:
        raise UserError(f"imdecode_backend is {backend!r}: choose from {', '.join(known)}.")
    if backend == "tifffile" and find_spec("tifffile") is None:
        raise UserError("imdecode_backend='tifffile' needs a package: pip install tifffile.")
    return backend


def _outside(path: str, ids: np.ndarray, results: dict, header: Header) -> UserError:
    shown = ", ".join(str(number) for number in ids[:5]) + (", …" if len(ids) > 5 else "")
    outside = f"label ids outside the {results.get('num_classes') or 256} classes: {shown}; "
    if header.lossy:
        return UserError(
            f"{path} is a {header.lossy}, whose compression changes ids, and has {outside}save the "
            "labels as PNG, from what they were made of."
        )
    reduce = results.get("reduce_zero_label", False)
    return UserError(
        f"{path} has {outside}correct metainfo.classes, or the data set's ignore_index "
        f"({results.get('ignore_index', 255)}) or reduce_zero_label ({reduce}; True where ids "
        "count from 1), or say by label_map what they stand for, as in label_map={255: 1}."
    )


def set_image(results: dict, image: np.ndarray, to_float32: bool) -> dict:
    """``results`` with ``image`` in them, float32 where OpenCV can't resize what it is."""
    if image.dtype.kind == "f":
        tell_nonfinite(image, results.get("img_path") or "the image array")
    fits = not to_float32 and image.dtype in RESIZABLE
    results["img"] = image if fits else image.astype(np.float32, copy=False)
    results["img_shape"] = results["ori_shape"] = image.shape[:2]
    return results


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]}"
