"""Segmentors of random make, as people write them: heads, backbones and necks with own forwards.

Their modules are put together by recipes, drawn from a seed: normalisation before, after and
without a convolution, layers that serve twice, several inputs, attention, functions between.
"""

import random
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmseg_gc.models import BaseDecodeHead, FCNHead, GCHead
from mmseg_gc.models.backbones import ResNet, ResNetV1c
from mmseg_gc.models.layers import ContextBlock, resize

STEPS = (
    "conv_bn_relu",
    "bn_relu_conv",
    "conv_twice",
    "bn_twice",
    "conv_module",
    "conv_module_by_parts",
    "residual",
    "gate",
    "attention",
    "context",
    "depthwise",
    "pooled",
    "in_place",
    "scaled_conv",
)


class RandomSteps(nn.Module):
    """``recipe`` names steps, each on maps (N, C, H, W) of one width."""

    def __init__(self, channels: int, recipe: Sequence[str]) -> None:
        super().__init__()
        self.recipe = recipe
        self.parts = nn.ModuleList(self._part(step, channels) for step in recipe)

    @staticmethod
    def _part(step: str, c: int) -> nn.Module:
        if step in ("conv_module", "conv_module_by_parts"):
            return ConvModule(c, c, 3, padding=1, norm_cfg=dict(type="BN"))
        if step == "context":
            return ContextBlock(c, 1 / 4)
        if step == "attention":
            return nn.ModuleDict({k: nn.Conv2d(c, c, 1) for k in ("query", "key", "value")})
        groups = c if step == "depthwise" else 1
        conv = nn.Conv2d(c, c, 3, padding=1, groups=groups, bias=step != "conv_bn_relu")
        return nn.ModuleDict(dict(conv=conv, bn=nn.BatchNorm2d(c), other=nn.Conv2d(c, c, 1)))

    def forward(self, x: Tensor) -> Tensor:
        for step, part in zip(self.recipe, self.parts, strict=True):
            x = getattr(self, f"_{step}")(part, x)
        return x

    def _conv_bn_relu(self, part: nn.ModuleDict, x: Tensor) -> Tensor:
        return F.relu(part["bn"](part["conv"](x)))

    def _bn_relu_conv(self, part: nn.ModuleDict, x: Tensor) -> Tensor:
        return part["conv"](F.relu(part["bn"](x)))

    def _conv_twice(self, part: nn.ModuleDict, x: Tensor) -> Tensor:
        return part["bn"](part["conv"](x)) + part["conv"](x.relu())

    def _bn_twice(self, part: nn.ModuleDict, x: Tensor) -> Tensor:
        return part["bn"](part["conv"](x)) + part["bn"](x)

    def _conv_module(self, part: ConvModule, x: Tensor) -> Tensor:
        return part(x)

    def _conv_module_by_parts(self, part: ConvModule, x: Tensor) -> Tensor:
        return part.activate(part.conv(x)) + part.norm(x)

    def _residual(self, part: nn.ModuleDict, x: Tensor) -> Tensor:
        return F.relu(x + part["bn"](part["conv"](F.relu(part["other"](x)))))

    def _gate(self, part: nn.ModuleDict, x: Tensor) -> Tensor:
        return x * part["other"](x.mean(dim=(2, 3), keepdim=True)).sigmoid()

    def _attention(self, part: nn.ModuleDict, x: Tensor) -> Tensor:
        query, key, value = (part[k](x).flatten(2) for k in ("query", "key", "value"))
        weights = (query.transpose(1, 2) @ key / x.shape[1]).softmax(-1)
        return x + (value @ weights.transpose(1, 2)).view_as(x)

    def _context(self, part: ContextBlock, x: Tensor) -> Tensor:
        return part(x)

    def _depthwise(self, part: nn.ModuleDict, x: Tensor) -> Tensor:
        return part["other"](part["conv"](x))

    def _pooled(self, part: nn.ModuleDict, x: Tensor) -> Tensor:
        pooled = part["other"](F.adaptive_avg_pool2d(x, 2))
        return x + resize(pooled, size=x.shape[2:], mode="bilinear", align_corners=False)

    def _in_place(self, part: nn.ModuleDict, x: Tensor) -> Tensor:
        return part["conv"](x).add_(x).relu_()

    def _scaled_conv(self, part: nn.ModuleDict, x: Tensor) -> Tensor:
        return F.conv2d(x, part["conv"].weight * 0.5, part["conv"].bias, padding=1)


