"""The point head of PointRend."""

from collections.abc import Mapping, Sequence
from typing import Unpack

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmseg_gc.errors import UserError
from mmseg_gc.models.decode_heads.cascade_decode_head import BaseCascadeDecodeHead
from mmseg_gc.models.decode_heads.decode_head import DecodeHeadOptions, upcast
from mmseg_gc.models.layers import resize
from mmseg_gc.models.layers.point_sampling import (
    TEST,
    TRAIN,
    check_points,
    points_to_learn,
    points_to_refine,
    sample_points,
)
from mmseg_gc.models.losses import accuracy
from mmseg_gc.registry import MODELS
from mmseg_gc.structures import SegDataSample


@MODELS.register_module()
class PointHead(BaseCascadeDecodeHead):
    """Logits of single points, by ``num_fcs`` layers that see maps and coarse logits there.

    With ``coarse_pred_each_layer`` each sees the latter. ``train_cfg.num_points`` are learnt from,
    a share of ``importance_sample_ratio`` of which are the least certain of ``oversample_ratio``
    times as many. Each of ``test_cfg.subdivision_steps`` enlarges logits by ``scale_factor`` and
    makes those of ``subdivision_num_points`` anew, the least certain.

    Raises: UserError for a single logit, or settings of the model that are absent or none.
    Source: "PointRend: Image Segmentation as Rendering", arXiv:1912.08193, section 3;
    ``mmseg.models.PointHead``.
    """

    known_by = ("fcs", "fc_seg")
    test_keys = tuple(TEST)
    not_exported_because = "chooses points by their logits"

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        channels: int,
        num_classes: int,
        num_fcs: int = 3,
        coarse_pred_each_layer: bool = True,
        **options: Unpack[DecodeHeadOptions],
    ) -> None:
        own = {"type": "Normal", "std": 0.01, "override": {"name": "fc_seg"}}
        options["init_cfg"] = options.get("init_cfg") or own
        options["input_transform"] = "multiple_select"
        options.setdefault("conv_cfg", {"type": "Conv1d"})
        options.setdefault("act_cfg", {"type": "ReLU", "inplace": False})
        super().__init__(in_channels, channels, num_classes=num_classes, **options)
        if self.out_channels < 2:
            raise UserError(f"{type(self).__name__} needs two logits; leave out out_channels=1.")
        self.coarse_pred_each_layer = coarse_pred_each_layer
        behind = channels + (self.out_channels if coarse_pred_each_layer else 0)
        widths = [sum(in_channels) + self.out_channels] + [behind] * num_fcs
        self.fcs = nn.ModuleList(ConvModule(w, channels, 1, **self.layer_cfgs) for w in widths[:-1])
        self.fc_seg = nn.Conv1d(widths[-1], self.out_channels, kernel_size=1)
        del self.conv_seg
        if self.dropout is not None:  # of single values: a point has no map of a channel
            self.dropout = nn.Dropout(self.dropout.p)  # type: ignore[assignment]

    def configure(self, train_cfg: Mapping | None, test_cfg: Mapping) -> None:
        self.train_cfg, self.test_cfg = train_cfg or {}, test_cfg
        if train_cfg is not None:  # models that only label are built without
            check_points(type(self).__name__, "train_cfg", train_cfg, TRAIN)
        check_points(type(self).__name__, "test_cfg", test_cfg, TEST)

    def forward(self, inputs: Sequence[Tensor], prev_output: Tensor) -> Tensor:  # type: ignore[override]
        """Logits (N, out_channels, h, w), enlarged, from feature maps and another head's logits."""
        maps = self._transform_inputs(inputs)
        refined = prev_output = upcast(prev_output)  # (N, K, h, w)
        for _ in range(self.test_cfg["subdivision_steps"]):
            factor = self.test_cfg["scale_factor"]
            refined = resize(refined, None, factor, "bilinear", self.align_corners)
            places, points = points_to_refine(refined, self.test_cfg["subdivision_num_points"])
            logits = self._point_logits(maps, prev_output, points)  # (N, K, P)
            places = places.unsqueeze(1).expand_as(logits)
            refined = refined.flatten(2).scatter(2, places, logits).view_as(refined)
        return refined

    def loss(  # type: ignore[override]
        self,
        inputs: Sequence[Tensor],
        prev_output: Tensor,
        batch_data_samples: list[SegDataSample],
        train_cfg: dict | None = None,
    ) -> dict[str, Tensor]:
        """Losses of points as ``point<name>``, and their accuracy in percent as ``acc_point``."""
        check_points(type(self).__name__, "train_cfg", self.train_cfg, TRAIN)
        points = points_to_learn(prev_output, **{key: self.train_cfg[key] for key in TRAIN})
        logits = self._point_logits(self._transform_inputs(inputs), prev_output, points)
        label = torch.stack([s.gt_sem_seg.data for s in batch_data_samples])  # (N, 1, H, W)
        corners = self.align_corners
        label = sample_points(label.float(), points, mode="nearest", align_corners=corners)
        label = label.squeeze(1).long()  # (N, P)
        losses, options = dict[str, Tensor](), {"ignore_index": self.ignore_index}
        for criterion in self.criteria:
            value, name = criterion(logits, label, **options), f"point{criterion.loss_name}"
            losses[name] = losses[name] + value if name in losses else value
        (losses["acc_point"],) = accuracy(logits, label, (1,), **options)
        return losses

    def _point_logits(self, maps: Sequence[Tensor], coarse: Tensor, points: Tensor) -> Tensor:
        """Logits (N, K, P), float32 at least, of ``points`` (N, P, 2)."""
        seen = [sample_points(y, points, align_corners=self.align_corners) for y in (*maps, coarse)]
        x, coarse = (y.to(maps[0].dtype) for y in (torch.cat(seen, dim=1), seen[-1]))  # (N, _, P)
        for fc in self.fcs:
            x = fc(x)  # (N, channels, P)
            x = torch.cat([x, coarse], dim=1) if self.coarse_pred_each_layer else x
        return upcast(self.fc_seg(self._dropped(x)))
