"""ResNet, dilated or not, as an encoder for segmentation and detection."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmcv.cnn import build_conv_layer, build_norm_layer
from torch import Tensor, nn

from mmseg_gc.errors import UserError
from mmseg_gc.models.backbones.backbone import Backbone
from mmseg_gc.models.backbones.res_blocks import BasicBlock, Bottleneck
from mmseg_gc.models.layers import ResLayer
from mmseg_gc.registry import MODELS


@MODELS.register_module()
class ResNet(Backbone):
    """Residual network: images (N, 3, H, W) in, one feature map per ``out_indices`` out.

    Args:
        strides, dilations: of each stage; (1, 2, 1, 1) and (1, 1, 2, 4) make the "D8" encoder,
            whose last stage is 1/8 of the image's size.
        deep_stem: three 3x3 convolutions in the place of the 7x7. None: as the variant has it.
        avg_down: stride shortcuts by average pooling. None: as the variant has it.
        frozen_stages: keep the stem (0) and the first stages from learning; -1 freezes nothing.
        norm_eval: keep batch norm's running statistics as they are while training.
        dcn, stage_with_dcn: config of the 3x3 as deformable convolution, and which stages use it.
        plugins: dicts of ``cfg`` (a module's config; ``postfix`` tells two of a kind apart),
            ``position`` ("after_conv1|2|3") and optionally ``stages`` (one bool a stage).
        multi_grid: dilation of each block of the last stage.
        contract_dilation: halve the dilation of each dilated stage's first block.
        with_cp: trade time for memory: compute the blocks once more in backward. Batch norm's
            running statistics then take in each batch twice.
        zero_init_residual: start each block as the identity.
        pretrained: path or URL of weights; the older spelling of a ``Pretrained`` init_cfg.
        groups, base_width: of ResNeXt's 3x3 convolutions.

    Raises: UserError for arguments that do not fit together.
    Source: arXiv:1512.03385; names, keys and numbers as in ``mmseg`` and ``mmdet``.
    """

    arch_settings: dict[int, tuple[Any, tuple[int, ...]]] = {
        18: (BasicBlock, (2, 2, 2, 2)),
        34: (BasicBlock, (3, 4, 6, 3)),
        50: (Bottleneck, (3, 4, 6, 3)),
        101: (Bottleneck, (3, 4, 23, 3)),
        152: (Bottleneck, (3, 8, 36, 3)),
    }
    variant_deep_stem = False
    variant_avg_down = False
    block_options: Mapping[str, Any] = {}  # what blocks of a variant take beside these

    def __init__(
        self,
        depth: int,
        in_channels: int = 3,
        *,
        stem_channels: int = 64,
        base_channels: int = 64,
        num_stages: int = 4,
        strides: Sequence[int] = (1, 2, 2, 2),
        dilations: Sequence[int] = (1, 1, 1, 1),
        out_indices: Sequence[int] = (0, 1, 2, 3),
        style: str = "pytorch",
        deep_stem: bool | None = None,
        avg_down: bool | None = None,
        frozen_stages: int = -1,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        norm_eval: bool = False,
        dcn: dict | None = None,
        stage_with_dcn: Sequence[bool] = (False, False, False, False),
        plugins: list[dict] | None = None,
        multi_grid: Sequence[int] | None = None,
        contract_dilation: bool = False,
        with_cp: bool = False,
        zero_init_residual: bool = True,
        pretrained: str | None = None,
        init_cfg: dict | list[dict] | None = None,
        groups: int = 1,
        base_width: int = 4,
    ) -> None:
        name = type(self).__name__
        if depth not in self.arch_settings:
            valid = ", ".join(map(str, self.arch_settings))
            raise UserError(f"{name} has no depth={depth}; choose one of {valid}.")
        if not 1 <= num_stages <= 4:
            raise UserError(f"{name} has 1 to 4 stages; num_stages={num_stages} is none of these.")
        per_stage = {"strides": strides, "dilations": dilations}
        if dcn is not None:
            per_stage["stage_with_dcn"] = stage_with_dcn
        for i, plugin in enumerate(plugins or []):
            per_stage[f"plugins[{i}].stages"] = plugin.get("stages") or (True,) * num_stages
        for key, values in per_stage.items():
            if len(values) != num_stages:
                raise UserError(
                    f"{name}'s {key}={tuple(values)} must have one entry for each of the "
                    f"num_stages={num_stages} stages."
                )
        if not set(out_indices) <= set(range(num_stages)):
            raise UserError(
                f"{name}'s out_indices={tuple(out_indices)} must lie in 0 to {num_stages - 1}, "
                f"because num_stages={num_stages}."
            )
        block, stage_blocks = self.arch_settings[depth]
        block_init_cfg = None
        if zero_init_residual and not (init_cfg or pretrained):
            last = "norm2" if block is BasicBlock else "norm3"
            block_init_cfg = {"type": "Constant", "val": 0, "override": {"name": last}}
        super().__init__(self._init_cfg(name, pretrained, init_cfg))

        self.depth = depth
        self.out_indices = tuple(out_indices)
        self.deep_stem = self.variant_deep_stem if deep_stem is None else deep_stem
        self.avg_down = self.variant_avg_down if avg_down is None else avg_down
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        norm_cfg = norm_cfg or {"type": "BN", "requires_grad": True}

        self._add_stem(in_channels, stem_channels, conv_cfg, norm_cfg)
        self.res_layers = []
        inplanes = stem_channels
        for i, num_blocks in enumerate(stage_blocks[:num_stages]):
            planes = base_channels * 2**i
            stage_plugins = [p for p in plugins or [] if (p.get("stages") or [True] * 4)[i]]
            stage = ResLayer(
                block,
                inplanes,
                planes,
                num_blocks,
                stride=strides[i],
                dilation=dilations[i],
                avg_down=self.avg_down,
                conv_cfg=conv_cfg,
                norm_cfg=norm_cfg,
                multi_grid=multi_grid if i == num_stages - 1 else None,
                contract_dilation=contract_dilation,
                block_cfg={
                    "style": style,
                    "with_cp": with_cp,
                    "dcn": dcn if dcn is not None and stage_with_dcn[i] else None,
                    "plugins": stage_plugins,
                    "groups": groups,
                    "base_width": base_width,
                    "base_channels": base_channels,
                    "init_cfg": block_init_cfg,
                    **self.block_options,
                },
            )
            inplanes = planes * block.expansion
            self.add_module(f"layer{i + 1}", stage)
            self.res_layers.append(f"layer{i + 1}")
        self.feat_dim = inplanes
        self._freeze_stages()

    def _add_stem(
        self, in_channels: int, stem_channels: int, conv_cfg: dict | None, norm_cfg: dict
    ) -> None:
        if self.deep_stem:
            half = stem_channels // 2
            layers = []
            for c_in, c_out, stride in (
                (in_channels, half, 2),
                (half, half, 1),
                (half, stem_channels, 1),
            ):
                conv = build_conv_layer(
                    conv_cfg, c_in, c_out, kernel_size=3, stride=stride, padding=1, bias=False
                )
                layers += [conv, build_norm_layer(norm_cfg, c_out)[1], nn.ReLU(inplace=True)]
            self.stem = nn.Sequential(*layers)
        else:
            self.conv1 = build_conv_layer(
                conv_cfg, in_channels, stem_channels, kernel_size=7, stride=2, padding=3, bias=False
            )
            self.norm1_name, norm1 = build_norm_layer(norm_cfg, stem_channels, postfix=1)
            self.add_module(self.norm1_name, norm1)
            self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)

    @property
    def norm1(self) -> nn.Module:
        return getattr(self, self.norm1_name)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Feature maps of images (N, C, H, W), one an entry of ``out_indices``."""
        return tuple(x for i, x in enumerate(self.stage_maps(x)) if i in self.out_indices)

    def stage_maps(self, x: Tensor) -> Iterator[Tensor]:
        """The feature maps of all stages, of which none is held on to here."""
        x = self.stem_map(x)
        for name in self.res_layers:
            x = getattr(self, name)(x)
            yield x

    def stem_map(self, x: Tensor) -> Tensor:
        """What the first stage sees of images (N, C, H, W): a fourth of their size."""
        x = self.stem(x) if self.deep_stem else self.relu(self.norm1(self.conv1(x)))
        return self.maxpool(x)

    def _stages(self) -> list[nn.Module]:
        stem = self.stem if self.deep_stem else nn.ModuleList([self.conv1, self.norm1])
        return [stem, *(getattr(self, name) for name in self.res_layers)]


@MODELS.register_module()
class ResNetV1c(ResNet):
    """`ResNet` with the deep stem.

    Source: "Bag of Tricks for Image Classification", arXiv:1812.01187, as ResNet-C.
    """

    variant_deep_stem = True


@MODELS.register_module()
class ResNetV1d(ResNet):
    """`ResNet` with the deep stem and shortcuts that stride by average pooling.

    Source: arXiv:1812.01187, as ResNet-D.
    """

    variant_deep_stem = True
    variant_avg_down = True
