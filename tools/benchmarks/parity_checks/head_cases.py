"""A small model around every head beside GCNet's own, for what compares or tries them all.

A head without a row of its own here has that of its config, an eighth as wide: a new head needs no
line of this file.
"""

import copy
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config

MODELS = Path(__file__).resolve().parents[3] / "configs/_base_/models"
CLASSES = 19
NORM = dict(type="BN")
LAST = dict(in_channels=64, in_index=3, channels=16)
# Its dropout is none; the reference's ANNHead fails on 0.
LAST_TWO = dict(in_channels=[32, 64], in_index=[2, 3], channels=16, dropout_ratio=1e-12)
LAST_THREE = dict(in_channels=[16, 32, 64], in_index=[1, 2, 3], channels=16)
ALL = dict(in_channels=[8, 16, 32, 64], in_index=[0, 1, 2, 3], channels=16)
PYRAMID = dict(in_channels=[16] * 4, in_index=[0, 1, 2, 3], feature_strides=[4, 8, 16, 32])
OCR = dict(LAST, type="OCRHead", ocr_channels=8)
RESNEST = dict(type="ResNeSt", depth=50, stem_channels=16, base_channels=8, norm_cfg=NORM)
FIRST_STAGE = dict(LAST, type="FCNHead", num_convs=1, concat_input=False)

# By the name of the row: the decode head, or all parts that are other than `model_cfg`'s.
HEADS = {
    "NLHead": dict(LAST, type="NLHead"),
    "NLHead, gaussian": dict(LAST, type="NLHead", mode="gaussian", reduction=1),
    "NLHead, dot product": dict(LAST, type="NLHead", mode="dot_product", use_scale=False),
    "DNLHead": dict(LAST, type="DNLHead"),
    "DNLHead, dot product": dict(LAST, type="DNLHead", mode="dot_product"),
    "PSPHead": dict(LAST, type="PSPHead", pool_scales=(1, 2, 3, 6)),
    "ASPPHead": dict(LAST, type="ASPPHead", dilations=(1, 6, 12, 18)),
    "DepthwiseSeparableASPPHead": dict(
        LAST, type="DepthwiseSeparableASPPHead", c1_in_channels=8, c1_channels=4
    ),
    "DepthwiseSeparableASPPHead, no c1": dict(
        LAST, type="DepthwiseSeparableASPPHead", c1_in_channels=0, c1_channels=0
    ),
    "DepthwiseSeparableFCNHead": dict(LAST, type="DepthwiseSeparableFCNHead"),
    "DAHead": dict(LAST, type="DAHead", pam_channels=8),
    "ISAHead": dict(LAST, type="ISAHead", isa_channels=8, down_factor=(8, 8)),
    "ISAHead, blocks of 3x5": dict(LAST, type="ISAHead", isa_channels=8, down_factor=(3, 5)),
    "ANNHead": dict(LAST_TWO, type="ANNHead", project_channels=8),
    "EMAHead": dict(LAST, type="EMAHead", ema_channels=16, num_bases=8, num_stages=3),
    "EncHead": dict(LAST_THREE, type="EncHead", num_codes=8),
    "EncHead, lateral": dict(LAST_THREE, type="EncHead", num_codes=8, add_lateral=True),
    "APCHead": dict(LAST, type="APCHead", pool_scales=(1, 2, 3, 6)),
    "DMHead": dict(LAST, type="DMHead", filter_sizes=(1, 3, 5, 7)),
    "DMHead, even filter, fusion": dict(LAST, type="DMHead", filter_sizes=(2, 4), fusion=True),
    "UPerHead": dict(ALL, type="UPerHead", pool_scales=(1, 2, 3, 6)),
    "FPN and FPNHead": dict(
        neck=dict(type="FPN", in_channels=[8, 16, 32, 64], out_channels=16, num_outs=4),
        backbone=dict(dilations=(1, 1, 1, 1), strides=(1, 2, 2, 2)),
        decode_head=dict(PYRAMID, type="FPNHead", channels=16),
        auxiliary_head=dict(in_channels=16),
    ),
    "JPU and PSPHead": dict(
        neck=dict(type="JPU", in_channels=(16, 32, 64), mid_channels=16),
        backbone=dict(dilations=(1, 1, 2, 4), strides=(1, 2, 2, 2), out_indices=(1, 2, 3)),
        decode_head=dict(LAST, type="PSPHead", in_index=2),
        auxiliary_head=dict(in_index=1),
    ),
    "ResNeSt": dict(
        backbone=dict(RESNEST, dilations=(1, 1, 2, 4), strides=(1, 2, 1, 1)),
        decode_head=dict(LAST, type="FCNHead", in_channels=256),
        auxiliary_head=dict(in_channels=128),
    ),
    "ResNeSt, groups, radix 1": dict(
        backbone=dict(RESNEST, radix=1, groups=2, base_width=32, avg_down_stride=False),
        decode_head=dict(LAST, type="FCNHead", in_channels=256),
        auxiliary_head=dict(in_channels=128),
    ),
    "ResNeSt, groups": dict(
        backbone=dict(RESNEST, groups=2, base_width=32),
        decode_head=dict(LAST, type="FCNHead", in_channels=256),
        auxiliary_head=dict(in_channels=128),
    ),
    "MobileNetV2": dict(
        backbone=dict(
            type="MobileNetV2",
            widen_factor=0.25,
            strides=(1, 2, 2, 1, 1, 1, 1),
            dilations=(1, 1, 1, 2, 2, 4, 4),
            out_indices=(1, 2, 4, 6),
            norm_cfg=NORM,
        ),
        decode_head=dict(LAST, type="FCNHead", in_channels=80),
        auxiliary_head=dict(in_channels=24),
    ),
    "OCRHead": dict(type="CascadeEncoderDecoder", num_stages=2, decode_head=[FIRST_STAGE, OCR]),
}


