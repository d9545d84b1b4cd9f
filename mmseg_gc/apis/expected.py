"""What a network takes for an image, as far as its config tells."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from mmengine.config import Config
from PIL import Image as PILImage

from mmseg_gc.config.leaf_datasets import leaf_datasets
from mmseg_gc.errors import UserError
from mmseg_gc.registry import MODELS

Image = str | Path | np.ndarray | PILImage.Image
KINDS = "a path, an array (h, w, c) in BGR order or a PIL image"


@dataclass(frozen=True)
class Expected:
    """Channels and levels of images, and how their files are read."""

    loader: Mapping  # the first step of the test pipeline
    channels: int | None
    largest_level: float  # of mean and std; 0 where nothing is normalised

    @classmethod
    def of(cls, cfg: Config) -> "Expected":
        """Read it off ``cfg``.

        Raises:
            UserError: there is no test data set with a pipeline.
        """
        preprocessor = cfg.model.get("data_preprocessor") or {}
        mean, std = (np.ravel(preprocessor.get(key, ())) for key in ("mean", "std"))
        # One mean may be for all of several channels.
        channels = len(mean) if len(mean) > 1 else _in_channels(cfg.model.get("backbone") or {})
        levels = [float(level) for level in (*mean, *std) if level is not None]
        return cls(test_dataset(cfg)["pipeline"][0], channels, max(levels, default=0.0))

    @cached_property
    def reads_8_bits(self) -> bool:
        """Whether files come to the network as levels from 0 to 255, whatever they hold."""
        kind, options = self.loader["type"], self.loader
        return (
            (kind if isinstance(kind, str) else kind.__name__) == "LoadImageFromFile"
            and options.get("color_type", "color") != "unchanged"
            and options.get("imdecode_backend") != "tifffile"
        )


def test_dataset(cfg: Config) -> Mapping:
    """The config of the test data set, of several the first: its pipeline is that of images.

    Raises:
        UserError: there is none.
    """
    dataset = (cfg.get("test_dataloader") or {}).get("dataset")
    leaf = leaf_datasets(dataset)[0] if dataset else {}
    if not leaf.get("pipeline"):
        raise UserError(
            f"{cfg.filename} has no test_dataloader.dataset.pipeline, which says how an image is "
            "read: add one."
        )
    return leaf


def _in_channels(backbone: Mapping) -> int | None:
    kind = backbone.get("type")
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    parameters = inspect.signature(kind).parameters if kind is not None else {}
    default = parameters["in_channels"].default if "in_channels" in parameters else None
    channels = backbone.get("in_channels", default)
    return channels if isinstance(channels, int) else None
