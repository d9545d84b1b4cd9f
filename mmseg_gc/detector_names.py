"""Names of a detector's weights: from mmdetection 1.x and GCNet's own files to today's."""

import re
from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor

ROI_PARTS = re.compile(r"^(bbox|mask)_(head|roi_extractor)\.")
OFFSET = re.compile(r"\.conv2_offset\.")
CLASSIFIER = re.compile(r"^bbox_head\.(?:\d+\.)?fc_cls\.")


def upgrade_detector(weights: Mapping[str, Tensor]) -> OrderedDict:
    """A state dict of mmdetection 1.x under the names and in the class order of 2.x and 3.x.

    The RoI heads move below ``roi_head``. The background was class 0 and is the last one now; the
    rows that it had of class-wise boxes and masks go, for nothing reads them. Offsets of deformable
    convolutions are named as the layer that they belong to. Other weights stay as they are.

    Source: mmdetection's "compatibility" page on 2.0. Version 1 counted a box's last pixel as one
    more pixel of width, which its weights have learned: AP can differ in the first decimal.
    """
    renamed = OrderedDict((OFFSET.sub(".conv2.conv_offset.", k), v) for k, v in weights.items())
    two_stages = any(name.startswith("rpn_head.") for name in renamed)
    old_classifiers = [name for name in renamed if CLASSIFIER.match(name)]
    if not (two_stages and old_classifiers):
        return renamed
    num_rows = len(renamed[old_classifiers[0]])  # the classes and the background
    return OrderedDict(
        (ROI_PARTS.sub(r"roi_head.\g<0>", name), _reorder(name, value, num_rows))
        for name, value in renamed.items()
    )


def _reorder(name: str, value: Tensor, num_rows: int) -> Tensor:
    if not name.startswith(("bbox_head.", "mask_head.")):
        return value
    layer = name.split(".")[-2]
    if layer == "fc_cls":
        return torch.cat([value[1:], value[:1]])
    # One row for all classes, in a class-agnostic head, stays.
    if layer == "fc_reg" and len(value) == 4 * num_rows:
        return value[4:].clone()
    if layer == "conv_logits" and len(value) == num_rows:
        return value[1:].clone()
    return value
