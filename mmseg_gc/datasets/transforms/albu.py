"""Albumentations in a pipeline."""

import copy
import os
import random
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmseg_gc.errors import UserError
from mmseg_gc.registry import TRANSFORMS

NAMES = {"img": "image", "gt_seg_map": "mask"}  # here, and in Albumentations


@TRANSFORMS.register_module()
class Albu(BaseTransform):
    """Augment by ``transforms`` of Albumentations, each a dict of its ``type`` and arguments.

    ``img``, with ``bgr_to_rgb`` turned to RGB in between, and every label change together.
    ``keymap`` names other results to hand over, as {name here: name there}, and
    ``additional_targets`` says what those are, as {name there: "image" or "mask"}. Draws depend on
    NumPy's state alone, so that a run which goes on from a checkpoint draws what one never stopped
    would have drawn.

    Raises:
        UserError: Albumentations isn't installed, spoils OpenCV, or lacks one of ``transforms``.

    Source: ``mmseg.datasets.transforms.Albu``, whose draws depend on the worker.
    """

    def __init__(
        self,
        transforms: Sequence[dict],
        keymap: dict | None = None,
        additional_targets: dict | None = None,
        update_pad_shape: bool = False,
        bgr_to_rgb: bool = True,
    ) -> None:
        library = _albumentations()
        self.transforms = copy.deepcopy(list(transforms))
        self.keymap = dict(keymap or NAMES)
        self.additional_targets = dict(additional_targets or {})
        self.update_pad_shape = update_pad_shape
        self.bgr_to_rgb = bgr_to_rgb
        steps = [_built(library, cfg) for cfg in self.transforms]
        self.aug = library.Compose(steps, additional_targets=self.additional_targets)

    def transform(self, results: dict) -> dict:
        labels = [key for key in results.get("seg_fields", ()) if key not in self.keymap]
        inputs = {name: results[key] for key, name in self.keymap.items() if key in results}
        if "image" not in inputs:
            raise UserError("Albu finds no image: let its keymap hold {'img': 'image'}.")
        images = ["image", *(k for k, kind in self.additional_targets.items() if kind == "image")]
        for name in images if self.bgr_to_rgb else ():
            if name in inputs:
                inputs[name] = _swapped(inputs[name])
        if labels:
            inputs["masks"] = [results[key] for key in labels]
        self._draw_seed()
        made = self.aug(**inputs)
        for name in images if self.bgr_to_rgb else ():
            if name in made:
                made[name] = _swapped(made[name])
        results.update({key: made[name] for key, name in self.keymap.items() if name in inputs})
        results.update(zip(labels, made.get("masks", ()), strict=True))
        results["img_shape"] = results["img"].shape[:2]
        if self.update_pad_shape:
            results["pad_shape"] = results["img"].shape[:2]
        return results

    def _draw_seed(self) -> None:
        """Let Albumentations draw as a function of NumPy's state, and of nothing else.

        `set_random_seed` would have every step draw the same numbers.
        """
        seed = np.random.randint(0, 2**31 - 1)
        if hasattr(self.aug, "set_random_state"):  # since 1.4.16; before, it drew by `random`
            self.aug.set_random_state(np.random.default_rng(seed), random.Random(seed))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(transforms={self.transforms})"


def _swapped(image: np.ndarray) -> np.ndarray:
    if image.ndim != 3 or image.shape[2] != 3:
        raise UserError(
            f"Albu turns BGR to RGB, but an image is of shape {image.shape}: set bgr_to_rgb=False."
        )
    return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2RGB)


def _albumentations() -> Any:
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for a newer one
    try:
        import albumentations
    except ImportError as error:
        raise UserError(
            f"Albu needs Albumentations, which can't be imported ({error}): pip install "
            "'mmseg_gc[augment]'."
        ) from error
    _require_one_opencv()
    return albumentations


def _require_one_opencv() -> None:
    """Refuse two versions of OpenCV in one folder, of which imports take files of both.

    Albumentations' package asks for ``opencv-python-headless`` beside ``opencv-python``.
    """
    found = {}
    for name in ("opencv-python", "opencv-python-headless"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    if len(set(found.values())) > 1:
        names = " and ".join(f"{name} {number}" for name, number in found.items())
        newest = found["opencv-python"]
        raise UserError(
            f"{names} lie in one folder, cv2, and one has overwritten files of the other: pip "
            f"install --force-reinstall --no-deps opencv-python=={newest} "
            f"opencv-python-headless=={newest}."
        )


def _built(library: Any, cfg: dict) -> Any:
    if not isinstance(cfg, dict) or "type" not in cfg:
        raise UserError(f"Albu.transforms holds {cfg!r}: give dicts with a type.")
    options = {key: value for key, value in cfg.items() if key != "type"}
    kind = cfg["type"]
    cls = getattr(library, kind, None) if isinstance(kind, str) else kind
    if not callable(cls):
        raise UserError(
            f"Albu.transforms names {kind!r}, which Albumentations {library.__version__} doesn't "
            "have: correct the name."
        )
    if "transforms" in options:
        options["transforms"] = [_built(library, inner) for inner in options["transforms"]]
    try:
        return cls(**options)
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"Albu.transforms: {kind} can't be built ({reason}).") from error
