"""The fully convolutional head."""

from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmseg_gc.errors import UserError
from mmseg_gc.models.decode_heads.decode_head import BaseDecodeHead
from mmseg_gc.registry import MODELS


@MODELS.register_module()
class FCNHead(BaseDecodeHead):
    """``num_convs`` convolutions, then the classifier; see `BaseDecodeHead` for the other keys.

    ``concat_input`` lets one more convolution see the input beside their output.

    Source: "Fully Convolutional Networks", arXiv:1411.4038; ``mmseg.models.FCNHead``.
    """

    def __init__(
        self,
        *,
        in_channels: int | Sequence[int],
        channels: int,
        num_classes: int,
        num_convs: int = 2,
        kernel_size: int = 3,
        concat_input: bool = True,
        dilation: int = 1,
        out_channels: int | None = None,
        threshold: float | None = None,
        dropout_ratio: float = 0.1,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        in_index: int | Sequence[int] = -1,
        input_transform: str | None = None,
        loss_decode: dict | Sequence[dict] | None = None,
        ignore_index: int | None = 255,
        sampler: None = None,
        align_corners: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            channels,
            num_classes=num_classes,
            out_channels=out_channels,
            threshold=threshold,
            dropout_ratio=dropout_ratio,
            conv_cfg=conv_cfg,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
            in_index=in_index,
            input_transform=input_transform,
            loss_decode=loss_decode,
            ignore_index=ignore_index,
            sampler=sampler,
            align_corners=align_corners,
            init_cfg=init_cfg,
        )
        if num_convs == 0 and self.in_channels != channels:
            raise UserError(
                f"{type(self).__name__} with num_convs=0 needs channels={channels} to equal "
                f"in_channels={self.in_channels}."
            )
        self.num_convs = num_convs
        self.input_conv: nn.Conv2d | None = None
        self.concat_input = concat_input
        widths = [self.in_channels] + [channels] * num_convs
        self.convs = nn.Sequential(
            *(self._conv(width, kernel_size, dilation) for width in widths[:-1])
        )
        if concat_input:
            self.conv_cat = self._conv(self.in_channels + channels, kernel_size)

    def _conv(self, in_channels: int, kernel_size: int, dilation: int = 1) -> ConvModule:
        return ConvModule(
            in_channels,
            self.channels,
            kernel_size=kernel_size,
            padding=kernel_size // 2 * dilation,
            dilation=dilation,
            conv_cfg=self.conv_cfg,
            norm_cfg=self.norm_cfg,
            act_cfg=self.act_cfg,
        )

    def stack_input_convs(self) -> None:
        """For inference, after batch norms were folded: let one convolution read the input.

        The first of ``convs`` and ``conv_cat`` both see it; their filters stand side by side in
        ``input_conv`` then, and ``conv_cat`` keeps those that see what ``convs`` made. Heads of
        another make than the usual one stay as they are.
        """
        if not self.concat_input or len(self.convs) == 0:
            return
        first, last = self.convs[0], self.conv_cat
        alike = all(
            isinstance(part.conv, nn.Conv2d)
            and type(part.conv).forward is nn.Conv2d.forward
            and isinstance(part.norm, nn.Identity)
            and part.conv.padding == last.conv.padding
            and part.conv.dilation == (1, 1)
            and part.with_activation
            for part in (first, last)
        )
        if not alike:
            return
        width = self.in_channels
        shape = dict(kernel_size=last.conv.kernel_size, padding=last.conv.padding)
        conv = nn.Conv2d(width, 2 * self.channels, **shape)
        weights = torch.cat([first.conv.weight, last.conv.weight[:, :width]])
        conv.weight = nn.Parameter(weights.detach())
        conv.bias = nn.Parameter(torch.cat([first.conv.bias, last.conv.bias]).detach())
        rest = nn.Conv2d(self.channels, self.channels, bias=False, **shape)
        rest.weight = nn.Parameter(last.conv.weight[:, width:].detach().clone())
        self.input_conv = conv
        first.conv, last.conv = nn.Identity(), rest

    def _conv_branch(self, x: Tensor) -> Tensor:
        return self.convs(x)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Scores; after `stack_input_convs` a list of feature maps is emptied when it was read."""
        x = self._transform_inputs(inputs)
        if self.input_conv is not None:
            if isinstance(inputs, list):
                inputs.clear()
            x = self.input_conv(x)  # the feature maps can go: they are the largest tensors
            x, seen = x.split(self.channels, dim=1)
            feats = self._conv_branch(x)
            feats = self.conv_cat.activate(self.conv_cat.conv(feats).add_(seen))
            return self.cls_seg(feats)
        feats = self._conv_branch(x)
        if self.concat_input:
            feats = self.conv_cat(torch.cat([x, feats], dim=1))
        return self.cls_seg(feats)
