"""Images to compare and to calibrate with, as the test pipeline makes them."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from torch import Tensor

from mmseg_gc.config.leaf_datasets import leaf_datasets
from mmseg_gc.config.unlabelled import drop_labels, has_labels, without_labels
from mmseg_gc.errors import UserError
from mmseg_gc.registry import DATASETS, TRANSFORMS


@dataclass(frozen=True)
class Sample:
    """An image (C, h, w) as the network's preprocessor takes it, and its label (h, w) or None."""

    image: Tensor
    label: Tensor | None = None

    def resized(self, size: tuple[int, int]) -> Tensor:
        """The image at ``size`` (h, w)."""
        if tuple(self.image.shape[1:]) == size:
            return self.image
        pixels = self.image.permute(1, 2, 0).numpy()
        pixels = cv2.resize(np.ascontiguousarray(pixels), (size[1], size[0]))
        return torch.from_numpy(np.atleast_3d(pixels).transpose(2, 0, 1).copy())


def gate_samples(
    cfg: Config, images: Sequence[str | Path], count: int, channels: int
) -> tuple[list[Sample], str]:
    """Up to ``count`` samples, and what they are.

    They are of the config's test split where it is on this disk, whose labels tell most; else
    ``images``, if there are any; else drawn at random.

    Raises:
        UserError: one of ``images`` can't be read.
    """
    dataset = (cfg.get("test_dataloader") or {}).get("dataset")
    try:
        found = _of_split(dataset, count)
    except (UserError, OSError, KeyError, TypeError):
        found = []
    if found:
        labels = "with labels" if found[0].label is not None else "without labels"
        not_given = ", not on those given" if images else ""
        return found, f"{len(found)} images of the config's test split, {labels}{not_given}"
    if images:
        chosen = list(images)[:count]
        return _of_files(cfg, chosen), f"{len(chosen)} given images"
    return [_drawn(seed, channels) for seed in range(count)], f"{count} synthetic images"


def calibration_samples(cfg: Config, count: int) -> list[Sample]:
    """``count`` images of the training split, evenly spread, read as test images are.

    Raises:
        UserError: there is no training split.
    """
    train = (cfg.get("train_dataloader") or {}).get("dataset")
    test = (cfg.get("test_dataloader") or {}).get("dataset")
    if not train or not test:
        raise UserError("--int8 calibrates on the config's train_dataloader, which it lacks.")
    train = deepcopy(train)
    for leaf in leaf_datasets(train):
        leaf["pipeline"] = leaf_datasets(test)[0]["pipeline"]
        leaf.pop("packed", None)
    drop_labels(train)
    try:
        return _of_split(train, count)
    except FileNotFoundError as error:
        raise UserError(f"--int8 calibrates on the training split ({error}).") from error


def _of_split(dataset: Mapping | None, count: int) -> list[Sample]:
    if not dataset:
        return []
    found: list[Sample] = []
    leaf = deepcopy(leaf_datasets(dataset)[0])
    if not has_labels(leaf):
        drop_labels(leaf)
    built = DATASETS.build({**leaf, "test_mode": True})
    step = max(1, len(built) // count)
    for index in range(0, len(built), step)[:count]:
        found.append(_sample(built[index]))
    return found


def _sample(packed: Mapping) -> Sample:
    label = packed["data_samples"].get("gt_sem_seg")
    return Sample(packed["inputs"], None if label is None else label.data[0])


def _of_files(cfg: Config, images: Sequence[str | Path]) -> list[Sample]:
    dataset = (cfg.get("test_dataloader") or {}).get("dataset") or {}
    pipeline = leaf_datasets(dataset)[0].get("pipeline")
    if not pipeline:
        raise UserError(f"{cfg.filename} has no test_dataloader.dataset.pipeline: add one.")
    first, *rest = without_labels(pipeline)
    load, finish = TRANSFORMS.build(dict(first)), Compose(rest)
    return [_sample(finish(load(dict(img_path=str(image))))) for image in images]


def _drawn(seed: int, channels: int, size: tuple[int, int] = (192, 256)) -> Sample:
    """Smooth shapes with a little noise, as a photograph has."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 8, channels)).astype(np.float32)
    shapes = np.atleast_3d(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC))
    noisy = (shapes + rng.normal(0, 8, shapes.shape)).clip(0, 255).astype(np.uint8)
    return Sample(torch.from_numpy(noisy.transpose(2, 0, 1).copy()))
