"""The known modules, computed faster: of the same parts, and the same function of their input."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmseg_gc.accelerate.convolution import (
    conv_norm_act,
    convolve,
    is_conv,
    is_norm,
    is_relu,
    takes,
    unhooked,
)
from mmseg_gc.accelerate.cpu import attention
from mmseg_gc.accelerate.cpu.memory import give_back_memory
from mmseg_gc.accelerate.kernels import BATCH_NORMS, Kernels
from mmseg_gc.models.backbones.res_blocks import BasicBlock, Bottleneck
from mmseg_gc.models.backbones.resnet import ResNet, ResNetV1c, ResNetV1d
from mmseg_gc.models.backbones.resnext import ResNeXt
from mmseg_gc.models.decode_heads.da_head import PositionAttention
from mmseg_gc.models.decode_heads.fcn_head import FCNHead
from mmseg_gc.models.decode_heads.gc_head import GCHead
from mmseg_gc.models.layers import (
    ContextBlock,
    DisentangledNonLocal2d,
    NonLocal2d,
    ResLayer,
    attend,
)

# Channels, and bytes, of the maps that most memory is held for.
WIDE = 2048
LARGE = 48 << 20


class FastSequential(nn.Sequential):
    """A row of modules in which a convolution takes along the norm and the ReLU that follow."""

    def forward(self, x: Tensor) -> Tensor:
        rest = list(self)
        while rest:
            conv = rest.pop(0)
            if type(conv) is not nn.Conv2d:
                x = conv(x)
                continue
            norm = rest.pop(0) if rest and type(rest[0]) in BATCH_NORMS else None
            act = rest.pop(0) if rest and type(rest[0]) is nn.ReLU else None
            x = conv_norm_act(x, conv, norm, act)
        return x


class FastConvModule(ConvModule):
    """mmcv's convolution, norm and activation."""

    def forward(self, x: Tensor, activate: bool = True, norm: bool = True) -> Tensor:
        plain = (
            self.order != ("conv", "norm", "act")
            or self.with_explicit_padding
            or getattr(self, "efficient_conv_bn_eval_forward", None) is not None
        )
        if plain:
            return super().forward(x, activate, norm)
        return conv_norm_act(
            x,
            self.conv,
            self.norm if norm and self.with_norm else None,
            self.activate if activate and self.with_activation else None,
        )


class FastBasicBlock(BasicBlock):
    """The block without a pass for each of its parts."""

    def forward(self, x: Tensor, owns_input: bool = False) -> Tensor:
        """``owns_input``: nobody else reads ``x``, which may be written over."""
        if self.training:
            return super().forward(x)
        out = conv_norm_act(x, self.conv1, self.norm1, self.act1)
        shortcut = x if self.downsample is None else self.downsample(x)
        overwrite = _is_new(self.downsample) or owns_input
        return conv_norm_act(out, self.conv2, self.norm2, self.act2, shortcut, overwrite)


class FastBottleneck(Bottleneck):
    """The block without a pass for each of its parts."""

    def forward(self, x: Tensor, owns_input: bool = False) -> Tensor:
        """``owns_input``: nobody else reads ``x``, which may be written over."""
        if self.training:
            return super().forward(x)
        out = conv_norm_act(x, self.conv1, self.norm1, self.act1)
        out = self._plugged(out, "after_conv1")
        if self.deformable:
            out = out.contiguous()  # mmcv's op takes no channels_last
        out = conv_norm_act(out, self.conv2, self.norm2, self.act2)
        out = self._plugged(out, "after_conv2")
        # Only now, when what was before is gone: the shortcut is the largest of all.
        if self.downsample is not None:
            _make_room(out, self.conv3.out_channels)
        shortcut = x if self.downsample is None else self.downsample(x)
        if not self._plugin_names["after_conv3"]:
            overwrite = _is_new(self.downsample) or owns_input
            return conv_norm_act(out, self.conv3, self.norm3, self.act3, shortcut, overwrite)
        out = self._plugged(conv_norm_act(out, self.conv3, self.norm3), "after_conv3")
        return self.act3(out.add_(shortcut))


