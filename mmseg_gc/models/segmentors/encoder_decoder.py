"""The segmentor: a backbone, a decode head, and auxiliary heads while training."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmengine.config import ConfigDict
from torch import Tensor, nn

from mmseg_gc.build_checks import check_channels
from mmseg_gc.errors import UserError
from mmseg_gc.inference import (
    LogitMap,
    ResampledLogits,
    Size,
    Watch,
    WindowLogits,
    at_original_size,
    images_at_once,
    label_image,
    parse_budget,
    write_result,
)
from mmseg_gc.models.backbones.resnet import ResNet
from mmseg_gc.models.data_preprocessor import SegDataPreProcessor
from mmseg_gc.models.decode_heads import BaseDecodeHead, upcast
from mmseg_gc.models.segmentors.base import BaseSegmentor, overrides
from mmseg_gc.registry import MODELS
from mmseg_gc.structures import SegDataSample

# What people override to change how logits of whole images come about, and what becomes of them.
WHOLE_IMAGE_METHODS = ("inference", "whole_inference", "slide_inference", "postprocess_result")
TEST_KEYS = ("mode", "crop_size", "stride", "return_logits", "memory_budget")


@MODELS.register_module()
class EncoderDecoder(BaseSegmentor):
    """Backbone, optional neck, decode head, and auxiliary heads that only training uses.

    ``test_cfg`` is ``dict(mode="whole")``, also the default, or ``dict(mode="slide", crop_size=(h,
    w), stride=(h, w))`` in pixels of the network's input. In it, ``memory_budget="2GiB"`` bounds
    what labelling takes beside the image, by fewer windows at once and lower chunks of rows, and
    ``return_logits=True`` keeps logits beside labels. ``pretrained`` goes to the backbone. What the
    data preprocessor writes on padded labels becomes the heads' ``ignore_index``.

    Raises: UserError if heads disagree, or ``test_cfg`` has an unknown key or lacks one.
    Source: ``mmseg.models.EncoderDecoder``.
    """

    def __init__(
        self,
        backbone: dict,
        decode_head: dict,
        neck: dict | None = None,
        auxiliary_head: dict | Sequence[dict] | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | nn.Module | None = None,
        pretrained: str | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if pretrained is not None:
            if backbone.get("pretrained") is not None:
                raise UserError("Both the model and its backbone set `pretrained`; leave one out.")
            backbone = {**backbone, "pretrained": pretrained}
        self.backbone = MODELS.build(backbone)
        if neck is not None:
            self.neck = MODELS.build(neck)
        self.decode_head = self._build_decode_head(decode_head)
        if isinstance(auxiliary_head, dict):
            self.auxiliary_head = MODELS.build(auxiliary_head)
        elif auxiliary_head:
            self.auxiliary_head = nn.ModuleList(MODELS.build(cfg) for cfg in auxiliary_head)
        self._check_heads_agree()
        check_channels(self, ResNet)

        self.align_corners = self.decode_head.align_corners
        self.num_classes = self.decode_head.num_classes
        self.out_channels = self.decode_head.out_channels
        self.train_cfg = train_cfg
        self.test_cfg = ConfigDict(test_cfg or {"mode": "whole"})
        for head in self._decode_heads():
            if isinstance(head, BaseDecodeHead):
                head.configure(self.train_cfg, self.test_cfg)
        _ = self._windows, self.memory_budget  # Complain now rather than after training.
        self.compute_dtype: torch.dtype | None = None  # set by `prepare_for_inference`
        # Each gives, of a sample and what its labels are made from, who is to see the logits.
        self.watchers: list[Callable[[SegDataSample, LogitMap], Watch | None]] = []
        # By the decode head, of a known backbone; set by `prepare_for_inference` as well.
        self.stages_read: tuple[int, ...] | None = None
        ignore_index = self.decode_head.ignore_index
        if ignore_index is not None and hasattr(self.data_preprocessor, "seg_pad_val"):
            self.data_preprocessor.seg_pad_val = ignore_index
        if hasattr(self.decode_head, "check_labels"):
            check = _LabelCheck(self.decode_head)
            self.data_preprocessor.register_forward_pre_hook(check, with_kwargs=True)

    def _build_decode_head(self, cfg: dict) -> nn.Module:
        return MODELS.build(cfg)

    @property
    def _windows(self) -> tuple[Size, Size] | None:
        of_heads = [key for head in self._decode_heads() for key in getattr(head, "test_keys", ())]
        return _windows(self.test_cfg, [*TEST_KEYS, *of_heads])

    @property
    def memory_budget(self) -> int | None:
        """Bytes that ``test_cfg.memory_budget`` allows; None: no bound."""
        budget = self.test_cfg.get("memory_budget")
        return None if budget is None else parse_budget(budget)

    def _decode_heads(self) -> list[nn.Module]:
        """The decode heads: one, or those of a row."""
        head = self.decode_head
        return list(head) if isinstance(head, nn.ModuleList) else [head]

    def _auxiliary_heads(self) -> dict[str, nn.Module]:
        """The auxiliary heads by the prefix of their losses."""
        if isinstance(self.auxiliary_head, nn.ModuleList):
            return {f"aux_{i}": head for i, head in enumerate(self.auxiliary_head)}
        return {} if self.auxiliary_head is None else {"aux": self.auxiliary_head}

    def _check_heads_agree(self) -> None:
        for key in ("num_classes", "ignore_index"):
            for head in self._auxiliary_heads().values():
                if getattr(head, key) != getattr(self.decode_head, key):
                    raise UserError(
                        f"decode_head.{key}={getattr(self.decode_head, key)} and auxiliary_head."
                        f"{key}={getattr(head, key)} differ; set both to the same."
                    )

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Feature maps of images (N, 3, H, W)."""
        features = self.backbone(inputs)
        return features if self.neck is None else self.neck(features)

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Logits (N, out_channels, H, W) of images, or windows of them, (N, 3, H, W)."""
        return _dense(self._network_logits(self._network_input(inputs), batch_img_metas))

    def _network_input(self, inputs: Tensor) -> Tensor:
        """Images (N, 3, H, W), normalised or not yet, as the network takes them."""
        if not inputs.is_floating_point():
            inputs = self.data_preprocessor.normalise(inputs)
        if self.compute_dtype is not None:
            inputs = inputs.to(self.compute_dtype, memory_format=torch.channels_last)
        return inputs

    def _network_logits(self, inputs: Tensor, metas: list[dict]) -> list[ResampledLogits]:
        """Logits of each of ``inputs``, at the size of the inputs."""
        features = self._head_features(inputs)
        if overrides(self.decode_head, BaseDecodeHead, "predict", "predict_by_feat"):
            logits = self.decode_head.predict(features, metas, self.test_cfg)
        else:
            logits = self.decode_head(features)
        del features
        size = (inputs.shape[2], inputs.shape[3])
        return [ResampledLogits(one).resized(size, self.align_corners) for one in upcast(logits)]

    def _head_features(self, inputs: Tensor) -> tuple[Tensor | None, ...]:
        """`extract_feat`, where nobody else can see it without the maps that the head leaves."""
        backbone, heads = self.backbone, [self.decode_head, *self._decode_heads()]
        seen = any(head._forward_hooks or head._forward_pre_hooks for head in heads)
        # The backbone's first one sees to the dtype.
        seen = seen or backbone._forward_hooks or len(backbone._forward_pre_hooks) > 1
        if self.stages_read is None or seen or overrides(self, EncoderDecoder, "extract_feat"):
            return self.extract_feat(inputs)
        inputs = inputs.to(next(backbone.parameters()).dtype)
        return backbone.maps_read(inputs, self.stages_read)

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses and accuracies of all heads as ``decode.*``, ``aux.*`` or ``aux_<i>.*``."""
        features = self.extract_feat(inputs)
        return {
            f"{prefix}.{name}": value
            for prefix, head in {"decode": self.decode_head, **self._auxiliary_heads()}.items()
            for name, value in head.loss(features, data_samples, self.train_cfg).items()
        }

    def test_step(self, data: dict | tuple | list) -> list[SegDataSample]:
        """Predictions of a batch as the data loader gives it."""
        return self._run_forward(self.prepare_batch(data), mode="predict")

    def prepare_batch(self, data: dict | tuple | list) -> dict:
        """The ``inputs`` and ``data_samples`` that `predict` takes, on this model's device."""
        late = self._windows is not None or self.compute_dtype is not None
        if late and not self.predicts_its_own_way and self._normalises_late:
            # What goes through the network at once is normalised by itself, just before it does:
            # in float32 images are four times as big.
            return self.data_preprocessor(data, False, raw=True)
        return self.data_preprocessor(data, False)

    @property
    def _normalises_late(self) -> bool:
        preprocessor = self.data_preprocessor
        return isinstance(preprocessor, SegDataPreProcessor) and not overrides(
            preprocessor, SegDataPreProcessor, "forward", "normalise", "cast_data"
        )

    @property
    def predicts_its_own_way(self) -> bool:
        """Whether a subclass makes logits or results of whole images by methods of its own."""
        return overrides(self, EncoderDecoder, "forward", "predict", *WHOLE_IMAGE_METHODS)

    def predict(
        self, inputs: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Labels of images (N, 3, H, W), written into the samples (None: new ones).

        With ``test_cfg.return_logits`` the logits of the whole image too, as ``seg_logits``.
        """
        samples = data_samples or [SegDataSample() for _ in inputs]
        metas = [sample.metainfo for sample in samples]
        if overrides(self, EncoderDecoder, *WHOLE_IMAGE_METHODS):
            logits = self.inference(inputs, metas)
            self._show(logits, samples)
            return self.postprocess_result(logits, samples)
        for sample, one in zip(samples, self.logit_maps(inputs, metas), strict=True):
            self.write_result(sample, one)
        return samples

    def logit_maps(self, inputs: Tensor, batch_img_metas: list[dict]) -> list[LogitMap]:
        """Logits of each image of (N, 3, H, W) at its original size, not yet made."""
        return [
            at_original_size(logits, meta, self.align_corners)
            for logits, meta in zip(
                self._at_input_size(inputs, batch_img_metas), batch_img_metas, strict=True
            )
        ]

    def _at_input_size(self, inputs: Tensor, metas: list[dict]) -> list[ResampledLogits]:
        if self._windows is None:
            return self._run(inputs, metas)
        pairs = zip(inputs, metas, strict=True)
        return [ResampledLogits(self._slide(image, meta)) for image, meta in pairs]

    def _run(self, inputs: Tensor, metas: list[dict]) -> list[ResampledLogits]:
        """Logits of images or windows (N, 3, H, W) at their size, by `encode_decode`'s ways."""
        inputs = self._network_input(inputs)
        size = tuple(inputs.shape[2:])
        metas = [{**meta, "img_shape": size, "pad_shape": size} for meta in metas]
        if overrides(self, EncoderDecoder, "encode_decode"):
            return [ResampledLogits(one) for one in upcast(self.encode_decode(inputs, metas))]
        return self._network_logits(inputs, metas)

    def _slide(self, image: Tensor, meta: dict) -> WindowLogits:
        assert self._windows is not None
        crop, stride = self._windows

        def run(places: list[tuple[slice, slice]]) -> list[ResampledLogits]:
            windows = torch.stack([image[:, rows, columns] for rows, columns in places])
            return self._run(windows, [meta] * len(places))

        return WindowLogits(
            self.out_channels,
            (image.shape[1], image.shape[2]),
            image.device,
            crop=crop,
            stride=stride,
            run=run,
            batch=images_at_once(self, crop, image.device),
        )

    def write_result(self, sample: SegDataSample, logits: LogitMap) -> None:
        """Write what ``test_cfg`` asks for into ``sample``, from ``logits`` of its whole image."""
        watches = [watcher(sample, logits) for watcher in self.watchers]
        write_result(
            sample,
            logits,
            threshold=getattr(self.decode_head, "threshold", None),
            with_logits=self.test_cfg.get("return_logits", False),
            budget=self.memory_budget,
            watches=[watch for watch in watches if watch is not None],
        )

    def _show(self, logits: Tensor, samples: list[SegDataSample]) -> None:
        """Let `watchers` see logits (N, C, H, W) that a subclass labels in its own way."""
        for watcher in self.watchers:
            for one, sample in zip(logits, samples, strict=True):
                at_size = at_original_size(
                    ResampledLogits(one), sample.metainfo, self.align_corners
                )
                watch = watcher(sample, at_size)
                if watch is not None:
                    label_image(at_size, None, self.memory_budget, [watch])

    def _forward(self, inputs: Tensor, data_samples: list[SegDataSample] | None = None) -> Tensor:
        return self.decode_head(self.extract_feat(inputs))

    def inference(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Logits (N, out_channels, H, W) of images (N, 3, H, W), as ``test_cfg`` has it."""
        if self._windows is None:
            return self.whole_inference(inputs, batch_img_metas)
        return self.slide_inference(inputs, batch_img_metas)

    def whole_inference(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """`inference` in one piece."""
        return _dense(self._run(inputs, batch_img_metas))

    def slide_inference(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """`inference` as the mean over overlapping windows."""
        pairs = zip(inputs, batch_img_metas, strict=True)
        return _dense([self._slide(image, meta) for image, meta in pairs])


class _LabelCheck:
    """Look at labels before they go to the device: on the host nobody waits."""

    def __init__(self, head: BaseDecodeHead) -> None:
        self.head = head

    def __call__(self, preprocessor: Any, args: tuple, kwargs: dict) -> None:
        data, training, *_ = (*args, *kwargs.values(), False)
        samples = data.get("data_samples") if isinstance(data, dict) else None
        if training and samples:
            self.head.check_labels(samples)


def _dense(maps: Sequence[LogitMap]) -> Tensor:
    return torch.stack([logits.all_rows() for logits in maps])


def _windows(test_cfg: dict, known: Sequence[str]) -> tuple[Size, Size] | None:
    """Crop size and stride (h, w) of sliding windows; None for whole images."""
    for key in test_cfg:
        if key not in known:
            raise UserError(f"test_cfg has no key {key!r}; it takes {', '.join(known)}.")
    mode = test_cfg.get("mode", "whole")
    if mode == "whole":
        return None
    if mode != "slide":
        raise UserError(f"test_cfg has no mode={mode!r}; choose whole or slide.")
    sizes = []
    for key in ("crop_size", "stride"):
        size = test_cfg.get(key)
        if not isinstance(size, Sequence) or len(size) != 2 or min(size) < 1:
            raise UserError(
                f'test_cfg with mode="slide" needs {key}=(h, w) in pixels, not {size!r}.'
            )
        sizes.append(tuple(size))
    crop_size, stride = sizes
    if stride[0] > crop_size[0] or stride[1] > crop_size[1]:
        raise UserError(
            f"test_cfg's stride={stride} leaves gaps between windows of crop_size={crop_size}; "
            f"make it smaller."
        )
    return crop_size, stride