class RandomHead(BaseDecodeHead):
    """One input, some steps; with ``peeks`` also the first input, beside `in_index`."""

    def __init__(self, recipe: Sequence[str], peeks: int = 0, **kwargs: object) -> None:
        super().__init__(**kwargs)
        widths = self.in_channels
        width = widths if isinstance(widths, int) else sum(widths)
        self.enter = nn.Conv2d(width, self.channels, 1)
        self.peek = nn.Conv2d(peeks, self.channels, 1) if peeks else None
        self.steps = RandomSteps(self.channels, recipe)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        x = self._transform_inputs(inputs)
        x = self.enter(torch.cat(x, dim=1) if isinstance(x, list) else x)
        if self.peek is not None:
            x = x + resize(self.peek(inputs[0]), size=x.shape[2:], mode="bilinear")
        return self.cls_seg(self.steps(x))


class OwnOrderHead(FCNHead):
    """`FCNHead`'s layers in another order: a residual around ``convs``, then ``conv_cat``."""

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        x = self._transform_inputs(inputs)
        feats = self.convs[0](x)
        for conv in self.convs[1:]:
            feats = feats + conv(feats)
        return self.cls_seg(self.conv_cat(torch.cat([x, feats.relu() * 0.5], dim=1)))


class ConvByHandHead(FCNHead):
    """Uses the convolution of a `ConvModule` without its norm and activation."""

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        x = self._transform_inputs(inputs)
        feats = self.convs[0].conv(x)
        for conv in self.convs[1:]:
            feats = conv(feats)
        return self.cls_seg(feats + self.convs[0](x))


class OtherBlockHead(GCHead):
    """`GCHead` whose block comes first and twice, as users of the attention block do."""

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        x = self._transform_inputs(inputs)
        feats = self.gc_block(self.convs[0](x))
        feats = self.convs[1](self.gc_block(feats))
        return self.cls_seg(self.conv_cat(torch.cat([x, feats], dim=1)))


class PlainForwardResNet(ResNetV1c):
    """A subclass whose forward takes images alone, and scales what leaves it."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(feature * 0.5 for feature in super().forward(x))


class WrittenOutResNet(ResNet):
    """A subclass that runs its stages itself, and looks at one of them twice."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.maxpool(F.relu(self.norm1(self.conv1(x))))
        outs = []
        for name in self.res_layers:
            x = getattr(self, name)(x)
            outs.append(x)
        outs[1] = outs[1] + outs[1].mean(dim=(2, 3), keepdim=True)
        return tuple(outs)


class RandomBackbone(nn.Module):
    """No ResNet: strided convolutions with steps between."""

    def __init__(self, widths: Sequence[int], recipes: Sequence[Sequence[str]]) -> None:
        super().__init__()
        pairs = zip((3, *widths), widths, strict=False)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in pairs)
        self.steps = nn.ModuleList(map(RandomSteps, widths, recipes))

    def forward(self, x: Tensor) -> list[Tensor]:
        outs = []
        for down, steps in zip(self.down, self.steps, strict=True):
            x = steps(down(x))
            outs.append(x)
        return outs


class RandomNeck(nn.Module):
    """Every map goes through a convolution, a norm and some steps."""

    def __init__(self, widths: Sequence[int], recipe: Sequence[str]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(c, c, 1) for c in widths)
        self.norms = nn.ModuleList(nn.BatchNorm2d(c) for c in widths)
        self.steps = nn.ModuleList(RandomSteps(c, recipe) for c in widths)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        parts = zip(inputs, self.convs, self.norms, self.steps, strict=True)
        return tuple(steps(norm(conv(x)).relu()) for x, conv, norm, steps in parts)


