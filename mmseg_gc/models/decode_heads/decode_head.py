"""What every decode head shares: choosing inputs, classifying, the loss, resizing logits."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypedDict

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmseg_gc.checkpoint.names import HEADS_BY_PARTS
from mmseg_gc.errors import UserError
from mmseg_gc.models.layers import resize
from mmseg_gc.models.losses import accuracy
from mmseg_gc.registry import MODELS, TASK_UTILS
from mmseg_gc.structures import SegDataSample, has_strange_ids, strange_ids

INPUT_TRANSFORMS = ("resize_concat", "multiple_select")


class DecodeHeadOptions(TypedDict, total=False):
    """Those keywords of `BaseDecodeHead` that a head hands on without a word of its own."""

    out_channels: int | None
    threshold: float | None
    dropout_ratio: float
    conv_cfg: dict | None
    norm_cfg: dict | None
    act_cfg: dict | None
    in_index: int | Sequence[int]
    input_transform: str | None
    loss_decode: dict | Sequence[dict] | None
    ignore_index: int | None
    sampler: dict | None
    align_corners: bool
    init_cfg: dict | list[dict] | None


class LayerCfgs(TypedDict):
    """What mmcv's `ConvModule` is told of the layers that a head is made of."""

    conv_cfg: dict | None
    norm_cfg: dict | None
    act_cfg: dict | None


