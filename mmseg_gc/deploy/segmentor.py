"""An exported file as a segmentor: it stands in for backbone and head, all else is the same."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmseg_gc.deploy.runtimes import open_runtime, read_metadata
from mmseg_gc.errors import UserError
from mmseg_gc.models.segmentors import EncoderDecoder
from mmseg_gc.registry import MODELS


class ImageAsFeatures(nn.Module):
    """In a backbone's place: hands images on to `ExportedHead`, which runs the whole network."""

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (x,)


class ExportedHead(nn.Module):
    """In a decode head's place: logits (N, out_channels, h, w) of images, by the runtime.

    It has no weights of its own. Images and logits are on the CPU; a provider for GPUs moves them.
    """

    def __init__(self, file: str | Path, runtime: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.meta = meta = read_metadata(file)
        if meta["output"].get("kind") != "logits":
            raise UserError(
                f"{file} gives {meta['output'].get('kind')}, of which windows and views can't be "
                "averaged: export it with --output logits."
            )
        self.file = Path(file)
        self.run = open_runtime(file, runtime)
        self.num_classes: int = meta["num_classes"]
        self.out_channels: int = meta["out_channels"]
        self.threshold: float | None = meta["threshold"]
        self.ignore_index: int | None = meta["ignore_index"]
        self.align_corners: bool = meta["align_corners"]
        # By which a memory budget is reckoned.
        self.in_channels, self.channels = meta["head_channels"]
        self.is_baked = bool(meta["input"].get("normalised_inside"))
        self.shape: Sequence[Any] = meta["input"].get("shape") or ()
        # What asks a segmentor for its device asks a parameter.
        self.device_of = nn.Parameter(torch.empty(0), requires_grad=False)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        image = features[0].float()
        if self.is_baked:
            image = image.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
        self._require_shape(image)
        if self.shape and self.shape[0] == 1:
            return torch.cat([self.run(one[None]) for one in image]).float()
        return self.run(image).float()

    def _require_shape(self, image: Tensor) -> None:
        for found, wanted in zip(image.shape[1:], self.shape[1:], strict=False):
            if isinstance(wanted, int) and found != wanted:
                sizes, layout = self.shape[1:], self.meta["input"].get("layout", "NCHW")[1:]
                raise UserError(
                    f"{self.file} takes images of {tuple(sizes)} ({layout}) alone, and one is "
                    f"{tuple(image.shape[1:])}: export it without --shape, resize to that, or "
                    "slide with a crop of that size."
                )


@MODELS.register_module()
class ExportedSegmentor(EncoderDecoder):
    """`EncoderDecoder` whose network is the exported ``file``, run as ``runtime`` has it.

    ``runtime``: of ONNX Runtime ``provider`` (cpu, cuda, tensorrt, …), ``provider_options`` and
    ``threads``; of OpenVINO ``device`` (CPU, GPU, AUTO), ``precision`` (fp32, bf16, fp16) and
    ``threads``.

    Raises:
        UserError: the file can't be run, or computes no logits.
    """

    def __init__(
        self,
        file: str | Path,
        runtime: Mapping[str, Any] | None = None,
        data_preprocessor: dict | nn.Module | None = None,
        test_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            backbone=dict(type=ImageAsFeatures),
            decode_head=dict(type=ExportedHead, file=file, runtime=runtime),
            data_preprocessor=data_preprocessor,
            test_cfg=test_cfg,
        )
        self.compute_dtype = torch.float32  # what takes a prepared model takes this one
        self.requires_grad_(False)

    def to(self, *args: Any, **kwargs: Any) -> "ExportedSegmentor":
        """Itself: where the file runs is its runtime's to say."""
        return self

    def loss(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        raise UserError(
            f"{self.decode_head.file} is an exported file, which learns nothing: train the "
            "checkpoint that it was made from."
        )
