"""Lay label maps over images."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from mmengine.dist import master_only
from mmengine.structures import PixelData
from mmengine.visualization import Visualizer

from mmseg_gc.colors import class_colors
from mmseg_gc.registry import DATASETS, VISUALIZERS
from mmseg_gc.structures import SegDataSample
from mmseg_gc.visualization.displayable import displayable, is_displayable
from mmseg_gc.visualization.drawings import write_drawing


def overlay(
    image: np.ndarray, labels: np.ndarray, palette: np.ndarray, alpha: float = 0.8
) -> np.ndarray:
    """Blend the classes' colours over an image; ids outside the palette leave it as it is.

    Args:
        image: RGB uint8, ``(H, W, 3)``.
        labels: class ids, ``(H, W)``.
        palette: RGB uint8, ``(num_classes, 3)``.
        alpha: weight of the colour, 0 to 1.
    """
    known = labels < len(palette)
    colors = palette[np.where(known, labels, 0)]
    blended = cv2.addWeighted(image, 1 - alpha, colors, alpha, 0)
    return np.where(known[..., None], blended, image)


def write_names(drawing: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> None:
    """Write each class's name on the largest region that it has, in place."""
    min_area = labels.size // 500  # a name on a smaller region would hide it
    for class_id in np.unique(labels):
        if class_id >= len(classes):
            continue
        _, _, stats, centers = cv2.connectedComponentsWithStats((labels == class_id).astype("u1"))
        areas = stats[1:, cv2.CC_STAT_AREA]
        largest = 1 + int(areas.argmax())
        if stats[largest, cv2.CC_STAT_AREA] < min_area:
            continue
        x, y = centers[largest]
        name, font, size = classes[class_id], cv2.FONT_HERSHEY_SIMPLEX, 0.35
        (width, height), _ = cv2.getTextSize(name, font, size, 1)
        origin = (int(x - width / 2), int(y + height / 2))
        for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(drawing, name, origin, font, size, color, thickness, cv2.LINE_AA)


@VISUALIZERS.register_module()
class SegLocalVisualizer(Visualizer):
    """Draw the labels and the prediction of an image, side by side, for every backend.

    ``classes`` and ``palette`` (RGB) come from the data set where they aren't given;
    ``dataset_name`` takes those of a data set class, such as ``"CityscapesDataset"``.

    Source: ``mmseg.visualization.SegLocalVisualizer``.
    """

    def __init__(
        self,
        name: str = "visualizer",
        image: np.ndarray | None = None,
        vis_backends: list[dict] | dict | None = None,
        save_dir: str | None = None,
        classes: Sequence[str] | None = None,
        palette: Sequence[Sequence[int]] | None = None,
        dataset_name: str | None = None,
        alpha: float = 0.8,
    ):
        super().__init__(name, image, vis_backends, save_dir)
        self.alpha = alpha
        self.set_dataset_meta(classes, palette, dataset_name)

    def set_dataset_meta(
        self,
        classes: Sequence[str] | None = None,
        palette: Sequence[Sequence[int]] | None = None,
        dataset_name: str | None = None,
    ) -> None:
        """Name the classes and their RGB colours."""
        meta = DATASETS.get(dataset_name).METAINFO if dataset_name else {}
        self.dataset_meta: dict[str, Any] = {
            "classes": classes or meta.get("classes"),
            "palette": palette or meta.get("palette"),
        }

    def draw_sem_seg(
        self, image: np.ndarray, sem_seg: PixelData, with_labels: bool = False
    ) -> np.ndarray:
        """``image`` (RGB uint8, ``(H, W, 3)``) with ``sem_seg`` laid over it."""
        labels = sem_seg.data.squeeze(0).cpu().numpy()
        meta = self.dataset_meta or {}
        palette, classes = meta.get("palette"), meta.get("classes") or ()
        count = len(palette or classes) or int(labels[labels < 255].max(initial=0)) + 1
        drawing = overlay(image, labels, class_colors(palette, count), self.alpha)
        if with_labels and classes:
            write_names(drawing, labels, classes)
        return drawing

    @master_only
    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: SegDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        step: int = 0,
        with_labels: bool = True,
    ) -> np.ndarray:
        """Draw one image: labels on the left, prediction on the right, where it has them.

        Returns the drawn RGB uint8 drawing (on the main process; None on the others).

        Args:
            image: RGB uint8, ``(H, W, 3)``; any other is made that as `displayable` says.
            wait_time: seconds that a window stays open; 0 waits for a key.
            out_file: write here, whole or not at all, in place of the backends.
        """
        if not is_displayable(image):
            image = displayable(image)
        drawn = [
            self.draw_sem_seg(image, data_sample.get(field), with_labels)
            for field, wanted in (("gt_sem_seg", draw_gt), ("pred_sem_seg", draw_pred))
            if wanted and data_sample is not None and field in data_sample
        ]
        drawing = np.concatenate(drawn, axis=1) if drawn else image
        self.set_image(drawing)
        if show:
            self.show(drawing, win_name=name, wait_time=wait_time)
        if out_file is not None:
            write_drawing(drawing, out_file)
        else:
            self.add_image(name, drawing, step)
        return drawing