class BaseDecodeHead(BaseModule):
    """Base of heads that turn feature maps into logits of shape (N, out_channels, h, w).

    Args:
        in_channels, in_index: width and place of the feature map to use; with ``input_transform``
            sequences of them: "resize_concat" brings these maps to the first one's size and
            concatenates them, "multiple_select" hands them over as a list.
        channels: width before the classifying convolution.
        out_channels: None for ``num_classes``; 1 for two classes told apart by a sigmoid.
        threshold: lowest probability of class 1 if ``out_channels`` is 1; None means 0.3.
        loss_decode: config of a loss, or a list; losses of one ``loss_name`` are summed. None:
            cross entropy, of a sigmoid if ``out_channels`` is 1.
        ignore_index: label id that is not learnt; None if there is none.
        sampler: config of what weighs the pixels to learn from, such as `OHEMPixelSampler`.

    Of a subclass, ``known_by`` are children by which weights are told to be of that head,
    ``test_keys`` what it reads of the model's ``test_cfg``, and ``not_exported_because`` says what
    it does that no exported file can.

    Raises: UserError for arguments that do not fit together.
    Source: ``mmseg.models.decode_heads.BaseDecodeHead``.
    """

    known_by: ClassVar[tuple[str, ...]]
    test_keys: ClassVar[tuple[str, ...]] = ()
    not_exported_because: ClassVar[str] = ""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "known_by" in cls.__dict__:
            HEADS_BY_PARTS[frozenset(cls.known_by)] = cls.__name__

    def __init__(
        self,
        in_channels: int | Sequence[int],
        channels: int,
        *,
        num_classes: int,
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
        sampler: dict | None = None,
        align_corners: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(
            init_cfg or {"type": "Normal", "std": 0.01, "override": {"name": "conv_seg"}}
        )
        name = type(self).__name__
        if input_transform not in (None, *INPUT_TRANSFORMS):
            raise UserError(
                f"{name} has no input_transform={input_transform!r}; choose None or one of "
                f"{', '.join(INPUT_TRANSFORMS)}."
            )
        of_one = isinstance(in_channels, int), isinstance(in_index, int)
        widths = (in_channels,) if isinstance(in_channels, int) else tuple(in_channels)
        places = (in_index,) if isinstance(in_index, int) else tuple(in_index)
        if input_transform is None:
            fits = all(of_one)
            cure = "one number each, or set input_transform"
        else:
            fits = not any(of_one) and len(widths) == len(places)
            cure = f"two lists of one length for input_transform={input_transform!r}"
        if not fits:
            raise UserError(
                f"{name}'s in_channels={in_channels} and in_index={in_index} do not fit; "
                f"give {cure}."
            )
        out_channels = num_classes if out_channels is None else out_channels
        if out_channels != num_classes and (out_channels, num_classes) != (1, 2):
            raise UserError(
                f"{name}'s out_channels={out_channels} must equal num_classes={num_classes}, "
                f"or be 1 for two classes."
            )
        self.in_channels: Any = sum(widths) if input_transform == "resize_concat" else in_channels
        self.in_index = in_index
        self.input_transform = input_transform
        self.channels = channels
        self.num_classes = num_classes
        self.out_channels = out_channels
        self.threshold = 0.3 if out_channels == 1 and threshold is None else threshold
        self.conv_cfg = conv_cfg
        self.norm_cfg = norm_cfg
        self.act_cfg = act_cfg or {"type": "ReLU"}
        self.ignore_index = ignore_index
        self.align_corners = align_corners

        default = {"type": "CrossEntropyLoss", "use_sigmoid": out_channels == 1}
        loss_decode = default if loss_decode in (None, {}, [], ()) else loss_decode
        loss_cfgs = [loss_decode] if isinstance(loss_decode, dict) else loss_decode
        losses = nn.ModuleList(MODELS.build(cfg) for cfg in loss_cfgs)
        for loss in losses if out_channels == 1 else ():
            if getattr(loss, "by_softmax", False):
                raise UserError(
                    f"{name} with out_channels=1 needs use_sigmoid=True in loss_decode, or another "
                    f"loss by sigmoid in the place of {type(loss).__name__}."
                )
        # mmengine adds up what has "loss" in its name, and logs the rest.
        if losses and not any("loss" in getattr(loss, "loss_name", "loss") for loss in losses):
            raise UserError(
                f"{name} would learn from no loss: give one of loss_decode a loss_name that begins "
                f"with 'loss_', not {losses[0].loss_name!r}."
            )
        # A single loss stands bare, as users of mmseg know it: `head.loss_decode.loss_weight`.
        self.loss_decode = losses[0] if isinstance(loss_decode, dict) else losses
        self.sampler: Any = None
        if sampler is not None:
            for loss in losses:
                if not getattr(loss, "weighs_pixels", True):
                    raise UserError(
                        f"{name}'s sampler weighs pixels, which {type(loss).__name__} can't: leave "
                        "one of both out."
                    )
            self.sampler = TASK_UTILS.build(sampler, default_args={"context": self})
        self.conv_seg = nn.Conv2d(channels, out_channels, kernel_size=1)
        self.dropout = nn.Dropout2d(dropout_ratio) if dropout_ratio > 0 else None

    @property
    def layer_cfgs(self) -> LayerCfgs:
        return {"conv_cfg": self.conv_cfg, "norm_cfg": self.norm_cfg, "act_cfg": self.act_cfg}

    def _conv_module(self, in_channels: int, out_channels: int, kernel_size: int) -> ConvModule:
        """A convolution that keeps the map's size, with the head's norm and activation."""
        return ConvModule(
            in_channels, out_channels, kernel_size, padding=kernel_size // 2, **self.layer_cfgs
        )

    def configure(self, train_cfg: Mapping | None, test_cfg: Mapping) -> None:
        """Take what this head reads of the model's own ``train_cfg`` and ``test_cfg``."""

    def held_numbers(self, positions: int) -> int:
        """Numbers of the largest matrix that attention over so many positions holds, if it does."""
        parts: list[Any] = [part for part in self.modules() if part is not self]
        return max(
            (p.held_numbers(positions) for p in parts if hasattr(p, "held_numbers")), default=0
        )

    def maps_read(self) -> tuple[int, ...]:
        """Places of the feature maps that `forward` looks at."""
        return (self.in_index,) if isinstance(self.in_index, int) else tuple(self.in_index)

    def extra_repr(self) -> str:
        return (
            f"input_transform={self.input_transform}, ignore_index={self.ignore_index}, "
            f"align_corners={self.align_corners}"
        )

    def _transform_inputs(self, inputs: Sequence[Tensor]) -> Any:
        """One feature map, or for "multiple_select" the list of them."""
        if isinstance(self.in_index, int):
            return inputs[self.in_index]
        chosen = [inputs[i] for i in self.in_index]
        if self.input_transform == "multiple_select":
            return chosen
        size = chosen[0].shape[2:]
        return torch.cat([self._resized(x, size) for x in chosen], dim=1)

    def _resized(self, x: Tensor, size: Sequence[int]) -> Tensor:
        return resize(x, size=size, mode="bilinear", align_corners=self.align_corners)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, out_channels, h, w) from the backbone's feature maps."""
        raise NotImplementedError

    def cls_seg(self, feat: Tensor) -> Tensor:
        """Logits (N, out_channels, h, w) of features (N, channels, h, w)."""
        return self.conv_seg(self._dropped(feat))

    def _dropped(self, feat: Tensor) -> Tensor:
        return feat if self.dropout is None else self.dropout(feat)

    def loss(
        self,
        inputs: Sequence[Tensor],
        batch_data_samples: list[SegDataSample],
        train_cfg: dict | None = None,
    ) -> dict[str, Tensor]:
        """Losses by name, and the accuracy in percent as ``acc_seg``."""
        return self.loss_by_feat(self(inputs), batch_data_samples)

    def predict(
        self,
        inputs: Sequence[Tensor],
        batch_img_metas: list[dict],
        test_cfg: dict | None = None,
    ) -> Tensor:
        """Logits (N, out_channels, H, W) at the size of the network's input."""
        return self.predict_by_feat(self(inputs), batch_img_metas)

    @property
    def criteria(self) -> list[Any]:
        """The losses, be it one or several."""
        of_head = self.loss_decode
        return [*of_head] if isinstance(of_head, nn.ModuleList) else [of_head]

    def loss_by_feat(
        self, seg_logits: Tensor, batch_data_samples: list[SegDataSample]
    ) -> dict[str, Tensor]:
        """What `loss` returns, from logits at the head's own size."""
        label = torch.stack([s.gt_sem_seg.data for s in batch_data_samples])  # (N, 1, H, W)
        label = label.squeeze(1).long()
        criteria = self.criteria
        # Losses that enlarge logits themselves, a part at a time; of one channel that saves little.
        small = self.out_channels > 1 and self.sampler is None and bool(criteria)
        small = small and all(hasattr(loss_decode, "of_small_logits") for loss_decode in criteria)
        seg_logits = upcast(seg_logits)
        if not small:
            seg_logits = self._resized(seg_logits, label.shape[1:])
        options: dict[str, Any] = {"ignore_index": self.ignore_index}
        if self.sampler is not None:
            options["weight"] = self.sampler.sample(seg_logits, label.unsqueeze(1))
        losses: dict[str, Tensor] = {}
        for loss_decode in criteria:
            if small:
                value, acc_seg = loss_decode.of_small_logits(
                    seg_logits, label, align_corners=self.align_corners, **options
                )
            else:
                value = loss_decode(seg_logits, label, **options)
            name = loss_decode.loss_name
            losses[name] = losses[name] + value if name in losses else value
        if not small:
            # With one channel this is the threshold that predictions are held to.
            thresh = self.threshold if self.out_channels == 1 else None
            (acc_seg,) = accuracy(
                seg_logits, label, topk=(1,), thresh=thresh, ignore_index=self.ignore_index
            )
        losses["acc_seg"] = acc_seg
        return losses

    def predict_by_feat(self, seg_logits: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """What `predict` returns, from logits at the head's own size."""
        meta = batch_img_metas[0]  # All images of a batch have one size here.
        return self._resized(upcast(seg_logits), meta.get("pad_shape", meta["img_shape"])[:2])

    def check_labels(self, batch_data_samples: list[SegDataSample]) -> None:
        """Raise a UserError that names the image if one of its labels is no class.

        Left to the loss, such a label would end a GPU run with an assertion inside a kernel.
        """
        for sample in batch_data_samples:
            if "gt_sem_seg" not in sample:
                raise UserError(
                    f"{sample.metainfo.get('img_path', 'an image')} comes to the training without "
                    "a label: put LoadAnnotations into train_dataloader.dataset.pipeline."
                )
        labels = [sample.gt_sem_seg.data for sample in batch_data_samples]
        # Ask for the whole batch at once: each answer makes a GPU wait.
        of_all = [has_strange_ids(one, self._num_ids, self.ignore_index) for one in labels]
        if not torch.stack(of_all).any():
            return
        for sample, label in zip(batch_data_samples, labels, strict=True):
            mask = strange_ids(label, self._num_ids, self.ignore_index)
            if mask.any():
                where = sample.metainfo.get("seg_map_path", "a label map")
                ids = ", ".join(map(str, label[mask].unique().tolist()[:5]))
                raise UserError(
                    f"Label id {ids} in {where} is no class: num_classes={self.num_classes} and "
                    f"ignore_index={self.ignore_index}; mend the labels or these two keys."
                )

    @property
    def _num_ids(self) -> int:
        return max(self.num_classes, 2 * (self.out_channels == 1))


def upcast(logits: Tensor) -> Tensor:
    """``logits`` in at least float32, in which interpolation after 16-bit arithmetic is done."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
