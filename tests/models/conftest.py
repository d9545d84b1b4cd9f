"""A GCNet small enough to train in a test, and samples for it."""

import logging
from collections.abc import Callable, Iterator

import pytest
import torch
from mmengine.structures import PixelData

from mmseg_gc.structures import SegDataSample


@pytest.fixture(autouse=True)
def one_thread_and_seed() -> Iterator[None]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    # mmengine logs one line a parameter when a model draws its first weights.
    logging.disable(logging.INFO)
    yield
    logging.disable(logging.NOTSET)
    torch.set_num_threads(1)  # which some tests change


@pytest.fixture
def gcnet_cfg() -> Callable[..., dict]:
    """Config of a GCNet R18-D8, an eighth as wide; ``head`` goes to all heads."""

    def make(head: dict | None = None, **model: object) -> dict:
        norm = dict(type="BN")
        common = dict(num_classes=5, norm_cfg=norm, dropout_ratio=0.0, **(head or {}))
        cfg = dict(
            type="EncoderDecoder",
            data_preprocessor=dict(type="SegDataPreProcessor"),
            backbone=dict(
                type="ResNetV1c",
                depth=18,
                stem_channels=8,
                base_channels=8,
                dilations=(1, 1, 2, 4),
                strides=(1, 2, 1, 1),
                norm_cfg=norm,
                contract_dilation=True,
            ),
            decode_head=dict(type="GCHead", in_channels=64, in_index=3, channels=16, **common),
            auxiliary_head=dict(
                type="FCNHead",
                in_channels=32,
                in_index=2,
                channels=8,
                num_convs=1,
                concat_input=False,
                **common,
            ),
        )
        return {**cfg, **model}

    return make


@pytest.fixture
def labelled() -> Callable[..., SegDataSample]:
    """Sample with a label map of shape (H, W) or (1, H, W), and further metas."""

    def make(label: torch.Tensor, **metas: object) -> SegDataSample:
        label = label if label.dim() == 3 else label.unsqueeze(0)
        size = tuple(label.shape[1:])
        sample = SegDataSample(metainfo={"img_shape": size, "ori_shape": size, **metas})
        sample.gt_sem_seg = PixelData(data=label)
        return sample

    return make
