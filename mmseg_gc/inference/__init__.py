"""From a network's logits to the labels of an image."""

from mmseg_gc.inference.label_maps import (
    LogitMap,
    MeanProbabilities,
    ResampledLogits,
    Size,
    Watch,
    at_original_size,
    label_image,
    labels_of,
    write_result,
)
from mmseg_gc.inference.memory_budget import images_at_once, images_at_once_of, parse_budget
from mmseg_gc.inference.parallel import in_halves
from mmseg_gc.inference.primitives import bound_primitives
from mmseg_gc.inference.sliding_window import WindowLogits

__all__ = [
    "LogitMap",
    "MeanProbabilities",
    "ResampledLogits",
    "Size",
    "Watch",
    "WindowLogits",
    "at_original_size",
    "images_at_once",
    "images_at_once_of",
    "in_halves",
    "label_image",
    "labels_of",
    "parse_budget",
    "write_result",
]

bound_primitives()
