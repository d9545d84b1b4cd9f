"""Segmentors small enough to be built in a moment, on the fake GPU, and what to feed them."""

from collections.abc import Sequence

import torch
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from torch import Tensor, nn

from mmseg_gc.accelerate import prepare_for_inference
from mmseg_gc.registry import MODELS, SCOPE
from mmseg_gc.structures import SegDataSample

CLASSES = 19


def gcnet(**options: object) -> nn.Module:
    """The model of `gcnet_cfg` on ``cuda:0``."""
    init_default_scope(SCOPE)
    return MODELS.build(gcnet_cfg(**options)).to("cuda:0")


def gcnet_cfg(
    *,
    num_classes: int = CLASSES,
    backbone: dict | None = None,
    head: dict | None = None,
    test_cfg: dict | None = None,
    data_preprocessor: dict | None = None,
) -> dict:
    """Of a GCNet R18-D8, or of another depth, an eighth as wide; ``head`` goes to both heads."""
    norm = dict(type="BN")
    width = 64 if (backbone or {}).get("depth", 18) < 50 else 256
    common = dict(num_classes=num_classes, norm_cfg=norm, **(head or {}))
    return dict(
        type="EncoderDecoder",
        data_preprocessor=dict(
            type="SegDataPreProcessor",
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            bgr_to_rgb=True,
            **(data_preprocessor or {}),
        ),
        backbone={
            "type": "ResNetV1c",
            "depth": 18,
            "stem_channels": 8,
            "base_channels": 8,
            "dilations": (1, 1, 2, 4),
            "strides": (1, 2, 1, 1),
            "norm_cfg": norm,
            "contract_dilation": True,
            **(backbone or {}),
        },
        decode_head=dict(type="GCHead", in_channels=width, in_index=3, channels=16, **common),
        auxiliary_head=dict(
            type="FCNHead",
            in_channels=width // 2,
            in_index=2,
            channels=8,
            num_convs=1,
            concat_input=False,
            **common,
        ),
        test_cfg=test_cfg,
    )


def prepared(model: nn.Module, precision: str | None) -> nn.Module:
    """Ready for inference in ``precision``; None leaves it the plain model."""
    return model if precision is None else prepare_for_inference(model, precision=precision)


def sample(
    shape: tuple[int, int],
    *,
    original: tuple[int, int] | None = None,
    label: Tensor | None = None,
    **metas: object,
) -> SegDataSample:
    """Of an image that is ``shape`` (h, w) for the network and was ``original``."""
    own = dict(img_path="x.png", img_shape=shape, ori_shape=original or shape)
    made = SegDataSample(metainfo={**own, **metas})
    if label is not None:
        made.gt_sem_seg = PixelData(data=label)
    return made


def batch(
    shape: tuple[int, int], *, count: int = 1, original: tuple[int, int] | None = None, **metas
) -> dict:
    """As a data loader gives it: images on the host."""
    return dict(
        inputs=[torch.zeros(3, *shape, dtype=torch.uint8) for _ in range(count)],
        data_samples=[sample(shape, original=original, **metas) for _ in range(count)],
    )


def training_batch(shape: tuple[int, int], *, count: int = 2) -> dict:
    data = batch(shape, count=count)
    for one in data["data_samples"]:
        one.gt_sem_seg = PixelData(data=torch.zeros(1, *shape, dtype=torch.uint8))
    return data


def views(
    original: tuple[int, int], *, ratios: Sequence[float] = (0.5, 1.0, 1.5), count: int = 1
) -> dict:
    """Of ``count`` images each scale, as it is and mirrored."""
    found = {"inputs": [], "data_samples": []}
    for ratio in ratios:
        for flip in (False, True):
            shape = tuple(int(side * ratio) for side in original)
            metas = dict(flip=flip, flip_direction="horizontal" if flip else None)
            for key, values in batch(shape, count=count, original=original, **metas).items():
                found[key].append(values)
    return found