def random_recipe(rng: random.Random, longest: int = 3) -> list[str]:
    return [rng.choice(STEPS) for _ in range(rng.randint(1, longest))]


def random_model_cfg(rng: random.Random) -> dict:
    """Config of an `EncoderDecoder`, drawn from ``rng``."""
    norm = dict(type="BN")
    resnet = dict(
        depth=18,
        stem_channels=8,
        base_channels=8,
        dilations=(1, 1, 2, 4),
        strides=(1, 2, 1, 1),
        norm_cfg=norm,
        contract_dilation=True,
    )
    kind = rng.choice([ResNetV1c, PlainForwardResNet, WrittenOutResNet, RandomBackbone])
    if kind is RandomBackbone:
        widths = [rng.choice([8, 16]) for _ in range(3)]
        recipes = [random_recipe(rng, 2) for _ in widths]
        backbone = dict(type=kind, widths=widths, recipes=recipes)
    else:
        widths, backbone = [8, 16, 32, 64], dict(type=kind, **resnet)
    neck = None
    if rng.random() < 0.3:
        neck = dict(type=RandomNeck, widths=widths, recipe=random_recipe(rng, 1))
    one_channel = rng.random() < 0.25
    head = dict(
        num_classes=2 if one_channel else 5,
        channels=rng.choice([8, 16]),
        dropout_ratio=0.1,
        align_corners=rng.random() < 0.3,
        norm_cfg=norm,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=one_channel),
    )
    if one_channel:
        head.update(out_channels=1, threshold=rng.choice([0.3, 0.5]))
    head.update(_inputs(rng, widths))
    head["type"] = rng.choice(
        [RandomHead, RandomHead, OwnOrderHead, ConvByHandHead, OtherBlockHead]
    )
    if head["type"] is RandomHead:
        peeks = widths[0] if rng.random() < 0.4 else 0
        head.update(recipe=random_recipe(rng), peeks=peeks)
        head.pop("norm_cfg")
    elif head["input_transform"] == "multiple_select":
        head["input_transform"] = "resize_concat"
    slide = dict(mode="slide", crop_size=(33, 40), stride=(20, 25))
    return dict(
        type="EncoderDecoder",
        data_preprocessor=dict(
            type="SegDataPreProcessor",
            mean=[100.0, 110.0, 120.0],
            std=[50.0, 60.0, 70.0],
            bgr_to_rgb=rng.random() < 0.5,
        ),
        backbone=backbone,
        neck=neck,
        decode_head=head,
        test_cfg=slide if rng.random() < 0.4 else dict(mode="whole"),
    )


def _inputs(rng: random.Random, widths: Sequence[int]) -> dict:
    if rng.random() < 0.6:
        place = rng.randrange(len(widths))
        index = rng.choice([place, place - len(widths)])
        return dict(in_channels=widths[place], in_index=index, input_transform=None)
    places = rng.sample(range(len(widths)), 2)
    # Lists of maps of one size can be joined by a head itself.
    alike = widths[-1] != widths[0] and places == [2, 3]
    transform = "multiple_select" if alike else "resize_concat"
    return dict(in_channels=[widths[i] for i in places], in_index=places, input_transform=transform)


def shaken(model: nn.Module, generator: torch.Generator) -> nn.Module:
    """``model`` with statistics and weights that tell layers, channels and positions apart."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if name.startswith("data_preprocessor") or not tensor.is_floating_point():
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        with torch.no_grad():
            if name.endswith("running_var"):
                tensor.copy_(0.5 + noise.abs())
            elif tensor.dim() < 2:
                tensor.add_(0.3 * noise)
            elif not tensor.any() or "conv_seg" in name:
                tensor.copy_(noise / tensor[0].numel() ** 0.5)
    return model.eval()
