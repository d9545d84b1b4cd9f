"""What a model says of one image, and the forms in which people use it."""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PILImage

from mmseg_gc.apis import shapes
from mmseg_gc.atomic import put
from mmseg_gc.colors import class_colors
from mmseg_gc.config import did_you_mean
from mmseg_gc.errors import UserError
from mmseg_gc.evaluation.label_files import label_file_ids
from mmseg_gc.visualization.drawings import write_drawing
from mmseg_gc.visualization.legend import with_legend
from mmseg_gc.visualization.local_visualizer import overlay

BACKGROUND = {"background", "_background_", "bg"}
OPACITY = 0.5


@dataclass
class Prediction:
    """Labels of one image, with what was asked for beside them.

    ``labels`` are ids of classes (h, w); ``confidence`` is the probability of the label, 0 to 1,
    and ``entropy`` that of all classes, 0 (sure) to 1 (all alike), float32 (h, w);
    ``probabilities`` are float16 (C, h, w). ``image`` is RGB uint8 (h, w, 3). ``meta`` is the
    model's ``dataset_meta``. What wasn't asked for is None.
    """

    labels: np.ndarray
    meta: Mapping
    name: str = "image"  # of the image's file, or a number
    image: np.ndarray | None = None
    confidence: np.ndarray | None = None
    entropy: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    scale: float | None = None  # metres a pixel's side
    opacity: float = OPACITY
    all_in_legend: bool = field(default=False, repr=False)
    drawn: frozenset[int] | None = field(default=None, repr=False)  # of overlays; None: all

    @cached_property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.meta.get("classes") or ())

    @cached_property
    def palette(self) -> np.ndarray:
        """RGB uint8, (number of classes or more, 3)."""
        count = max(len(self.classes), int(self.labels.max(initial=0)) + 1)
        return class_colors(self.meta.get("palette"), count)

    @cached_property
    def background(self) -> frozenset[int]:
        """The id that a class called background has: not drawn, and no polygon."""
        return frozenset(self.classes.index(n) for n in self.classes if n.lower() in BACKGROUND)

    def areas(self, scale: float | None = None, components: bool = False) -> list[dict]:
        """Pixels and share of each class, or with ``components`` of each connected piece.

        ``scale``, metres that a pixel's side is long, adds square metres as ``m2``.
        """
        scale = self.scale if scale is None else scale
        if components:
            return shapes.component_rows(self.labels, self.classes, scale, self.background)
        return shapes.area_rows(self.labels, self.classes, scale)

    def polygons(self, min_area: int = 0) -> list[dict]:
        """Every piece of ``min_area`` pixels or more, but of the background.

        Each has ``id``, ``class``, ``pixels``, ``outline``, the points (x, y) along the pixels'
        edges, and ``holes``, a list of such.
        """
        found = []
        for number in np.unique(self.labels).tolist():
            if number in self.background:
                continue
            for outline, holes in shapes.polygons_of(self.labels == number):
                pixels = round(shapes.ring_area(outline) - sum(map(shapes.ring_area, holes)))
                if pixels >= min_area:
                    name = self.classes[number] if number < len(self.classes) else str(number)
                    one = {"id": number, "class": name, "pixels": pixels}
                    found.append(one | {"outline": outline, "holes": holes})
        return found

    def to_geojson(self, min_area: int = 0) -> dict:
        """`polygons` as a FeatureCollection whose coordinates are pixels, y downwards."""
        return shapes.geojson(self.polygons(min_area))

    def colour(self) -> np.ndarray:
        """The classes' colours, RGB uint8 (h, w, 3)."""
        return self.palette[self.labels]

    def overlay(self, opacity: float | None = None, legend: bool = True) -> np.ndarray:
        """The colours of ``drawn`` over the image, RGB uint8 (h, w, 3), the background undrawn.

        Raises:
            UserError: the image wasn't kept.
        """
        if self.image is None:
            raise UserError(f"{self.name}: the image wasn't kept; ask for the output 'overlay'.")
        shown = self.palette
        labels = self.labels.astype(np.int64)
        hidden = self.background
        if self.drawn is not None:
            hidden = frozenset(range(len(shown))) - self.drawn
        if hidden:
            labels = np.where(np.isin(labels, list(hidden)), len(shown), labels)
        drawn = overlay(self.image, labels, shown, self.opacity if opacity is None else opacity)
        if not legend:
            return drawn
        ids = range(len(self.classes)) if self.all_in_legend else np.unique(self.labels).tolist()
        ids = [number for number in ids if number not in hidden]
        return with_legend(drawn, self.classes, shown, ids)

    def save(self, path: str | Path, output: str | None = None) -> Path:
        """Write ``output``, one of `OUTPUTS`, to ``path``, whole or not at all.

        Without one it is what the suffix says: .geojson, .npz, .json (areas), else the overlay.

        Raises:
            UserError: there is no such output, or the file can't be written.
        """
        by_suffix = {".geojson": "geojson", ".npz": "probabilities", ".json": "areas"}
        output = output or by_suffix.get(Path(path).suffix.lower(), "overlay")
        OUTPUTS[require_outputs([output])[0]].write(self, str(path))
        return Path(path)


