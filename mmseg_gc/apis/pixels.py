"""From an image as people hold it to what the network takes, and to what a person looks at."""

import re
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from PIL import Image as PILImage
from torch import nn

from mmseg_gc.apis.expected import Expected
from mmseg_gc.apis.inference import as_array, reading_steps
from mmseg_gc.checkpoint.http import chunks, open_url, shown, without_secrets
from mmseg_gc.datasets.transforms.decoding import decode
from mmseg_gc.errors import UserError
from mmseg_gc.visualization.displayable import displayable

ADDRESS = re.compile(r"https?://", re.IGNORECASE)
MAX_BYTES = 256 << 20  # of an image at an address
Pixels = str | Path | bytes | np.ndarray | PILImage.Image


class Loader:
    """Read images as the test pipeline of ``model`` does; with ``aug_test`` several views of each.

    It may be called by several threads. Raises `UserError` where an image can't be used.
    """

    def __init__(self, model: nn.Module, *, aug_test: bool = False, keeps_image: bool = False):
        self.expected = Expected.of(model.cfg)
        self.aug_test = aug_test
        self.keeps_image = keeps_image
        self._file, self._array, self._rest = reading_steps(model.cfg, aug_test)

    def __call__(self, image: Pixels) -> tuple[dict, np.ndarray | None]:
        """What ``test_step`` takes of one image, and the image itself, RGB uint8 (h, w, 3)."""
        if isinstance(image, str | Path) and not ADDRESS.match(str(image)):
            results = self._file({"img_path": str(image)})
        else:
            results = self._array({"img": self._pixels(image)})
        shown = self._shown(results["img"]) if self.keeps_image else None
        return self._rest(results), shown

    def _pixels(self, image: Pixels) -> np.ndarray:
        name = "an image"
        if isinstance(image, str | Path):
            name, image = shown(image), fetch_address(str(image))
        if isinstance(image, bytes):
            return decode(image, name, self._file.color_type, self._file.imdecode_backend)
        return as_array(image, self.expected)

    def _shown(self, pixels: np.ndarray) -> np.ndarray:
        if pixels.dtype.kind == "f" and self.expected.reads_8_bits:
            pixels = np.nan_to_num(pixels, posinf=0, neginf=0).clip(0, 255).astype(np.uint8)
        return displayable(pixels)


def fetch_address(address: str) -> bytes:
    """What an http(s) address holds; redirections to anything else are not followed.

    Raises:
        UserError: it can't be reached, leads elsewhere, is too slow, or holds more than an image
            does.
    """
    content = bytearray()
    try:
        with open_url(address) as response:
            for chunk in chunks(response):
                content += chunk
                if len(content) > MAX_BYTES:
                    break
    except (OSError, HTTPException, ValueError) as error:
        reason = without_secrets(str(getattr(error, "msg", "") or error), address)
    else:
        if len(content) <= MAX_BYTES:
            return bytes(content)
        raise UserError(
            f"{shown(address)} has more than {MAX_BYTES >> 20} MiB; fetch the file by hand."
        )
    # Outside of the block that has the error: whatever it holds of the address stays there.
    raise UserError(
        f"{shown(address)} can't be fetched ({reason}); give the http or https address of an image."
    )


def input_shape(sample: dict) -> tuple[int, ...] | None:
    """The shape by which samples go together; None: by itself."""
    inputs = sample["inputs"]
    return tuple(inputs.shape) if isinstance(inputs, torch.Tensor) else None


def probabilities_of(result: BaseDataElement, *, are_probabilities: bool) -> torch.Tensor:
    """Of every class, float32 (C, h, w), from a result that has ``seg_logits``."""
    logits = result.seg_logits.data.float()
    if len(logits) == 1:  # the probability of class 1 already
        return torch.cat([1 - logits, logits])
    return logits if are_probabilities else logits.softmax(dim=0)
