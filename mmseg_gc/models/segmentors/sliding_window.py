"""Pure functions for inference in overlapping windows."""

from collections.abc import Callable

from torch import Tensor

Size = tuple[int, int]


def window_starts(length: int, crop: int, stride: int) -> list[int]:
    """First pixels of the windows along one side; the last one is pushed back inside.

    Source: ``mmseg.models.EncoderDecoder.slide_inference``.
    """
    count = max(length - crop + stride - 1, 0) // stride + 1
    return [max(min(i * stride, length - crop), 0) for i in range(count)]


def slide(
    inputs: Tensor, crop_size: Size, stride: Size, out_channels: int, score: Callable
) -> Tensor:
    """Mean over all windows of the scores (N, out_channels, H, W) of pictures (N, C, H, W).

    ``score`` maps a window (N, C, h, w) to its scores (N, out_channels, h, w). ``crop_size`` and
    ``stride`` are (h, w) pixels; a picture smaller than the crop is one window of its own size.
    """
    batch, _, height, width = inputs.shape
    scores = inputs.new_zeros((batch, out_channels, height, width))
    counts = inputs.new_zeros((1, 1, height, width))
    for top in window_starts(height, crop_size[0], stride[0]):
        for left in window_starts(width, crop_size[1], stride[1]):
            window = (..., slice(top, top + crop_size[0]), slice(left, left + crop_size[1]))
            scores[window] += score(inputs[window])
            counts[window] += 1
    return scores.div_(counts)
