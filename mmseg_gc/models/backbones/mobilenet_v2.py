"""MobileNetV2 as an encoder for segmentation."""

from collections.abc import Iterator, Sequence

from mmcv.cnn import ConvModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmseg_gc.errors import UserError
from mmseg_gc.models.backbones.backbone import Backbone
from mmseg_gc.registry import MODELS

# Of each stage: how many times as wide the inside of its blocks is, its width, its blocks.
STAGES = ((1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1))


class InvertedResidual(nn.Module):
    """A 1x1 convolution to a greater width, a 3x3 of single channels there, and a 1x1 back.

    The input is added where it has the output's shape.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int,
        dilation: int,
        expand_ratio: int,
        with_cp: bool,
        conv_cfg: dict | None,
        norm_cfg: dict | None,
        act_cfg: dict | None,
    ) -> None:
        super().__init__()
        self.with_cp = with_cp
        self.adds_input = stride == 1 and in_channels == out_channels
        width = in_channels * expand_ratio
        of_norm = {"conv_cfg": conv_cfg, "norm_cfg": norm_cfg}
        cfgs = {**of_norm, "act_cfg": act_cfg}
        depthwise = {"padding": dilation, "dilation": dilation, "groups": width}
        self.conv = nn.Sequential(
            *([ConvModule(in_channels, width, 1, **cfgs)] if expand_ratio != 1 else []),
            ConvModule(width, width, 3, stride=stride, **depthwise, **cfgs),
            ConvModule(width, out_channels, 1, **of_norm, act_cfg=None),
        )

    def _added(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.adds_input else self.conv(x)

    def forward(self, x: Tensor) -> Tensor:
        if self.with_cp and x.requires_grad:
            return checkpoint(self._added, x, use_reentrant=False)
        return self._added(x)


@MODELS.register_module()
class MobileNetV2(Backbone):
    """Seven stages of inverted residuals: images (N, 3, H, W) in, maps of ``out_indices`` out.

    Args:
        widen_factor: what the widths are multiplied by, to the nearest multiple of 8.
        strides, dilations: of each stage's first block; (1, 2, 2, 1, 1, 1, 1) and (1, 1, 1, 2, 2,
            4, 4) make the "D8" encoder, whose last stage is 1/8 of the image's size.
        frozen_stages: keep the stem (0) and the first stages from learning, norms and all; -1
            freezes nothing.
        norm_eval: keep batch norm's running statistics as they are while training.
        with_cp: trade time for memory: compute the blocks once more in backward.
        pretrained: path or URL of weights; the older spelling of a ``Pretrained`` init_cfg.

    Raises: UserError for arguments that do not fit together.
    Source: "MobileNetV2: Inverted Residuals and Linear Bottlenecks", arXiv:1801.04381;
    ``mmseg.models.MobileNetV2``, which hands a single map over bare.
    """

    def __init__(
        self,
        widen_factor: float = 1.0,
        *,
        strides: Sequence[int] = (1, 2, 2, 2, 1, 2, 1),
        dilations: Sequence[int] = (1,) * 7,
        out_indices: Sequence[int] = (1, 2, 4, 6),
        frozen_stages: int = -1,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        norm_eval: bool = False,
        with_cp: bool = False,
        pretrained: str | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        name = type(self).__name__
        for key, values in (("strides", strides), ("dilations", dilations)):
            if len(values) != len(STAGES):
                raise UserError(f"{name}'s {key}={tuple(values)} must have one entry a stage, 7.")
        if not set(strides) <= {1, 2}:
            raise UserError(f"{name}'s strides={tuple(strides)} must be 1 or 2.")
        if not set(out_indices) <= set(range(7)) or not -1 <= frozen_stages < 7:
            raise UserError(
                f"{name}'s out_indices={tuple(out_indices)} must lie in 0 to 6, and "
                f"frozen_stages={frozen_stages} in -1 to 6."
            )
        super().__init__(self._init_cfg(name, pretrained, init_cfg))
        self.out_indices = tuple(out_indices)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        cfgs = {
            "conv_cfg": conv_cfg,
            "norm_cfg": norm_cfg or {"type": "BN"},
            "act_cfg": act_cfg or {"type": "ReLU6"},
        }
        width = _of_eight(32 * widen_factor)
        self.conv1 = ConvModule(3, width, 3, stride=2, padding=1, **cfgs)
        self.layers = []
        per_stage = zip(STAGES, strides, dilations, strict=True)
        for i, ((expand_ratio, channels, num_blocks), stride, dilation) in enumerate(per_stage):
            blocks = []
            for place in range(num_blocks):
                block = InvertedResidual(
                    width,
                    _of_eight(channels * widen_factor),
                    stride=1 if place else stride,
                    dilation=1 if place else dilation,
                    expand_ratio=expand_ratio,
                    with_cp=with_cp,
                    **cfgs,
                )
                width = _of_eight(channels * widen_factor)
                blocks.append(block)
            self.layers.append(f"layer{i + 1}")
            self.add_module(self.layers[-1], nn.Sequential(*blocks))
        self._freeze_stages()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Feature maps of images (N, C, H, W), one an entry of ``out_indices``."""
        return tuple(x for i, x in enumerate(self.stage_maps(x)) if i in self.out_indices)

    def stage_maps(self, x: Tensor) -> Iterator[Tensor]:
        """The feature maps of all stages, of which none is held on to here."""
        x = self.conv1(x)
        for name in self.layers:
            x = getattr(self, name)(x)
            yield x

    def _stages(self) -> list[nn.Module]:
        return [self.conv1, *(getattr(self, name) for name in self.layers)]


def _of_eight(width: float) -> int:
    """The multiple of 8 that is nearest to ``width``, or the next one if that loses a tenth."""
    nearest = max(8, int(width + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * width else nearest
