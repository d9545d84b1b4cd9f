"""The context encoding head."""

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor, nn

from mmseg_gc.errors import UserError
from mmseg_gc.models.decode_heads.decode_head import BaseDecodeHead, DecodeHeadOptions
from mmseg_gc.models.layers import ContextEncoding
from mmseg_gc.registry import MODELS
from mmseg_gc.structures import SegDataSample


@MODELS.register_module()
class EncHead(BaseDecodeHead):
    """The last feature map, scaled channel by channel by what the whole image holds.

    With ``add_lateral`` the maps before it are brought in. With ``use_se_loss`` the image's code
    also learns by ``loss_se_decode`` which classes are in the image.

    Raises: UserError for fewer than one code.
    Source: "Context Encoding for Semantic Segmentation", arXiv:1803.08904, section 3;
    ``mmseg.models.EncHead``.
    """

    known_by = ("enc_module",)

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        channels: int,
        num_classes: int,
        num_codes: int = 32,
        use_se_loss: bool = True,
        add_lateral: bool = False,
        loss_se_decode: dict | None = None,
        **options: Unpack[DecodeHeadOptions],
    ) -> None:
        if num_codes < 1:
            raise UserError(f"{type(self).__name__} needs num_codes from 1 on, not {num_codes}.")
        options["input_transform"] = "multiple_select"
        super().__init__(in_channels, channels, num_classes=num_classes, **options)
        self.bottleneck = self._conv_module(in_channels[-1], channels, 3)
        self.lateral_convs = nn.ModuleList(
            self._conv_module(width, channels, 1)
            for width in (in_channels[:-1] if add_lateral else ())
        )
        if add_lateral:
            self.fusion = self._conv_module(len(in_channels) * channels, channels, 3)
        self.enc_module = ContextEncoding(channels, num_codes, **self.layer_cfgs)
        self.use_se_loss = use_se_loss
        if use_se_loss:
            own = {"type": "CrossEntropyLoss", "use_sigmoid": True, "loss_weight": 0.2}
            self.loss_se_decode = MODELS.build(loss_se_decode or own)
            self.se_layer = nn.Linear(channels, num_classes)

    def _encoded(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The image's code (N, channels), and features (N, channels, h, w)."""
        *laterals, x = self._transform_inputs(inputs)
        feats = self.bottleneck(x)
        if self.lateral_convs:
            pairs = zip(self.lateral_convs, laterals, strict=True)
            maps = [self._resized(conv(one), feats.shape[2:]) for conv, one in pairs]
            feats = self.fusion(torch.cat([feats, *maps], dim=1))
        return self.enc_module(feats)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, out_channels, h, w) from the backbone's feature maps."""
        return self.cls_seg(self._encoded(inputs)[1])

    def loss(
        self,
        inputs: Sequence[Tensor],
        batch_data_samples: list[SegDataSample],
        train_cfg: dict | None = None,
    ) -> dict[str, Tensor]:
        """Losses by name, ``loss_se`` of the classes present, and the accuracy as ``acc_seg``."""
        code, feats = self._encoded(inputs)
        losses = self.loss_by_feat(self.cls_seg(feats), batch_data_samples)
        if self.use_se_loss:
            label = torch.stack([one.gt_sem_seg.data for one in batch_data_samples])
            present = self._present(label.flatten(1).long())
            losses["loss_se"] = self.loss_se_decode(self.se_layer(code), present)
        return losses

    def _present(self, label: Tensor) -> Tensor:
        """Which of the classes occur in each row of ``label`` (N, H*W): (N, num_classes)."""
        none = self.num_classes  # the place of all that is no class
        label = label.where((label >= 0) & (label < none), none)
        found = label.new_zeros(len(label), none + 1).scatter_(1, label, 1)
        return found[:, :-1]
