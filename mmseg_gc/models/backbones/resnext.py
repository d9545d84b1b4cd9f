"""ResNeXt: a ResNet whose 3x3 convolutions work in groups."""

from mmseg_gc.models.backbones.res_blocks import Bottleneck
from mmseg_gc.models.backbones.resnet import ResNet
from mmseg_gc.registry import MODELS

__all__ = ["Bottleneck", "ResNeXt"]  # one block serves both, by its groups


@MODELS.register_module()
class ResNeXt(ResNet):
    """`ResNet` at the depths that have grouped blocks: give it ``groups`` and ``base_width``.

    Source: "Aggregated Residual Transformations", arXiv:1611.05431. Unlike in ``mmseg``,
    ``zero_init_residual`` takes effect; it matters without pretrained weights only.
    """

    arch_settings = {depth: ResNet.arch_settings[depth] for depth in (50, 101, 152)}
