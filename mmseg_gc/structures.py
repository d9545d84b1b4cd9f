"""The container that carries labels, predictions and meta information of one image."""

import torch
from mmengine.structures import BaseDataElement, PixelData


def _pixel_field(name: str, doc: str) -> property:
    private = f"_{name}"

    def getter(self: "SegDataSample") -> PixelData:
        if private not in self:
            hint = "; set model.test_cfg.return_logits=True" if name == "seg_logits" else ""
            raise AttributeError(f"this sample has no {name}{hint}.")
        return getattr(self, private)

    def setter(self: "SegDataSample", value: PixelData) -> None:
        self.set_field(value, private, dtype=PixelData)

    def deleter(self: "SegDataSample") -> None:
        delattr(self, private)

    return property(getter, setter, deleter, doc)


class SegDataSample(BaseDataElement):
    """Ground truth, prediction and meta information of one image.

    Source: ``mmseg.structures.SegDataSample``.
    """

    gt_sem_seg = _pixel_field("gt_sem_seg", "True labels: ``PixelData`` of shape (1, H, W).")
    pred_sem_seg = _pixel_field("pred_sem_seg", "Predicted labels: ``PixelData`` (1, H, W).")
    seg_logits = _pixel_field("seg_logits", "Logits before argmax: ``PixelData`` (C, H, W).")

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
