"""Results over their images."""

from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from mmseg_gc.apis.expected import Expected, Image
from mmseg_gc.apis.inference import as_array
from mmseg_gc.registry import TRANSFORMS
from mmseg_gc.structures import SegDataSample
from mmseg_gc.visualization import SegLocalVisualizer
from mmseg_gc.visualization.displayable import displayable


def show_result_pyplot(
    model: nn.Module,
    img: Image,
    result: SegDataSample,
    opacity: float = 0.5,
    title: str = "",
    draw_gt: bool = True,
    draw_pred: bool = True,
    wait_time: float = 0,
    show: bool = True,
    with_labels: bool = True,
    save_dir: str | None = None,
    out_file: str | None = None,
) -> np.ndarray:
    """Draw ``result`` over ``img``, show or save it, and return the RGB drawing ``(H, W, 3)``.

    Source: ``mmseg.apis.show_result_pyplot``.
    """
    image = drawable(img, Expected.of(model.cfg))
    backends = [dict(type="LocalVisBackend")] if save_dir else None
    visualizer = SegLocalVisualizer(
        vis_backends=backends, save_dir=save_dir, alpha=opacity, **_names_and_colors(model)
    )
    return visualizer.add_datasample(
        title or "result",
        image,
        data_sample=result,
        draw_gt=draw_gt,
        draw_pred=draw_pred,
        show=show,
        wait_time=wait_time,
        out_file=out_file,
        with_labels=with_labels,
    )


def _names_and_colors(model: nn.Module) -> dict[str, Any]:
    meta = getattr(model, "dataset_meta", None) or {}
    return {key: meta.get(key) for key in ("classes", "palette")}


def drawable(image: Image, expected: Expected) -> np.ndarray:
    """``image``, of a file or in memory, as a screen shows it: RGB, uint8, (h, w, 3)."""
    if isinstance(image, str | Path):
        loader = TRANSFORMS.build(dict(expected.loader))
        pixels = loader({"img_path": str(image)})["img"]
    else:
        pixels = as_array(image, expected)
    if pixels.dtype.kind == "f":
        pixels = np.nan_to_num(pixels, posinf=0, neginf=0)
    if expected.reads_8_bits:
        pixels = pixels.astype(np.uint8)
    return displayable(pixels)
