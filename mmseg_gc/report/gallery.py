"""The best and the worst images of a test, drawn small."""

import base64
import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from threading import Lock

import cv2
import numpy as np
from PIL import Image

from mmseg_gc.colors import class_colors
from mmseg_gc.datasets.transforms.drawing import read_for_drawing
from mmseg_gc.visualization.displayable import displayable

SHOWN = 6  # of each kind
LONG_SIDE = 480  # pixels
IGNORED, RIGHT, WRONG = (70, 70, 70, 255), (236, 236, 236, 255), (213, 94, 0, 255)


@dataclass(frozen=True)
class Layers:
    """``data:`` addresses of an image, its label, its prediction and its errors, of one size."""

    width: int
    height: int
    image: str
    label: str
    prediction: str
    errors: str


@dataclass
class Gallery:
    """Keeps the layers of the `SHOWN` best and worst images of those that are offered."""

    best: list[tuple[float, str, Layers]] = field(default_factory=list)
    worst: list[tuple[float, str, Layers]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = Lock()

    def offer(self, score: float, path: str, draw: Callable[[], Layers]) -> None:
        """Keep what ``draw`` gives if ``score`` is among the best or worst; NaN never is.

        Threads may call it; which images stay doesn't depend on their order.
        """
        if score != score:
            return
        with self._lock:
            wanted = [
                (images, key)
                for images, key in ((self.best, (score, path)), (self.worst, (-score, path)))
                if len(images) < SHOWN or key > images[0][:2]
            ]
        if not wanted:
            return
        layers = draw()
        with self._lock:
            for images, key in wanted:
                heapq.heappush(images, (*key, layers))
                if len(images) > SHOWN:
                    heapq.heappop(images)

    def take(self, other: "Gallery") -> None:
        """Keep the best and worst of both."""
        for mine, theirs in ((self.best, other.best), (self.worst, other.worst)):
            for entry in theirs:
                heapq.heappush(mine, entry)
                if len(mine) > SHOWN:
                    heapq.heappop(mine)

    def __getstate__(self) -> dict:
        return {"best": self.best, "worst": self.worst}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self.__post_init__()

    def sorted(self) -> tuple[list[tuple[str, Layers]], list[tuple[str, Layers]]]:
        """Worst images, the worst first, and best ones, the best first, by path."""
        return _in_order(self.worst), _in_order(self.best)


def _in_order(images: list[tuple[float, str, Layers]]) -> list[tuple[str, Layers]]:
    kept = sorted(images, key=lambda entry: entry[:2], reverse=True)
    return [(path, layers) for _, path, layers in kept]


def draw_layers(
    path: str,
    pred: np.ndarray,
    label: np.ndarray,
    *,
    palette: Sequence[Sequence[int]] | None,
    num_classes: int,
    ignore_index: int,
    backend_args: dict | None = None,
) -> Layers:
    """The image of ``path`` with ``pred`` and ``label``, (H, W), no larger than `LONG_SIDE`."""
    shrink = min(1.0, LONG_SIDE / max(label.shape))
    height, width = (max(1, round(side * shrink)) for side in label.shape)
    size = (width, height)
    image = displayable(read_for_drawing(path, label.shape, backend_args))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    pred, label = (_nearest(ids, size) for ids in (pred, label))
    colors = np.full((num_classes + 1, 4), 255, np.uint8)
    colors[:-1, :3] = class_colors(palette, num_classes)
    colors[-1] = IGNORED
    ignored = label == ignore_index
    errors = np.array([WRONG, RIGHT], np.uint8)[(pred == label).astype(int)]
    errors[ignored] = IGNORED
    return Layers(
        width=width,
        height=height,
        image=_address(Image.fromarray(image), "jpeg", quality=82),
        label=_address(Image.fromarray(colors[np.where(ignored, num_classes, label)]), "png"),
        prediction=_address(Image.fromarray(colors[pred]), "png"),
        errors=_address(Image.fromarray(errors), "png"),
    )


def _nearest(ids: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(ids.astype(np.int32), size, interpolation=cv2.INTER_NEAREST)


def _address(image: Image.Image, kind: str, **options: int) -> str:
    image.save(content := BytesIO(), kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"
