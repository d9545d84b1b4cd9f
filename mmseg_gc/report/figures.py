"""The figures of a test: of each image as small arrays, and of the whole from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from mmseg_gc.errors import UserError
from mmseg_gc.evaluation.confusion import class_figures, overall_accuracy
from mmseg_gc.report.boundary import boundary_counts, small_distances
from mmseg_gc.report.calibration import BINS, calibration_error

NAMED_IMAGES = 8  # for each kind of error


@dataclass(frozen=True)
class ImageFigures:
    """What is kept of one image.

    ``cells`` are the places in the flat confusion matrix, (k,), that have ``pixels``, (k,);
    ``boundary`` is (C, 2) as `boundary_counts` has it, ``distances`` as `small_distances`,
    ``calibration`` (3, `BINS`) or None.
    """

    path: str
    cells: np.ndarray
    pixels: np.ndarray
    ignored: int
    boundary: np.ndarray
    distances: Mapping[int, float]
    calibration: np.ndarray | None


def measure(
    path: str,
    pred: np.ndarray,
    label: np.ndarray,
    *,
    num_classes: int,
    ignore_index: int,
    calibration: np.ndarray | None = None,
) -> ImageFigures:
    """The figures of one image from ``pred`` and ``label``, (H, W), integer.

    Raises:
        UserError: an id is neither a class nor ignored.
    """
    counting = label != ignore_index
    true, found = label[counting], pred[counting]
    for kind, ids in (("label", true), ("predicted", found)):
        if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < num_classes:
            wrong = sorted({int(ids.min()), int(ids.max())} - set(range(num_classes)))
            raise UserError(
                f"{path}: {kind} ids {wrong} are outside the {num_classes} classes; correct the "
                "labels or the model's num_classes."
            )
    # By numpy: many threads at once would get into the way of torch's own.
    flat = np.bincount(true.astype(np.int64) * num_classes + found, minlength=num_classes**2)
    cells = flat.nonzero()[0]
    return ImageFigures(
        path=path,
        cells=cells.astype(np.int32),
        pixels=flat[cells],
        ignored=int(label.size - flat.sum()),
        boundary=boundary_counts(pred, label, num_classes, ignore_index),
        distances=small_distances(pred, label, num_classes, ignore_index),
        calibration=calibration,
    )


def image_score(image: ImageFigures, num_classes: int, ignore_index: int) -> float:
    """An image's own mIoU, a ratio, over the classes that its label or its prediction has."""
    hit, true, found = _hits(image, num_classes)
    return float(_mean(_iou(hit, true, found, ignore_index)))


