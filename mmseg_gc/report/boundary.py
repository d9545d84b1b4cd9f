"""How well a prediction follows the edges of the truth."""

import cv2
import numpy as np

DILATION = 0.02  # of the image's diagonal: how wide the band along an edge is
SMALL = 0.02  # of the image's pixels: what is no larger is a small structure
SQUARE = np.ones((3, 3), np.uint8)


def band_width(height: int, width: int) -> int:
    """Pixels from an edge that belong to its band, 1 or more."""
    return max(1, round(DILATION * float(np.hypot(height, width))))


def boundary_counts(
    pred: np.ndarray, label: np.ndarray, num_classes: int, ignore_index: int
) -> np.ndarray:
    """Pixels in the intersection and in the union of the bands along each class's inner edge.

    ``pred`` and ``label`` are (H, W), integer; the result is (C, 2), int64. The image's border is
    an edge. Where an ignored pixel is as near as the band is wide, nobody knows whether there is
    an edge: such pixels don't count.

    Source: Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation",
    CVPR 2021; there the image has no ignored pixels.
    """
    width = band_width(*label.shape)
    counts = np.zeros((num_classes, 2), np.int64)
    ignored = label == ignore_index
    counting = None
    if ignored.any():
        counting = cv2.dilate(ignored.view(np.uint8), SQUARE, iterations=width) == 0
    for number in _present(pred, label, num_classes):
        masks = [(ids == number).view(np.uint8) for ids in (pred, label)]
        box = _box(masks[0] | masks[1])
        bands = [_band(mask[box], width) for mask in masks]
        if counting is not None:
            bands = [band & counting[box] for band in bands]
        counts[number] = (
            np.count_nonzero(bands[0] & bands[1]),
            np.count_nonzero(bands[0] | bands[1]),
        )
    return counts


def small_distances(
    pred: np.ndarray, label: np.ndarray, num_classes: int, ignore_index: int
) -> dict[int, float]:
    """HD95, in pixels, of each class that is a small structure of the label and was found.

    ``pred`` and ``label`` are (H, W), integer. HD95 is the larger of the 95th percentiles of the
    distances from one surface to the other. A class that is in one of them alone has none.
    """
    valid = label != ignore_index
    found = {}
    for number in _present(label, label, num_classes):
        true = ((label == number) & valid).view(np.uint8)
        size = np.count_nonzero(true)
        if not 0 < size <= SMALL * label.size:
            continue
        predicted = ((pred == number) & valid).view(np.uint8)
        if predicted.any():
            box = _box(true | predicted)
            found[number] = _hd95(predicted[box], true[box])
    return found


def _hd95(one: np.ndarray, other: np.ndarray) -> float:
    surfaces = [_band(mask, 1) for mask in (one, other)]
    directed = []
    for start, goal in (surfaces, surfaces[::-1]):
        away = (~goal).view(np.uint8)
        distances = cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[start]
        directed.append(float(np.percentile(distances, 95)))
    return max(directed)


def _band(mask: np.ndarray, width: int) -> np.ndarray:
    """The pixels of ``mask`` (h, w), uint8, that are up to ``width`` from its edge: bool."""
    inner: np.ndarray = cv2.erode(
        mask, SQUARE, iterations=width, borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    return (mask & ~inner).view(bool)


def _present(pred: np.ndarray, label: np.ndarray, num_classes: int) -> list[int]:
    ids = np.union1d(np.unique(pred), np.unique(label))
    return [int(number) for number in ids if 0 <= number < num_classes]


def _box(mask: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns that hold all of ``mask``."""
    left, top, width, height = cv2.boundingRect(mask)
    return slice(top, top + height), slice(left, left + width)
