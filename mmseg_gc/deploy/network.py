"""What is exported of a segmentor: images in; logits, labels or probabilities out."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_gc.errors import UserError
from mmseg_gc.models.data_preprocessor import SegDataPreProcessor
from mmseg_gc.models.decode_heads import BaseDecodeHead
from mmseg_gc.models.segmentors import EncoderDecoder
from mmseg_gc.models.segmentors.base import overrides

OUTPUTS = ("logits", "labels", "probabilities")
INPUT_NAME = "image"


class ExportNetwork(nn.Module):
    """Backbone, neck and decode head of ``model``, which it shares, as one function of images.

    Images are normalised float32 (N, C, H, W); with ``bake`` uint8 (N, H, W, C) in the order of
    channels that files are read in, which are normalised inside. Out come, by ``output``:

    - logits: float32 (N, out_channels, h, w) at the head's own size, as the network makes them;
    - labels: uint8 (N, H, W), ids of classes (int64 above 256 classes);
    - probabilities: float32 (N, out_channels, H, W).

    Raises:
        UserError: ``model`` has a part that can't be exported, or ``bake`` has nothing to bake.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, model: EncoderDecoder, *, output: str = "logits", bake: bool = False
    ) -> None:
        super().__init__()
        require_exportable(model)
        if output not in OUTPUTS:
            raise UserError(f"there is no output={output!r}; choose {', '.join(OUTPUTS)}.")
        self.backbone: nn.Module = model.backbone
        self.neck: nn.Module | None = model.neck
        self.decode_head: nn.Module = model.decode_head
        self.output = output
        self.bake = bake
        self.align_corners: bool = model.align_corners
        self.out_channels: int = model.out_channels
        self.threshold: Any = getattr(model.decode_head, "threshold", None)
        preprocessor = model.data_preprocessor
        self.swaps_channels = bool(getattr(preprocessor, "swaps_channels", False))
        self.normalises = bool(getattr(preprocessor, "normalises", False))
        if bake and not isinstance(preprocessor, SegDataPreProcessor):
            raise UserError(
                f"a {type(preprocessor).__name__} can't be baked in; leave out --bake, and "
                "normalise images outside."
            )
        if self.normalises:
            self.register_buffer("mean", preprocessor.mean.detach().clone(), False)
            self.register_buffer("std", preprocessor.std.detach().clone(), False)

    def forward(self, image: Tensor) -> Tensor:
        if self.bake:
            image = self._normalised(image.permute(0, 3, 1, 2))
        features = self.backbone(image)
        if self.neck is not None:
            features = self.neck(features)
        logits = self.decode_head(features).float()
        if self.output == "logits":
            return logits
        size = image.shape[2:]
        logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=self.align_corners)
        if self.out_channels == 1:
            probabilities = logits.sigmoid()
            if self.output == "probabilities":
                return probabilities
            assert self.threshold is not None
            return (probabilities > self.threshold).squeeze(1).to(torch.uint8)
        if self.output == "probabilities":
            return logits.softmax(dim=1)
        return logits.argmax(dim=1).to(torch.uint8 if self.out_channels <= 256 else torch.int64)

    def _normalised(self, image: Tensor) -> Tensor:
        if self.swaps_channels and image.shape[1] == 3:
            image = image.flip(1)
        values = image.float()
        return (values - self.mean) / self.std if self.normalises else values


def require_exportable(model: nn.Module) -> EncoderDecoder:
    """``model`` itself, if another program can compute the same.

    Raises:
        UserError: it's no plain segmentor, or has deformable convolution or other compiled ops.
    """
    if not isinstance(model, EncoderDecoder):
        raise UserError(
            f"a {type(model).__name__} can't be exported: only segmentors (EncoderDecoder) can."
        )
    if getattr(model, "compute_dtype", None) is not None:
        raise UserError(
            "a model that is prepared for inference can't be exported: build the plain one with "
            "init_model(config), and load its weights."
        )
    for name, module in model.named_modules():
        if type(module).__module__.startswith("mmcv.ops."):
            raise UserError(
                f"{name} is a {type(module).__name__}, deformable convolution or another of mmcv's "
                "compiled ops, which no exported file can hold: train without it (backbone.dcn)."
            )
        if why := getattr(module, "not_exported_because", ""):
            raise UserError(
                f"{name} is a {type(module).__name__}, which {why}, and can't be exported: predict "
                "with the weights themselves, or export a model of another head."
            )
    own = model.predicts_its_own_way or overrides(
        model, EncoderDecoder, "encode_decode", "extract_feat"
    )
    if own or overrides(model.decode_head, BaseDecodeHead, "predict", "predict_by_feat"):
        raise UserError(
            f"{type(model).__name__} or its head predicts by methods of its own, which a file "
            "wouldn't have: export needs the methods of EncoderDecoder and BaseDecodeHead."
        )
    return model
