"""Residual blocks for inference on CPUs."""

from torch import Tensor, nn

from mmseg_gc.models.backbones.res_blocks import BasicBlock, Bottleneck
from mmseg_gc.models.layers.fused_conv import fused, fuses


class FusedBlock(nn.Module):
    """A trained block whose convolutions add and clip what they compute.

    Its output is written over the shortcut: over the block's input where that is the shortcut and
    nothing else reads it, ``owns_input``.
    """

    def __init__(self, block: BasicBlock | Bottleneck, owns_input: bool) -> None:
        super().__init__()
        self.downsample = block.downsample
        self.owns_input = owns_input
        self.convs = nn.ModuleList(fused(conv, relu=True) for conv in _convs(block))

    def forward(self, x: Tensor) -> Tensor:
        *first, last = self.convs
        out = x
        for conv in first:
            out = conv(out)
        # After those, whose inputs are gone by now: the shortcut is the largest of all.
        if self.downsample is not None:
            total = self.downsample(x)
        else:
            total = x if self.owns_input else x.clone()
        return last(out, total)


def fuse_blocks(backbone: nn.Module) -> None:
    """Make the residual blocks under ``backbone``, whose batch norms were folded, `FusedBlock`s.

    Blocks with plugins, other norms or deformable convolutions stay as they are.
    """
    for stage in list(backbone.modules()):
        if isinstance(stage, nn.Sequential):
            for i, block in enumerate(stage):
                if type(block) in (BasicBlock, Bottleneck) and _suits(block):
                    # What comes into a stage may leave the backbone as a feature map as well.
                    stage[i] = FusedBlock(block, owns_input=i > 0)


def _convs(block: BasicBlock | Bottleneck) -> list[nn.Module]:
    return [block.conv1, block.conv2, *([block.conv3] if isinstance(block, Bottleneck) else [])]


def _suits(block: BasicBlock | Bottleneck) -> bool:
    convs = _convs(block)
    others = [child for child in block.children() if child not in (*convs, block.downsample)]
    return all(map(fuses, convs)) and all(isinstance(o, nn.Identity | nn.ReLU) for o in others)
