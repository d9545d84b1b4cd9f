"""ResNeSt: a ResNet whose 3x3 convolutions weigh several of themselves by attention."""

from typing import Any

from mmcv.cnn import build_conv_layer, build_norm_layer
from torch import Tensor, nn

from mmseg_gc.errors import UserError
from mmseg_gc.models.backbones.res_blocks import Bottleneck as PlainBottleneck
from mmseg_gc.models.backbones.resnet import ResNetV1d
from mmseg_gc.registry import MODELS


class SplitAttentionConv2d(nn.Module):
    """``radix`` 3x3 convolutions of one map, added up by weights that their mean asks for.

    Source: "ResNeSt: Split-Attention Networks", arXiv:2004.08955, section 3.
    """

    def __init__(
        self,
        channels: int,
        *,
        stride: int,
        dilation: int,
        groups: int,
        radix: int,
        reduction_factor: int,
        conv_cfg: dict | None,
        norm_cfg: dict,
    ) -> None:
        super().__init__()
        self.radix = radix
        self.groups = groups
        width = max(channels * radix // reduction_factor, 32)
        self.conv = build_conv_layer(
            conv_cfg,
            channels,
            channels * radix,
            kernel_size=3,
            stride=stride,
            padding=dilation,
            dilation=dilation,
            groups=groups * radix,
            bias=False,
        )
        self.norm0_name, norm0 = build_norm_layer(norm_cfg, channels * radix, postfix=0)
        self.add_module(self.norm0_name, norm0)
        self.relu = nn.ReLU(inplace=True)
        self.fc1 = nn.Conv2d(channels, width, kernel_size=1, groups=groups)
        self.norm1_name, norm1 = build_norm_layer(norm_cfg, width, postfix=1)
        self.add_module(self.norm1_name, norm1)
        self.fc2 = nn.Conv2d(width, channels * radix, kernel_size=1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) in; (N, C, h, w) out."""
        x = self.relu(getattr(self, self.norm0_name)(self.conv(x)))
        splits = x.unflatten(1, (self.radix, -1))  # (N, R, C, h, w)
        mean = splits.sum(dim=1).mean(dim=(2, 3), keepdim=True)  # (N, C, 1, 1)
        asked = self.relu(getattr(self, self.norm1_name)(self.fc1(mean)))
        weights = self.fc2(asked)  # (N, groups*R*C', 1, 1)
        if self.radix == 1:
            return x * weights.sigmoid()
        weights = weights.unflatten(1, (self.groups, self.radix, -1))  # (N, groups, R, C', 1, 1)
        weights = weights.transpose(1, 2).softmax(dim=1).flatten(2, 3)  # (N, R, C, 1, 1)
        return (weights * splits).sum(dim=1)


class Bottleneck(PlainBottleneck):
    """ResNet's block with a split-attention convolution in its middle.

    With ``avg_down_stride`` an average pooling strides behind it, in its place.
    """

    def __init__(
        self,
        inplanes: int,
        planes: int,
        *,
        radix: int = 2,
        reduction_factor: int = 4,
        avg_down_stride: bool = True,
        norm_cfg: dict | None = None,
        groups: int = 1,
        **options: Any,
    ) -> None:
        if options.get("dcn"):
            raise UserError("ResNeSt takes no `dcn`; leave it out.")
        super().__init__(inplanes, planes, norm_cfg=norm_cfg, groups=groups, **options)
        stride = self.conv2.stride[0]
        pools = avg_down_stride and stride > 1
        self.conv2 = SplitAttentionConv2d(
            self.conv2.in_channels,
            stride=1 if pools else stride,
            dilation=self.dilation,
            groups=groups,
            radix=radix,
            reduction_factor=reduction_factor,
            conv_cfg=options.get("conv_cfg"),
            norm_cfg=norm_cfg or {"type": "BN"},
        )
        delattr(self, self._norm_names[2])
        self.avd_layer = nn.AvgPool2d(3, stride, padding=1) if pools else nn.Identity()

    def _branch(self, x: Tensor) -> Tensor:
        x = self._plugged(self.act1(self.norm1(self.conv1(x))), "after_conv1")
        x = self._plugged(self.avd_layer(self.conv2(x)), "after_conv2")
        return self._plugged(self.norm3(self.conv3(x)), "after_conv3")


@MODELS.register_module()
class ResNeSt(ResNetV1d):
    """`ResNetV1d` of split-attention blocks; ``radix`` convolutions are weighed in each.

    ``reduction_factor`` divides the width in which weights are asked for, and with
    ``avg_down_stride`` blocks stride by average pooling. The other keys are `ResNet`'s, but `dcn`.

    Raises: UserError for arguments that do not fit together.
    Source: "ResNeSt: Split-Attention Networks", arXiv:2004.08955; ``mmseg.models.ResNeSt``.
    """

    arch_settings = {
        50: (Bottleneck, (3, 4, 6, 3)),
        101: (Bottleneck, (3, 4, 23, 3)),
        152: (Bottleneck, (3, 8, 36, 3)),
        200: (Bottleneck, (3, 24, 36, 3)),
    }

    def __init__(
        self,
        depth: int,
        in_channels: int = 3,
        *,
        radix: int = 2,
        reduction_factor: int = 4,
        avg_down_stride: bool = True,
        **options: Any,
    ) -> None:
        if radix < 1 or reduction_factor < 1:
            raise UserError(
                f"ResNeSt needs a radix and a reduction_factor from 1 on, not radix={radix} and "
                f"reduction_factor={reduction_factor}."
            )
        self.block_options = {
            "radix": radix,
            "reduction_factor": reduction_factor,
            "avg_down_stride": avg_down_stride,
        }
        super().__init__(depth, in_channels, **options)
