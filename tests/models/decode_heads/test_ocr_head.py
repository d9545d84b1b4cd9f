import numpy as np
import pytest
import torch
from torch import nn

from mmseg_gc.errors import UserError
from mmseg_gc.models import OCRHead

KEYS = dict(in_channels=3, channels=3, num_classes=2, ocr_channels=2, dropout_ratio=0)


def test_regions_are_means_by_what_the_head_before_said() -> None:
    head = OCRHead(**KEYS)
    head.bottleneck = head.conv_seg = nn.Identity()
    seen = []
    head.object_context_block = nn.Identity()
    head.object_context_block.forward = lambda feats, regions: seen.append(regions) or feats
    x, logits = torch.randn(1, 3, 2, 3), torch.randn(1, 2, 2, 3)
    head([x], logits)
    weights = np.exp(logits[0].flatten(1).double().numpy())
    weights /= weights.sum(axis=1, keepdims=True)
    expected = weights @ x[0].flatten(1).double().numpy().T  # (classes, channels)
    assert seen[0].shape == (1, 3, 2, 1)
    np.testing.assert_allclose(seen[0][0, :, :, 0].T, expected, rtol=1e-5)


def test_smaller_queries_come_back_to_size() -> None:
    head = OCRHead(**KEYS, scale=2)
    assert head([torch.randn(1, 3, 6, 8)], torch.randn(1, 2, 3, 4)).shape == (1, 2, 6, 8)


def test_bad_input() -> None:
    with pytest.raises(UserError, match="OCRHead needs a scale from 1 on, not scale=0"):
        OCRHead(**KEYS, scale=0)
