"""The residual blocks of ResNet and ResNeXt."""

from mmcv.cnn import build_conv_layer, build_norm_layer
from mmcv.cnn.bricks.plugin import infer_abbr
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmseg_gc.environment import require_ops
from mmseg_gc.errors import UserError
from mmseg_gc.registry import MODELS

PLUGIN_POSITIONS = ("after_conv1", "after_conv2", "after_conv3")


class _ResidualBlock(BaseModule):
    """What both blocks do: add the input to a branch, recomputed in backward where asked for."""

    expansion: int

    def _add_norm(self, index: int, norm_cfg: dict, channels: int) -> None:
        # The name follows the kind of norm (`bn1`, `gn1`), which is part of the state-dict keys.
        name, norm = build_norm_layer(norm_cfg, channels, postfix=index)
        self.add_module(name, norm)
        self._norm_names = {**getattr(self, "_norm_names", {}), index: name}

    @property
    def norm1(self) -> nn.Module:
        return getattr(self, self._norm_names[1])

    @property
    def norm2(self) -> nn.Module:
        return getattr(self, self._norm_names[2])

    @property
    def relu(self) -> nn.Module:
        """The activation after the addition, by the name that it has in ``mmseg``."""
        raise NotImplementedError

    def _branch(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _added(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        return self._branch(x).add_(identity)

    def forward(self, x: Tensor) -> Tensor:
        if self.with_cp and x.requires_grad:
            return self.relu(checkpoint(self._added, x, use_reentrant=False))
        return self.relu(self._added(x))


class BasicBlock(_ResidualBlock):
    """Two 3x3 convolutions; only the first strides and dilates.

    ``style`` is there for `Bottleneck`'s sake, and means nothing here.
    """

    expansion = 1

    def __init__(
        self,
        inplanes: int,
        planes: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        downsample: nn.Module | None = None,
        style: str = "pytorch",
        with_cp: bool = False,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        dcn: dict | None = None,
        plugins: list[dict] | None = None,
        groups: int = 1,
        base_width: int = 4,
        base_channels: int = 64,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        for key, value in (("dcn", dcn), ("plugins", plugins)):
            if value:
                raise UserError(f"ResNet-18 and -34 take no `{key}`; use depth 50, 101 or 152.")
        if groups != 1:
            raise UserError(f"ResNet-18 and -34 take no groups={groups}; use depth 50 or more.")
        norm_cfg = norm_cfg or {"type": "BN"}
        self.conv1 = build_conv_layer(
            conv_cfg,
            inplanes,
            planes,
            3,
            stride=stride,
            padding=dilation,
            dilation=dilation,
            bias=False,
        )
        self._add_norm(1, norm_cfg, planes)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2 = build_conv_layer(conv_cfg, planes, planes, 3, padding=1, bias=False)
        self._add_norm(2, norm_cfg, planes)
        self.act2 = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.stride = stride
        self.dilation = dilation
        self.with_cp = with_cp

    @property
    def relu(self) -> nn.Module:
        return self.act2

    def _branch(self, x: Tensor) -> Tensor:
        x = self.act1(self.norm1(self.conv1(x)))
        return self.norm2(self.conv2(x))


class Bottleneck(_ResidualBlock):
    """1x1, 3x3 and 1x1 convolutions, with room for plugins after each.

    ``style`` says which one strides: the 3x3 ("pytorch") or the first 1x1 ("caffe"). With
    ``groups`` > 1 this is ResNeXt's block. ``dcn`` is the config of the 3x3 as a deformable
    convolution; its ``fallback_on_stride`` keeps an ordinary one where the block strides.
    ``plugins`` are dicts of ``cfg`` and ``position``; those at one position run one after another.
    """

    expansion = 4

    def __init__(
        self,
        inplanes: int,
        planes: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        downsample: nn.Module | None = None,
        style: str = "pytorch",
        with_cp: bool = False,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        dcn: dict | None = None,
        plugins: list[dict] | None = None,
        groups: int = 1,
        base_width: int = 4,
        base_channels: int = 64,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if style not in ("pytorch", "caffe"):
            raise UserError(f"ResNet has no style={style!r}; choose pytorch or caffe.")
        norm_cfg = norm_cfg or {"type": "BN"}
        outplanes = planes * self.expansion
        width = planes if groups == 1 else int(planes * (base_width / base_channels)) * groups
        conv1_stride, conv2_stride = (1, stride) if style == "pytorch" else (stride, 1)

        self.conv1 = build_conv_layer(
            conv_cfg, inplanes, width, kernel_size=1, stride=conv1_stride, bias=False
        )
        self._add_norm(1, norm_cfg, width)
        self.act1 = nn.ReLU(inplace=True)
        dcn = dict(dcn or {})
        if dcn.pop("fallback_on_stride", False) and conv2_stride > 1:
            dcn = {}
        self.deformable = bool(dcn)
        if dcn:
            _need_deformable_convolution(conv_cfg)
        self.conv2 = build_conv_layer(
            dcn or conv_cfg,
            width,
            width,
            kernel_size=3,
            stride=conv2_stride,
            padding=dilation,
            dilation=dilation,
            groups=groups,
            bias=False,
        )
        self._add_norm(2, norm_cfg, width)
        self.act2 = nn.ReLU(inplace=True)
        self.conv3 = build_conv_layer(conv_cfg, width, outplanes, kernel_size=1, bias=False)
        self._add_norm(3, norm_cfg, outplanes)
        self.act3 = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.stride = stride
        self.dilation = dilation
        self.with_cp = with_cp

        for plugin in plugins or []:
            if plugin.get("position") not in PLUGIN_POSITIONS:
                raise UserError(
                    f"A ResNet plugin cannot stand at position={plugin.get('position')!r}; choose "
                    f"one of {', '.join(PLUGIN_POSITIONS)}."
                )
        channels = dict(zip(PLUGIN_POSITIONS, (width, width, outplanes), strict=True))
        self._plugin_names = {
            position: [
                self._add_plugin(plugin["cfg"], channels[position])
                for plugin in plugins or []
                if plugin["position"] == position
            ]
            for position in PLUGIN_POSITIONS
        }

    @property
    def norm3(self) -> nn.Module:
        return getattr(self, self._norm_names[3])

    @property
    def relu(self) -> nn.Module:
        return self.act3

    def _add_plugin(self, cfg: dict, in_channels: int) -> str:
        cfg = dict(cfg)
        plugin_type = MODELS.get(cfg["type"]) if isinstance(cfg["type"], str) else cfg["type"]
        if plugin_type is None:
            raise UserError(f"ResNet plugin {cfg['type']!r} is unknown; is its module imported?")
        name = f"{infer_abbr(plugin_type)}{cfg.pop('postfix', '')}"
        if hasattr(self, name):
            raise UserError(f"Two ResNet plugins are called {name!r}; give each its own `postfix`.")
        self.add_module(
            name, MODELS.build({**cfg, "type": plugin_type, "in_channels": in_channels})
        )
        return name

    def _plugged(self, x: Tensor, position: str) -> Tensor:
        for name in self._plugin_names[position]:
            x = getattr(self, name)(x)
        return x

    def _branch(self, x: Tensor) -> Tensor:
        x = self._plugged(self.act1(self.norm1(self.conv1(x))), "after_conv1")
        if self.deformable:
            x = x.contiguous()  # mmcv's op takes no channels_last
        x = self._plugged(self.act2(self.norm2(self.conv2(x))), "after_conv2")
        return self._plugged(self.norm3(self.conv3(x)), "after_conv3")


def _need_deformable_convolution(conv_cfg: dict | None) -> None:
    if conv_cfg is not None:
        raise UserError("ResNet takes either `dcn` or `conv_cfg`; leave one of them out.")
    require_ops("ResNet's `dcn`")