# Widths of what is behind the backbone, of heads, necks and their inner blocks; points to learn.
WIDTHS = {
    *("in_channels", "channels", "c1_in_channels", "c1_channels", "out_channels", "mid_channels"),
    *("ocr_channels", "isa_channels", "project_channels", "pam_channels", "ema_channels"),
    "num_points",
}


def an_eighth(width: int | list[int] | None) -> int | list[int] | None:
    """An eighth of a width or of each; a head's ``out_channels=None`` stays."""
    if isinstance(width, list | tuple):
        return [an_eighth(one) for one in width]
    return width if width is None else max(1, width // 8)


def dicts(node: object) -> Iterator[dict]:
    """``node`` and all dicts in it."""
    if isinstance(node, dict):
        yield node
    for value in node.values() if isinstance(node, dict) else node:
        if isinstance(value, dict | list | tuple):
            yield from dicts(value)


def narrow(model: dict) -> None:
    """Make a ResNet's ``model`` an eighth as wide; MobileNetV2 itself is narrow as it is."""
    widths = WIDTHS
    if model["backbone"]["type"] == "MobileNetV2":
        widths = WIDTHS - {"in_channels", "c1_in_channels"}
    else:
        model["backbone"].update(stem_channels=8, base_channels=8)
    for part in dicts(model):
        for key in set(part) & widths if part is not model["backbone"] else ():
            part[key] = an_eighth(part[key])


def _heads(parts: dict) -> list[dict]:
    """The decode heads of a row, the last one being what it is about."""
    heads = parts.get("decode_head", parts)
    return heads if isinstance(heads, list) else [heads]


def _rows_of_configs() -> dict[str, dict]:
    """By its name a model of `MODELS` for each head that has no row yet; GCNet's needs none."""
    known = {"GCHead"} | {_heads(parts)[-1]["type"] for parts in HEADS.values()}
    rows = {}
    for path in sorted(MODELS.glob("[!m]*.py")):  # a detector's base is in mmdet
        model = Config.fromfile(path).to_dict()["model"]
        name = _heads(model)[-1]["type"]
        if name in known:
            continue
        narrow(model)
        for part in dicts(model):
            for key in {"pretrained", "data_preprocessor", "dropout_ratio", "align_corners"}:
                part.pop(key, None)
            part.update(type="BN") if part.get("type") == "SyncBN" else None
        for head in _heads(model):
            head.setdefault("norm_cfg", None)
        rows[name] = {"auxiliary_head": None, **model}
    return rows


HEADS |= _rows_of_configs()


def model_cfg(name: str, align_corners: bool) -> dict:
    """Config of the model of the row ``name``, which mmsegmentation builds as well."""
    parts = copy.deepcopy(HEADS[name])
    parts = dict(decode_head=parts) if "decode_head" not in parts else parts
    common = dict(
        num_classes=CLASSES, norm_cfg=NORM, align_corners=align_corners, dropout_ratio=0.0
    )
    several = isinstance(parts["decode_head"], list)
    heads = [{**common, **head} for head in _heads(parts)]
    auxiliary = dict(
        type="FCNHead", in_channels=32, in_index=2, channels=8, num_convs=1, concat_input=False
    )
    backbone = dict(
        type="ResNetV1c",
        depth=18,
        stem_channels=8,
        base_channels=8,
        dilations=(1, 1, 2, 4),
        strides=(1, 2, 1, 1),
        contract_dilation=True,
        norm_cfg=NORM,
    )
    given, aside = parts.get("backbone", {}), parts.get("auxiliary_head", {})
    return dict(
        type=parts.get("type", "EncoderDecoder"),
        data_preprocessor=dict(
            type="SegDataPreProcessor", mean=[120.0] * 3, std=[60.0] * 3, size=(64, 64)
        ),
        backbone=given if given.get("type", "ResNetV1c") != "ResNetV1c" else {**backbone, **given},
        decode_head=heads if several else heads[0],
        auxiliary_head=None if aside is None else {**common, **auxiliary, **aside},
        test_cfg={"mode": "whole", **parts.get("test_cfg", {})},
        train_cfg=parts.get("train_cfg", {}),
        **{key: value for key, value in parts.items() if key in ("neck", "num_stages")},
    )