@dataclass(frozen=True)
class Output:
    """A kind of file: its ``suffix``, how it is written, and what it needs of the network."""

    suffix: str
    write: Callable[[Prediction, str], None]
    about: str
    needs: frozenset[str] = frozenset()


def _put_json(content: object, path: str) -> None:
    put(json.dumps(content, separators=(",", ":")).encode(), path)


def _write_ids(of: Prediction, path: str) -> None:
    ids = label_file_ids(of.meta)[of.labels]
    content = io.BytesIO()
    PILImage.fromarray(ids).save(content, "PNG")
    put(content.getvalue(), path)


def _write_share(values: np.ndarray | None, path: str) -> None:
    if values is None:
        raise UserError(f"{path}: this map wasn't asked for when the image was labelled.")
    grey = np.rint(np.nan_to_num(values) * 255).clip(0, 255).astype(np.uint8)
    put(cv2.imencode(".png", grey)[1].tobytes(), path)


def _write_probabilities(of: Prediction, path: str) -> None:
    if of.probabilities is None:
        raise UserError(f"{path}: probabilities weren't asked for when the image was labelled.")
    content = io.BytesIO()
    np.savez_compressed(content, probabilities=of.probabilities, classes=np.array(of.classes))
    put(content.getvalue(), path)


def _write_areas(of: Prediction, path: str) -> None:
    height, width = of.labels.shape
    about = dict(image=of.name, width=width, height=height, scale=of.scale)
    _put_json({**about, "classes": of.areas(), "components": of.areas(components=True)}, path)


OUTPUTS = {
    "overlay": Output(
        ".jpg",
        lambda of, path: write_drawing(of.overlay(), path),
        "colours over the image, with a legend",
        frozenset({"image"}),
    ),
    "ids": Output(".png", _write_ids, "the label files' numbers"),
    "colour": Output(
        ".png", lambda of, path: write_drawing(of.colour(), path), "the classes' colours"
    ),
    "confidence": Output(
        ".png",
        lambda of, path: _write_share(of.confidence, path),
        "probability of the label, 0 to 255",
        frozenset({"confidence"}),
    ),
    "entropy": Output(
        ".png",
        lambda of, path: _write_share(of.entropy, path),
        "doubt: 0 sure, 255 all classes alike",
        frozenset({"entropy"}),
    ),
    "probabilities": Output(
        ".npz",
        _write_probabilities,
        "of all classes, float16 (C, h, w)",
        frozenset({"probabilities"}),
    ),
    "areas": Output(".json", _write_areas, "of classes and pieces; areas.csv of all images"),
    "geojson": Output(
        ".geojson", lambda of, path: _put_json(of.to_geojson(), path), "polygons, in pixels"
    ),
    "coco": Output(
        ".json",
        lambda of, path: _put_json(
            shapes.coco(of.labels, of.classes, of.name, of.background), path
        ),
        "run lengths, for CVAT and pycocotools",
    ),
    "labelme": Output(
        ".json",
        lambda of, path: _put_json(shapes.labelme(of.polygons(), of.name, of.labels.shape), path),
        "polygons, for LabelMe, CVAT and Label Studio",
    ),
}


def require_outputs(names: list[str]) -> list[str]:
    """``names``, once all are known.

    Raises:
        UserError: one isn't.
    """
    for name in names:
        if name not in OUTPUTS:
            raise UserError(f"no output is called {name!r}{did_you_mean(name, OUTPUTS)}")
    return names
