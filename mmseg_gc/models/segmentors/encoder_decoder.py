"""The segmentor: a backbone, a decode head, and auxiliary heads while training."""

from collections.abc import Sequence

import torch
from mmengine.config import ConfigDict
from torch import Tensor, nn

from mmseg_gc.errors import UserError
from mmseg_gc.models.layers import wide
from mmseg_gc.models.segmentors.base import BaseSegmentor
from mmseg_gc.models.segmentors.memory import parse_budget, windows_at_once
from mmseg_gc.models.segmentors.score_maps import DenseScores, ResizedScores, ScoreMap, Size
from mmseg_gc.models.segmentors.sliding_window import WindowScores
from mmseg_gc.registry import MODELS
from mmseg_gc.structures import SegDataSample

TEST_KEYS = ("mode", "crop_size", "stride", "return_logits", "memory_budget")


@MODELS.register_module()
class EncoderDecoder(BaseSegmentor):
    """Backbone, optional neck, decode head, and auxiliary heads that only training uses.

    ``test_cfg`` is ``dict(mode="whole")``, also the default, or ``dict(mode="slide", crop_size=(h,
    w), stride=(h, w))`` in pixels of the network's input. In it, ``memory_budget="2GiB"`` bounds
    what labelling takes beside the picture, by fewer windows at once and lower bands of rows, and
    ``return_logits=True`` keeps scores beside labels. ``pretrained`` goes to the backbone. What the
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
        self.decode_head = MODELS.build(decode_head)
        if isinstance(auxiliary_head, dict):
            self.auxiliary_head = MODELS.build(auxiliary_head)
        elif auxiliary_head:
            self.auxiliary_head = nn.ModuleList(MODELS.build(cfg) for cfg in auxiliary_head)
        self._check_heads_agree()

        self.align_corners = self.decode_head.align_corners
        self.num_classes = self.decode_head.num_classes
        self.out_channels = self.decode_head.out_channels
        self.train_cfg = train_cfg
        self.test_cfg = ConfigDict(test_cfg or {"mode": "whole"})
        _ = self._windows, self.memory_budget  # Complain now rather than after training.
        # Both are set by `prepare_for_inference`.
        self.compute_dtype: torch.dtype | None = None
        self.runs_in_parallel = False
        ignore_index = self.decode_head.ignore_index
        if ignore_index is not None and hasattr(self.data_preprocessor, "seg_pad_val"):
            self.data_preprocessor.seg_pad_val = ignore_index

    @property
    def _windows(self) -> tuple[Size, Size] | None:
        return _windows(self.test_cfg)

    @property
    def memory_budget(self) -> int | None:
        """Bytes that ``test_cfg.memory_budget`` allows; None: no bound."""
        return parse_budget(self.test_cfg.get("memory_budget"))

    @property
    def takes_views_in_parallel(self) -> bool:
        """Whether several views of a picture may go through this model at the same time.

        Windows are scored only when their rows are asked for, so that there is nothing to gain.
        """
        return self.runs_in_parallel and self._windows is None and self.memory_budget is None

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
        """Feature maps of pictures (N, 3, H, W)."""
        features = self.backbone(inputs)
        return self.neck(features) if self.with_neck else features

    def _read_features(self, inputs: Tensor) -> tuple[Tensor | None, ...]:
        """`extract_feat`, but None for what the decode head doesn't read."""
        if self.with_neck or not getattr(self.backbone, "takes_only", False):
            return self.extract_feat(inputs)
        places = self.decode_head.in_index
        return self.backbone(inputs, only=[places] if isinstance(places, int) else places)

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Scores (N, out_channels, H, W) of pictures, or windows of them, (N, 3, H, W)."""
        return _dense(self._run(inputs))

    def _run(self, inputs: Tensor) -> list[ScoreMap]:
        """Scores of pictures (N, 3, H, W), normalised or still uint8, at their size."""
        size = tuple(inputs.shape[2:])
        if not inputs.is_floating_point():
            inputs = self.data_preprocessor.normalise(inputs)
        if self.compute_dtype is not None:
            inputs = inputs.to(self.compute_dtype, memory_format=torch.channels_last)
        # A list, which heads may empty: what this frame held would stay to the end.
        logits = wide(self.decode_head(list(self._read_features(inputs))))
        return [ResizedScores(DenseScores(one), size, self.align_corners) for one in logits]

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses and accuracies of all heads as ``decode.*``, ``aux.*`` or ``aux_<i>.*``."""
        # Once for all heads, and before the forward: now a GPU has nothing to wait for.
        self.decode_head.check_labels(data_samples)
        features = self.extract_feat(inputs)
        return {
            f"{prefix}.{name}": value
            for prefix, head in {"decode": self.decode_head, **self._auxiliary_heads()}.items()
            for name, value in head.loss(features, data_samples, self.train_cfg).items()
        }

    def test_step(self, data: dict | tuple | list) -> list[SegDataSample]:
        """Predictions of a batch as the data loader gives it."""
        return self.predict(**self.prepare_batch(data))

    def prepare_batch(self, data: dict | tuple | list) -> dict:
        """The ``inputs`` and ``data_samples`` that `predict` takes, on this model's device."""
        late = self._windows is not None or self.compute_dtype is not None
        if late and hasattr(self.data_preprocessor, "normalise"):
            # What goes through the network at once is normalised by itself, just before it does:
            # in float32 pictures are four times as big.
            return self.data_preprocessor(data, False, raw=True)
        return self.data_preprocessor(data, False)

    def predict(
        self, inputs: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Labels of pictures (N, 3, H, W), written into the samples (None: new ones).

        With ``test_cfg.return_logits`` the scores of the whole picture too, as ``seg_logits``.
        """
        samples = data_samples or [SegDataSample() for _ in inputs]
        maps = self.score_maps(inputs, [sample.metainfo for sample in samples])
        for sample, scores in zip(samples, maps, strict=True):
            self.write_result(
                sample,
                scores,
                with_logits=self.test_cfg.get("return_logits", False),
                budget=self.memory_budget,
            )
        return samples

    def score_maps(self, inputs: Tensor, batch_img_metas: list[dict]) -> list[ScoreMap]:
        """Scores of each picture of (N, 3, H, W) at its original size, not yet made."""
        if self._windows is None:
            maps = self._run(inputs)
        else:
            maps = [self._slide(picture) for picture in inputs]
        pairs = zip(maps, batch_img_metas, strict=True)
        return [self.at_original_size(scores, meta) for scores, meta in pairs]

    def _slide(self, picture: Tensor) -> WindowScores:
        crop, stride = self._windows
        batch = windows_at_once(self, crop, picture.device)

        def score(places: list[tuple[slice, slice]]) -> list[ScoreMap]:
            return self._run(torch.stack([picture[:, rows, columns] for rows, columns in places]))

        return WindowScores(
            self.out_channels,
            tuple(picture.shape[1:]),
            picture.device,
            crop=crop,
            stride=stride,
            score=score,
            batch=batch,
        )

    def _forward(self, inputs: Tensor, data_samples: list[SegDataSample] | None = None) -> Tensor:
        return self.decode_head(self.extract_feat(inputs))

    def inference(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Scores (N, out_channels, H, W) of pictures (N, 3, H, W), as ``test_cfg`` has it."""
        if self._windows is None:
            return self.whole_inference(inputs, batch_img_metas)
        return self.slide_inference(inputs, batch_img_metas)

    def whole_inference(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """`inference` in one piece."""
        return self.encode_decode(inputs, batch_img_metas)

    def slide_inference(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """`inference` as the mean over overlapping windows."""
        return _dense([self._slide(picture) for picture in inputs])


def _dense(maps: list[ScoreMap]) -> Tensor:
    return torch.stack([scores.rows(0, scores.size[0]) for scores in maps])


def _windows(test_cfg: dict) -> tuple[Size, Size] | None:
    """Crop size and stride (h, w) of sliding windows; None for whole pictures."""
    for key in test_cfg:
        if key not in TEST_KEYS:
            raise UserError(f"test_cfg has no key {key!r}; it takes {', '.join(TEST_KEYS)}.")
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
