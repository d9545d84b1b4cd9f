"""From a list of images to a normalised, padded batch on the device."""

import logging
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.model import BaseDataPreprocessor
from mmengine.structures import PixelData
from torch import Tensor

from mmseg_gc.errors import UserError
from mmseg_gc.registry import MODELS
from mmseg_gc.structures import SegDataSample

LABELS = ("gt_sem_seg", "gt_edge_map")
PAD_KEYS = ("size", "size_divisor")


@MODELS.register_module()
class SegDataPreProcessor(BaseDataPreprocessor):
    """Moves a batch to the device, normalises it to float32, and pads it right and below.

    Args:
        mean, std: one number a channel, or one for all, in the order after ``bgr_to_rgb``; None: no
            normalising.
        size: (h, w) to pad training images to; smaller than the image, it does nothing.
        size_divisor: pad them to its next multiple instead. Without both: to the largest of them.
        pad_val: value of padded pixels after normalising.
        seg_pad_val: label of padded pixels; `EncoderDecoder` sets it to its ``ignore_index``.
        batch_augments: function of (inputs, data_samples) that returns both, for training.
        test_cfg: ``size`` or ``size_divisor`` for testing; None: images of a batch have one size.

    Values that are NaN or infinite become 0 after normalising, which is the mean.

    Training records ``img_shape``, ``pad_shape`` (h, w) and ``padding_size`` (left, right, top,
    bottom) in the samples, testing ``pad_shape`` and ``img_padding_size``.

    Raises: UserError for keys that exclude each other, a ``std`` that isn't above 0, test images
        of different size, or an image of other channels than ``mean`` or the rest of its batch.
    Source: ``mmseg.models.SegDataPreProcessor``.
    """

    def __init__(
        self,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        size: Sequence[int] | None = None,
        size_divisor: int | None = None,
        pad_val: float = 0,
        seg_pad_val: int = 255,
        bgr_to_rgb: bool = False,
        rgb_to_bgr: bool = False,
        batch_augments: Callable | None = None,
        test_cfg: dict | None = None,
    ) -> None:
        # Pinned batches travel while the GPU still works on the last one.
        super().__init__(non_blocking=True)
        if (mean is None) != (std is None):
            raise UserError("data_preprocessor takes `mean` and `std` together, or neither.")
        if bgr_to_rgb and rgb_to_bgr:
            raise UserError("data_preprocessor takes `bgr_to_rgb` or `rgb_to_bgr`, not both.")
        for key in test_cfg or {}:
            if key not in PAD_KEYS:
                raise UserError(
                    f"data_preprocessor.test_cfg has no key {key!r}; it takes size or size_divisor."
                )
        for cfg in ({"size": size, "size_divisor": size_divisor}, test_cfg or {}):
            if all(cfg.get(key) is not None for key in PAD_KEYS):
                raise UserError("data_preprocessor pads to `size` or `size_divisor`, not to both.")
        if batch_augments is not None and not callable(batch_augments):
            raise UserError("data_preprocessor's batch_augments must be a function.")
        self.normalises = mean is not None
        if mean is not None and std is not None:
            self.register_buffer("mean", torch.tensor(mean).float().view(-1, 1, 1), False)
            self.register_buffer("std", torch.tensor(std).float().view(-1, 1, 1), False)
            if self.mean.shape != self.std.shape or not np.all(np.asarray(std) > 0):
                raise UserError(
                    f"data_preprocessor has mean={mean} and std={std}: give one number a channel "
                    "in both, each std above 0."
                )
            # Given for images of 0 to 1, as torchvision has them.
            self._is_for_unit_range = max(std) <= 1 and (any(mean) or min(std) < 1)
        self.size = size
        self.size_divisor = size_divisor
        self.pad_val = pad_val
        self.seg_pad_val = seg_pad_val
        self.swaps_channels = bgr_to_rgb or rgb_to_bgr
        if self.swaps_channels and self.normalises and self.mean.numel() not in (1, 3):
            _warn(
                f"data_preprocessor turns the order of three channels alone, and mean has "
                f"{self.mean.numel()} numbers: channels stay as they are read, and bgr_to_rgb or "
                "rgb_to_bgr has no effect; leave it out."
            )
        self.batch_augments = batch_augments
        self.test_cfg = test_cfg

    def forward(self, data: dict, training: bool = False, raw: bool = False) -> dict:
        """``inputs`` (N, C, H, W) float32 and ``data_samples`` from lists of (C, h, w) and samples.

        Images and labels stay as they are, mostly uint8, until on the device: a quarter and an
        eighth of the bytes. Labels to train on leave as int64. With ``raw``, test images of
        integers that need no padding remain as they are, for `normalise` to finish.
        """
        data = self.cast_data(data)
        images, samples = data["inputs"], data.get("data_samples")
        self._check_channels(images, samples)
        if training:
            for sample in samples or []:
                # Losses index by labels, and torch indexes by 64 bits.
                for name in LABELS:
                    if name in sample and sample.get(name).data.dtype == torch.uint8:
                        sample.set_field(PixelData(data=sample.get(name).data.long()), name)
            inputs, paddings = self._batch(images, self.size, self.size_divisor)
            for image, sample, padding in zip(images, samples or [], paddings, strict=False):
                self._pad_label(sample, padding)
                sample.set_metainfo(
                    {
                        "img_shape": tuple(image.shape[1:]),
                        "pad_shape": tuple(inputs.shape[2:]),
                        "padding_size": padding,
                    }
                )
            if self.batch_augments is not None:
                inputs, samples = self.batch_augments(inputs, samples)
        else:
            sizes = {tuple(image.shape[1:]) for image in images}
            if len(sizes) > 1:
                raise UserError(
                    f"A test batch holds images of different size, {sorted(sizes)} (h, w); "
                    f"set the test dataloader's batch_size=1."
                )
            is_uniform = len({image.size(0) for image in images}) == 1
            if raw and is_uniform and not self.test_cfg and not images[0].is_floating_point():
                inputs = images[0][None] if len(images) == 1 else torch.stack(list(images))
                return {"inputs": inputs, "data_samples": samples}
            inputs, paddings = self._batch(images, **(self.test_cfg or {}))
            if self.test_cfg:
                for sample, padding in zip(samples or [], paddings, strict=False):
                    sample.set_metainfo(
                        {"img_padding_size": padding, "pad_shape": tuple(inputs.shape[2:])}
                    )
        return {"inputs": inputs, "data_samples": samples}

    def _check_channels(
        self, images: Sequence[Tensor], samples: Sequence[SegDataSample] | None
    ) -> None:
        """Refuse an image whose channels aren't those of ``mean``, or of the batch's first.

        Grey where ``mean`` has three numbers is normalised as three equal channels, and a single
        number serves any number of channels.
        """
        wanted = images[0].size(0)
        source = f"the first of its batch has {wanted}"
        if self.normalises and self.mean.numel() > 1:
            wanted = self.mean.numel()
            source = f"data_preprocessor.mean has {wanted} numbers"
        for place, image in enumerate(images):
            found = image.size(0)
            is_grey = found == 1 and wanted == 3 and self.normalises
            if found == wanted or is_grey:
                continue
            path = samples[place].metainfo.get("img_path") if samples else None
            raise UserError(
                f"{path or 'an image'} has {found} channels, but {source}: correct mean, "
                "std and model.backbone.in_channels, make all images alike, or set "
                "color_type='color' in LoadImageFromFile to read every image as three channels."
            )

    def _batch(
        self,
        images: Sequence[Tensor],
        size: Sequence[int] | None = None,
        size_divisor: int | None = None,
    ) -> tuple[Tensor, list[tuple[int, int, int, int]]]:
        heights, widths = zip(*(image.shape[1:] for image in images), strict=True)
        height, width = max(heights), max(widths)
        if size is not None:
            height, width = max(height, size[0]), max(width, size[1])
        if size_divisor is not None:
            height = -(-height // size_divisor) * size_divisor
            width = -(-width // size_divisor) * size_divisor
        batch = torch.full(
            (len(images), self._num_channels(images), height, width),
            self.pad_val,
            dtype=torch.float32,
            device=images[0].device,
        )
        for target, image in zip(batch, images, strict=True):
            target[:, : image.shape[1], : image.shape[2]] = self.normalise(image)
        paddings = [(0, width - w, 0, height - h) for h, w in zip(heights, widths, strict=True)]
        return batch, paddings

    def _num_channels(self, images: Sequence[Tensor]) -> int:
        of_mean = self.mean.numel() if self.normalises else 1
        return max(of_mean, images[0].size(0))

    def normalise(self, images: Tensor) -> Tensor:
        """float32 images (…, C, H, W) from raw ones, in the order of channels that mean has."""
        if self.swaps_channels and images.size(-3) == 3:
            images = images.flip(-3)
        values = images.float()
        if self.normalises:
            if self._is_for_unit_range and images.dtype == torch.uint8:
                self._tell_range()
            values = (values - self.mean) / self.std
        if images.is_floating_point():
            # Left alone, one would spread over all that a layer sees, by each kernel differently.
            values = values.nan_to_num(0.0, posinf=0.0, neginf=0.0)
        return values

    def _tell_range(self) -> None:
        self._is_for_unit_range = False  # said once
        _warn(
            "data_preprocessor.std is 1 at most, as for images of 0 to 1, but images have levels "
            "of 0 to 255: multiply mean and std by 255."
        )

    def _pad_label(self, sample: SegDataSample, padding: tuple[int, int, int, int]) -> None:
        for name in LABELS:
            if name in sample and any(padding):
                label = F.pad(sample.get(name).data, padding, value=self.seg_pad_val)
                sample.set_field(PixelData(data=label), name)


def _warn(text: str) -> None:
    print_log(text, logger="current", level=logging.WARNING)
