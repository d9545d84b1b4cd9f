"""The container that carries labels, predictions and meta information of one image."""

import importlib
from typing import Any

import numpy as np
import torch
from mmengine.structures import BaseDataElement, PixelData


class _Field:
    """What a sample says of a field that it lacks; one that it has hides this."""

    def __init__(self, cure: str = "") -> None:
        self.cure = cure

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, sample: "SegDataSample | None", owner: type) -> PixelData:
        raise AttributeError(f"this sample has no {self.name}{self.cure}.")


class SegDataSample(BaseDataElement):
    """Ground truth, prediction and meta information of one image.

    ``gt_sem_seg`` and ``pred_sem_seg`` hold labels (1, H, W), ``seg_logits`` the logits (C, H, W)
    before argmax.

    Source: ``mmseg.structures.SegDataSample``.
    """

    gt_sem_seg = _Field()
    pred_sem_seg = _Field()
    seg_logits = _Field("; set model.test_cfg.return_logits=True")

    def pin_memory(self) -> "SegDataSample":
        """A sample whose tensors are in pinned memory, as a data loader asks of its batches."""
        return _pinned(self)


def _pinned(element: BaseDataElement) -> BaseDataElement:
    copy = element.new()
    for name, value in element.items():
        if isinstance(value, BaseDataElement):
            copy.set_data({name: _pinned(value)})
        elif isinstance(value, torch.Tensor):
            copy.set_data({name: value.pin_memory()})
    return copy


def strange_ids(label: torch.Tensor, num_ids: int, ignore_index: int | None) -> torch.Tensor:
    """Where ``label``, integer, is neither one of ``num_ids`` nor ``ignore_index``: its shape."""
    label = label.long()  # for bytes -1 were 255
    strange = (label < 0) | (label >= num_ids)
    return strange if ignore_index is None else strange & (label != ignore_index)


def has_strange_ids(label: torch.Tensor, num_ids: int, ignore_index: int | None) -> torch.Tensor:
    """Whether `strange_ids` are anywhere: (), bool, on ``label``'s device."""
    if label.device.type != "cpu":
        return strange_ids(label, num_ids, ignore_index).any()
    # torch's threads have to be woken for each pass, which took milliseconds.
    return torch.tensor(not all_ids_known(label.numpy(), num_ids, ignore_index))


def all_ids_known(ids: np.ndarray, num_ids: int, ignore_index: int | None) -> bool:
    """Whether each of ``ids``, integers, is one of ``num_ids`` or ``ignore_index``."""
    # Comparisons of whole arrays take a fifth of the time of counting every id.
    strange = np.count_nonzero(ids >= num_ids)
    if not np.issubdtype(ids.dtype, np.unsignedinteger):
        strange += np.count_nonzero(ids < 0)
    if strange and ignore_index is not None and not 0 <= ignore_index < num_ids:
        strange -= np.count_nonzero(ids == ignore_index)
    return not strange


def __getattr__(name: str) -> Any:
    """The samplers, which mmsegmentation has here as well: this module itself imports no models."""
    if name not in ("BasePixelSampler", "OHEMPixelSampler"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("mmseg_gc.models.samplers"), name)
