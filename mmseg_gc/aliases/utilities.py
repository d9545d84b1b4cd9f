"""What user code takes from ``mmseg.utils``, and from ``mmseg.core`` of 0.x."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import torch
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope as set_default_scope
from mmengine.utils.dl_utils import collect_env

from mmseg_gc.datasets.named import SHORT_NAMES
from mmseg_gc.errors import UserError
from mmseg_gc.registry import DATASETS, SCOPE
from mmseg_gc.structures import SegDataSample

ConfigType: TypeAlias = ConfigDict | dict
OptConfigType = ConfigType | None
MultiConfig = ConfigType | Sequence[ConfigType]
OptMultiConfig = MultiConfig | None
SampleList = Sequence[SegDataSample]
OptSampleList = SampleList | None
TensorDict = dict[str, torch.Tensor]
TensorList = Sequence[torch.Tensor]
ForwardResults = dict[str, torch.Tensor] | list[SegDataSample] | tuple[torch.Tensor] | torch.Tensor

__all__ = [
    "ConfigType",
    "ForwardResults",
    "MultiConfig",
    "OptConfigType",
    "OptMultiConfig",
    "OptSampleList",
    "SampleList",
    "TensorDict",
    "TensorList",
    "add_prefix",
    "collect_env",
    "get_classes",
    "get_palette",
    "get_root_logger",
    "register_all_modules",
    "stack_batch",
    "with_palette_of",
]


def register_all_modules(init_default_scope: bool = True) -> None:
    """Import everything that registers itself; ``init_default_scope`` looks names up here first."""
    for part in ("datasets", "engine", "evaluation", "models", "visualization"):
        importlib.import_module(f"{SCOPE}.{part}")
    if init_default_scope:
        set_default_scope(SCOPE)


def add_prefix(inputs: Mapping[str, object], prefix: str) -> dict[str, object]:
    """``inputs`` with ``prefix.`` before every key."""
    return {f"{prefix}.{name}": value for name, value in inputs.items()}


def stack_batch(
    inputs: Sequence[torch.Tensor],
    data_samples: SampleList | None = None,
    size: Sequence[int] | None = None,
    size_divisor: int | None = None,
    pad_val: float = 0,
    seg_pad_val: int = 255,
) -> tuple[torch.Tensor, SampleList | None]:
    """Images (C, h, w) as one batch (N, C, H, W), padded right and below, with their labels.

    What they are padded to is said as for `SegDataPreProcessor`.
    """
    from mmseg_gc.models import SegDataPreProcessor

    pad = SegDataPreProcessor(
        size=size, size_divisor=size_divisor, pad_val=pad_val, seg_pad_val=seg_pad_val
    ).to(inputs[0].device)
    batch = pad({"inputs": inputs, "data_samples": data_samples}, training=True)
    return batch["inputs"].to(inputs[0].dtype), batch["data_samples"]


def __getattr__(name: str) -> Callable[[], list]:
    """``cityscapes_classes`` and its like: a function for each data set and for its colours."""
    dataset, _, what = name.rpartition("_")
    known: dict[str, Callable[[str], list]] = {"classes": get_classes, "palette": get_palette}
    if what not in known or dataset not in SHORT_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return partial(known[what], dataset)


def get_classes(dataset: str) -> list[str]:
    """The class names of ``dataset``: ``"cityscapes"``, ``"ade"``, ``"voc"``, or a class's name."""
    return list(_facts(dataset)["classes"])


def get_palette(dataset: str) -> list[list[int]]:
    """The colours of ``dataset``'s classes, RGB from 0 to 255."""
    return [list(colour) for colour in _facts(dataset)["palette"]]


def with_palette_of(dataset: str | None, meta: Mapping) -> dict:
    """``meta`` of a model with the colours of ``dataset``, or as it is where none is named."""
    return {**meta, "palette": get_palette(dataset)} if dataset else dict(meta)


def get_root_logger(log_file: str | None = None, log_level: int | str = "INFO") -> MMLogger:
    """The logger of the run; ``log_file`` and ``log_level`` count where there is none yet."""
    if MMLogger.check_instance_created("mmseg"):
        return MMLogger.get_current_instance()
    return MMLogger.get_instance("mmseg", log_file=log_file, log_level=log_level)


def _facts(dataset: str) -> Mapping:
    cls = DATASETS.get(SHORT_NAMES.get(dataset.lower(), dataset))
    if cls is None:
        raise UserError(f"no data set {dataset!r} here; known: {', '.join(sorted(SHORT_NAMES))}.")
    return cls.METAINFO