class RunFigures:
    """All figures of a test over ``images``, in which class ``ignore_index`` has none.

    Arrays are float64 ratios by class (C,) or by image (N,), NaN where there is nothing to count.
    """

    def __init__(
        self,
        images: Sequence[ImageFigures],
        classes: Sequence[str],
        ignore_index: int,
    ) -> None:
        self.images = list(images)
        self.classes = list(classes)
        self.ignore_index = ignore_index
        shape = (len(self.images), len(self.classes))
        hits = [_hits(image, len(self.classes)) for image in self.images]
        self.hit, self.true, self.found = (
            np.array([one[i] for one in hits], np.int64).reshape(shape) for i in range(3)
        )

    @cached_property
    def confusion(self) -> np.ndarray:
        """(C, C), int64, row = true id, column = predicted id."""
        size = len(self.classes)
        total = np.zeros(size * size, np.int64)
        for image in self.images:
            total[image.cells] += image.pixels
        return total.reshape(size, size)

    @cached_property
    def by_class(self) -> dict[str, np.ndarray]:
        """IoU, Acc, Fscore, Precision, Recall and boundary IoU of each class."""
        counts = torch.from_numpy(self.confusion)
        figures = {**class_figures(counts, "mIoU"), **class_figures(counts, "mFscore")}
        found = {name: values.numpy().copy() for name, values in figures.items()}
        both, either = self.boundary.sum(axis=0).T
        found["Boundary IoU"] = _ratio(both, either)
        for values in found.values():
            if 0 <= self.ignore_index < len(self.classes):
                values[self.ignore_index] = np.nan
        return found

    @cached_property
    def means(self) -> dict[str, float]:
        """aAcc and the mean over classes of each figure of `by_class`, as `IoUMetric` has them."""
        accuracy = float(overall_accuracy(torch.from_numpy(self.confusion)))
        return {"aAcc": accuracy} | {
            f"m{name}": float(_mean(values)) for name, values in self.by_class.items()
        }

    @cached_property
    def boundary(self) -> np.ndarray:
        """(N, C, 2), int64."""
        return np.array([image.boundary for image in self.images], np.int64).reshape(
            len(self.images), len(self.classes), 2
        )

    @cached_property
    def image_iou(self) -> np.ndarray:
        """IoU of each class in each image: (N, C)."""
        return _iou(self.hit, self.true, self.found, self.ignore_index)

    @cached_property
    def image_means(self) -> np.ndarray:
        """Each image's own mIoU."""
        return _mean(self.image_iou)

    @cached_property
    def image_accuracy(self) -> np.ndarray:
        return _ratio(self.hit.sum(axis=1), self.true.sum(axis=1))

    @cached_property
    def calibration(self) -> np.ndarray | None:
        """(3, `BINS`) over all images, None where the model showed no logits."""
        tables = [image.calibration for image in self.images if image.calibration is not None]
        return sum(tables, np.zeros((3, BINS))) if tables else None

    @property
    def calibration_error(self) -> float:
        return float("nan") if self.calibration is None else calibration_error(self.calibration)

    @cached_property
    def distances(self) -> list[np.ndarray]:
        """HD95 in pixels of every image in which a class is a small structure, by class."""
        found: list[list[float]] = [[] for _ in self.classes]
        for image in self.images:
            for number, distance in image.distances.items():
                found[number].append(distance)
        return [np.array(values) for values in found]

    @cached_property
    def images_of_errors(self) -> dict[int, list[tuple[int, int]]]:
        """By place in the flat confusion matrix, off its diagonal: the images with most pixels.

        Each is the image's number and its pixels, the most first.
        """
        if not self.images:
            return {}
        cells = np.concatenate([image.cells for image in self.images])
        pixels = np.concatenate([image.pixels for image in self.images])
        numbers = np.repeat(np.arange(len(self.images)), [len(i.cells) for i in self.images])
        wrong = cells // len(self.classes) != cells % len(self.classes)
        cells, pixels, numbers = cells[wrong], pixels[wrong], numbers[wrong]
        order = np.lexsort((numbers, -pixels, cells))
        found: dict[int, list[tuple[int, int]]] = {}
        for place in order:
            images = found.setdefault(int(cells[place]), [])
            if len(images) < NAMED_IMAGES:
                images.append((int(numbers[place]), int(pixels[place])))
        return found


def _hits(image: ImageFigures, num_classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels of each class that are right, that are true, and that were predicted: (C,) each."""
    true, found = np.divmod(image.cells, num_classes)
    same = true == found
    return (
        np.bincount(true[same], image.pixels[same], num_classes).astype(np.int64),
        np.bincount(true, image.pixels, num_classes).astype(np.int64),
        np.bincount(found, image.pixels, num_classes).astype(np.int64),
    )


def _iou(hit: np.ndarray, true: np.ndarray, found: np.ndarray, ignore_index: int) -> np.ndarray:
    values = _ratio(hit, true + found - hit)
    if 0 <= ignore_index < values.shape[-1]:
        values[..., ignore_index] = np.nan
    return values


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    part, whole = part.astype(np.float64), whole.astype(np.float64)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _mean(values: np.ndarray) -> np.ndarray:
    """Of the last axis, without what is NaN; NaN where all is."""
    known = ~np.isnan(values)
    count = known.sum(axis=-1)
    total = np.where(known, values, 0).sum(axis=-1)
    return _ratio(np.asarray(total), np.asarray(count))
