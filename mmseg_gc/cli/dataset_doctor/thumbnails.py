"""Small images of a pair, the label laid over its right half, as data for a page."""

import base64
from collections.abc import Sequence

import cv2
import numpy as np

from mmseg_gc.cli.dataset_doctor.reading import Pair
from mmseg_gc.datasets.transforms.labels import colors_to_ids, id_table
from mmseg_gc.errors import UserError
from mmseg_gc.visualization.displayable import displayable
from mmseg_gc.visualization.local_visualizer import overlay

WIDTH, MAX_HEIGHT = 300, 600  # a column of pixels would make a page of gigabytes
UNKNOWN = (255, 0, 255)  # what is neither a class nor ignored


def thumbnail(pair: Pair, palette: Sequence[Sequence[int]]) -> str:
    """The image beside its label as a ``data:`` address; grey stands for what can't be read."""
    try:
        image = displayable(pair.decoding.image(pair.img_path))
    except UserError:
        image = None
    label = _ids(pair)
    shape = image if image is not None else label if label is not None else np.empty((3, 4))
    height = min(max(1, round(WIDTH * shape.shape[0] / shape.shape[1])), MAX_HEIGHT)
    left = _shrunk(image, height, cv2.INTER_AREA)
    if label is None:
        return _as_address(np.hstack([left, _shrunk(None, height, 0)]))
    label = _shrunk(label, height, cv2.INTER_NEAREST)
    ignored = label == pair.rules["ignore_index"]
    strange = (label >= len(palette)) & ~ignored
    right = overlay(left, label, np.array(list(palette) or [(0, 0, 0)], np.uint8), alpha=0.65)
    right[ignored] //= 2
    right[strange] = UNKNOWN
    return _as_address(np.hstack([left, right]))


def _ids(pair: Pair) -> np.ndarray | None:
    """The ids that training sees, (h, w), uint8; 254 where it sees none."""
    if pair.seg_map_path is None:
        return None
    try:
        label = pair.decoding.label(pair.seg_map_path)
    except UserError:
        return None
    rules = pair.rules
    if label.ndim == 3 and label.shape[2] >= 3 and label.dtype == np.uint8:
        colors = rules["mask_colors"]
        mask = np.ascontiguousarray(label[..., :3])
        return colors_to_ids(mask, colors)[0] if colors else mask[..., 0]
    if label.ndim == 3:
        return None
    label = np.where((label >= 0) & (label < 256), label, 254).astype(np.uint8)
    table = id_table(
        bool(rules["reduce_zero_label"]),
        rules["label_map"],
        rules["ignore_index"],
        rules.get("file_label_map"),
    )
    return table[label]


def _shrunk(image: np.ndarray | None, height: int, interpolation: int) -> np.ndarray:
    if image is None:
        return np.full((height, WIDTH, 3), 128, np.uint8)
    return cv2.resize(image, (WIDTH, height), interpolation=interpolation)


def _as_address(image: np.ndarray) -> str:
    content = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    return f"data:image/jpeg;base64,{base64.b64encode(content.tobytes()).decode()}"