def _is_new(downsample: nn.Module | None) -> bool:
    """Whether what ``downsample`` returns is a tensor of its own, whatever it was given."""
    return type(downsample) is FastSequential and any(type(m) is nn.Conv2d for m in downsample)


class FastResLayer(ResLayer):
    """A stage whose blocks write over what the block before made, which nobody else sees."""

    def forward(self, x: Tensor) -> Tensor:
        for step in self.steps():
            x = step(x)
        return x

    def steps(self) -> Iterator[Callable[[Tensor], Tensor]]:
        """What a map goes through, one after the other."""
        is_between = False
        for block in self:
            is_known = type(block) in (FastBasicBlock, FastBottleneck) and unhooked(block)
            yield partial(block, owns_input=True) if is_known and is_between else block
            is_between = is_known
        yield _with_room


class _StepByStep(ResNet):
    """A backbone that lets go of a stage's input when the first block has read it.

    Who calls a stage holds its input until the call returns.
    """

    def stage_maps(self, x: Tensor) -> Iterator[Tensor]:
        _make_room(x, self.feat_dim, pixels=64)
        x = self.stem_map(x)
        for name in self.res_layers:
            layer = getattr(self, name)
            by_steps = type(layer) is FastResLayer and unhooked(layer)
            for step in layer.steps() if by_steps else [layer]:
                x = step(x)
            yield x


class FastResNet(_StepByStep, ResNet):
    """`ResNet` step by step."""


class FastResNetV1c(_StepByStep, ResNetV1c):
    """`ResNetV1c` step by step."""


class FastResNetV1d(_StepByStep, ResNetV1d):
    """`ResNetV1d` step by step."""


class FastResNeXt(_StepByStep, ResNeXt):
    """`ResNeXt` step by step."""


class FastContextBlock(ContextBlock):
    """`ContextBlock` that may write its context onto its input."""

    def forward(self, x: Tensor, owns_input: bool = False) -> Tensor:
        """``owns_input``: nobody else reads ``x``, which may be written over."""
        if not owns_input:
            return super().forward(x)
        context = self.spatial_pool(x)  # (N, C, 1, 1)
        if self.channel_mul_conv is not None:
            x.mul_(self.channel_mul_conv(context).sigmoid())
        if self.channel_add_conv is not None:
            x.add_(self.channel_add_conv(context))
        return x


def _with_room(x: Tensor) -> Tensor:
    _make_room(x, x.shape[1])
    return x


def _make_room(x: Tensor, channels: int, pixels: int = 1) -> None:
    """Give back what lies free where ``channels`` maps of ``x``'s size are the widest to come.

    Theirs may be a fraction, one in ``pixels``, of its size. Memory that is given back has to be
    cleared once more: before every block that would take a tenth of the time, and of the small
    views of ms+flip three hundredths.
    """
    is_traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
    if is_traced or x.device.type != "cpu" or channels < WIDE:
        return
    if x.nbytes // x.shape[1] * channels // pixels >= LARGE:
        give_back_memory()


class _ReadsInputOnce(FCNHead):
    """A head whose first and last convolution see the input as one, side by side.

    The last one sees the features too, which are added then in place of being put behind the input.
    """

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        if not self._convs_are_alike():
            return super().forward(inputs)
        x = self._transform_inputs(inputs)
        first, last = self._first_and_last
        if not (takes(x, first.conv) and x.shape[1] == self.in_channels):
            return super().forward(inputs)
        width = self.in_channels
        on_input = [Kernels(first.conv, first.norm), Kernels(last.conv, last.norm, last=width)]
        on_features = Kernels(last.conv, last.norm, first=width, with_bias=False)
        feats, seen = convolve(x, on_input, relu=False).split(self.channels, dim=1)
        feats = self._after_first(feats.relu_())
        feats = convolve(feats, [on_features], relu=True, residual=seen, overwrite=True)
        return self.cls_seg(feats)

    @property
    def _first_and_last(self) -> tuple[Any, Any]:
        return self.convs[0], self.conv_cat

    def _after_first(self, feats: Tensor) -> Tensor:
        raise NotImplementedError

    def _convs_are_alike(self) -> bool:
        if not self.concat_input or len(self.convs) == 0:
            return False
        first, last = self._first_and_last
        return first.conv.padding == last.conv.padding and all(
            type(part) is FastConvModule
            and is_conv(part.conv)
            and (part.norm is None or is_norm(part.norm))
            and is_relu(part.activate)
            and part.order == ("conv", "norm", "act")
            and part.conv.dilation == (1, 1)
            for part in (first, last)
        )


