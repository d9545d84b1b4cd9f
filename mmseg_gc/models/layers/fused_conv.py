"""Trained convolutions that add and clip while a processor's cache holds what they computed."""

import torch
from torch import Tensor, nn

from mmseg_gc.models.layers.winograd import WinogradConv2d, suits_winograd

TYPICAL_SIDE = 96  # pixels of a feature map, for which oneDNN chooses the order of the weights


class FusedConv2d(nn.Module):
    """``relu(conv(x) + total)`` of a trained convolution, for inference on CPUs.

    (N, C, H, W) in, (N, K, H, W) out, channels last. Without ``relu`` nothing is clipped. ``total``
    (N, K, H, W), where it is given, is added and written over. The weights are kept in the order
    that oneDNN computes in, which an ordinary convolution puts them into at every call.
    """

    def __init__(self, conv: nn.Conv2d, relu: bool) -> None:
        super().__init__()
        self.in_channels = conv.in_channels
        self.geometry = (conv.padding, conv.stride, conv.dilation, conv.groups)
        self.bias = conv.bias
        self.relu = relu
        self._set_weight(conv.weight.detach().contiguous())

    def _set_weight(self, weight: Tensor) -> None:
        size = [1, self.in_channels, TYPICAL_SIDE, TYPICAL_SIDE]
        # No buffer: it has no storage, without which tensors can be neither copied nor saved.
        self._weight = torch._C._nn.mkldnn_reorder_conv2d_weight(
            weight.to_mkldnn(), *self.geometry, size
        )

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_weight": self._weight.to_dense()}

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        self._set_weight(state["_weight"])

    def forward(self, x: Tensor, total: Tensor | None = None) -> Tensor:
        args = (x, self._weight, self.bias, *self.geometry)
        if total is None:
            clip = "relu" if self.relu else "none"
            return torch.ops.mkldnn._convolution_pointwise(*args, clip, [], "")
        clip = "relu" if self.relu else None
        return torch.ops.mkldnn._convolution_pointwise_.binary(
            total, *args, "add", 1.0, clip, [], ""
        )


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
        and hasattr(torch._C._nn, "mkldnn_reorder_conv2d_weight")
    )
