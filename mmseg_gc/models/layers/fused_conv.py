"""Trained convolutions that add and clip while a processor's cache holds what they computed."""

from functools import lru_cache

import torch
from torch import Tensor, nn

from mmseg_gc.models.layers.winograd import WinogradConv2d, suits_winograd

TYPICAL_SIDE = 96  # pixels of a feature map, for which oneDNN chooses the order of the weights


class FusedConv2d(nn.Module):
    """``relu(conv(x) + total)`` of a trained convolution, for inference on CPUs.

    (N, C, H, W) in, (N, K, H, W) out, channels last. Without ``relu`` nothing is clipped. ``total``
    (N, K, H, W), where it is given, is added and written over. The weights are kept in the order
    that oneDNN computes in, which an ordinary convolution puts them into at every call; where that
    order depends on the picture's size, in each of the two or three that were needed.
    """

    def __init__(self, conv: nn.Conv2d, relu: bool) -> None:
        super().__init__()
        self.in_channels = conv.in_channels
        self.geometry = (conv.padding, conv.stride, conv.dilation, conv.groups)
        self.bias = conv.bias
        self.relu = relu
        self._set_weight(conv.weight.detach().contiguous())

    def _set_weight(self, weight: Tensor) -> None:
        size = (1, self.in_channels, TYPICAL_SIDE, TYPICAL_SIDE)
        # No buffers: they have no storage, without which tensors can be neither copied nor saved.
        self._weight = _ordered(weight, self.geometry, size)
        self._weights = {_description(self._weight): self._weight}  # by their order
        self._key = (tuple(weight.shape), weight.dtype, self.geometry)
        # oneDNN writes a picture's size into the description of larger filters' order, which
        # therefore can't be compared; none was seen whose order depends on it.
        self._has_one_order = weight.shape[2:] != (1, 1)

    def _weight_for(self, size: tuple[int, ...]) -> Tensor:
        """Weights for an input of ``size``: those in another order take up to 60 times as long."""
        if self._has_one_order or torch.compiler.is_compiling():
            return self._weight
        order = _order(*self._key, size, torch.get_num_threads())
        if order not in self._weights:
            self._weights[order] = _ordered(self._weight.to_dense(), self.geometry, size)
        return self._weights[order]

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_weight": self._weight.to_dense(), "_weights": {}}

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        self._set_weight(state["_weight"])

    def forward(self, x: Tensor, total: Tensor | None = None) -> Tensor:
        args = (x, self._weight_for(tuple(x.shape)), self.bias, *self.geometry)
        if total is None:
            clip = "relu" if self.relu else "none"
            return torch.ops.mkldnn._convolution_pointwise(*args, clip, [], "")
        clip = "relu" if self.relu else None
        return torch.ops.mkldnn._convolution_pointwise_.binary(
            total, *args, "add", 1.0, clip, [], ""
        )


def _ordered(weight: Tensor, geometry: tuple, size: tuple[int, ...]) -> Tensor:
    """``weight`` in oneDNN's order for a convolution of ``geometry`` of an input of ``size``."""
    return torch._C._nn.mkldnn_reorder_conv2d_weight(weight.to_mkldnn(), *geometry, size)


def _description(ordered: Tensor) -> bytes:
    return bytes(torch.ops.mkldnn._get_mkldnn_serialized_md(ordered).numpy())


@lru_cache(4096)
def _order(
    shape: tuple[int, ...], dtype: torch.dtype, geometry: tuple, size: tuple[int, ...], threads: int
) -> bytes:
    """The order of weights of ``shape`` that oneDNN wants for an input of ``size``.

    It says so only by putting some into it, which takes it about a millisecond.
    """
    return _description(_ordered(torch.empty(shape, dtype=dtype), geometry, size))


def fused(conv: nn.Conv2d, relu: bool) -> FusedConv2d | WinogradConv2d:
    """The faster of both for ``conv``, of which `fuses` holds."""
    return (WinogradConv2d if suits_winograd(conv) else FusedConv2d)(conv, relu)


def fuses(conv: nn.Module) -> bool:
    """Whether `fused` can stand for ``conv``, and this build of torch has what it needs."""
    return (
        isinstance(conv, nn.Conv2d)
        and type(conv).forward is nn.Conv2d.forward
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise_")
        and hasattr(torch.ops.mkldnn, "_get_mkldnn_serialized_md")
        and hasattr(torch._C._nn, "mkldnn_reorder_conv2d_weight")
    )