class FastFCNHead(_ReadsInputOnce, FCNHead):
    """`FCNHead` that reads its input once."""

    def _after_first(self, feats: Tensor) -> Tensor:
        for conv in list(self.convs)[1:]:
            feats = conv(feats)
        return feats


class FastGCHead(_ReadsInputOnce, GCHead):
    """`GCHead` that reads its input once."""

    def _after_first(self, feats: Tensor) -> Tensor:
        block = self.gc_block
        is_known = type(block) is FastContextBlock and unhooked(block)
        return self.convs[1](block(feats, owns_input=True) if is_known else block(feats))


class _AttendsInBlocks:
    """Attention some queries at a time where that is faster."""

    @staticmethod
    def attend(query: Tensor, key: Tensor, value: Tensor, scale: float = 1.0) -> Tensor:
        if attention.suits_blocks(query, key, value):
            return attention.attend(query, key, value, scale)
        return attend(query, key, value, scale)


class FastNonLocal2d(_AttendsInBlocks, NonLocal2d):
    """`NonLocal2d` some queries at a time."""


class FastDisentangledNonLocal2d(_AttendsInBlocks, DisentangledNonLocal2d):
    """`DisentangledNonLocal2d` some queries at a time."""


class FastPositionAttention(_AttendsInBlocks, PositionAttention):
    """`PositionAttention` some queries at a time."""

    def held_numbers(self, positions: int) -> int:
        return min(super().held_numbers(positions), 2 * attention.QUERIES * positions)


class Classifier(nn.Conv2d):
    """The classifying convolution, in the dtype of its weights, whatever the input's.

    On a GPU it is a matrix product where it can be: float32 convolutions are TF32's there, whose
    ten bits tie logits at many a border, and products aren't unless ``tf32=True`` asks for it.
    """

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.weight.dtype)
        if x.device.type != "cuda" or not self._is_product():
            return super().forward(x)
        logits = F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias)
        return logits.permute(0, 3, 1, 2)  # (N, K, H, W), channels last

    def _is_product(self) -> bool:
        return (
            self.kernel_size == self.stride == self.dilation == (1, 1)
            and self.padding == (0, 0)
            and self.groups == 1
        )


class PointClassifier(nn.Conv1d):
    """`Classifier` of single points (N, C, P)."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.weight.dtype)
        if x.device.type != "cuda" or self.kernel_size != (1,) or self.groups != 1:
            return super().forward(x)
        return F.linear(x.transpose(1, 2), self.weight.squeeze(2), self.bias).transpose(1, 2)


CLASSIFIERS: dict[type, Any] = {nn.Conv2d: Classifier, nn.Conv1d: PointClassifier}
FAST = {
    nn.Sequential: FastSequential,
    ConvModule: FastConvModule,
    BasicBlock: FastBasicBlock,
    Bottleneck: FastBottleneck,
    ResLayer: FastResLayer,
    ResNet: FastResNet,
    ResNetV1c: FastResNetV1c,
    ResNetV1d: FastResNetV1d,
    ResNeXt: FastResNeXt,
    ContextBlock: FastContextBlock,
    FCNHead: FastFCNHead,
    GCHead: FastGCHead,
    NonLocal2d: FastNonLocal2d,
    DisentangledNonLocal2d: FastDisentangledNonLocal2d,
    PositionAttention: FastPositionAttention,
}
