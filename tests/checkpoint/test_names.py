import pytest
import torch

from mmseg_gc.checkpoint.names import (
    backbone_weights,
    clean_state_dict,
    describe_mismatch,
    is_added_later,
)
from mmseg_gc.errors import UserError

ONE, TWO = torch.ones(1), torch.ones(2)


@pytest.mark.parametrize("wrap", [lambda w: w, lambda w: {"state_dict": w}, lambda w: {"model": w}])
def test_weights_are_found_and_named_plainly(wrap):
    weights = {
        "module.module.backbone.conv1.weight": ONE,
        "decode_head.conv_seg.bias": TWO,
        "ema_backbone_conv1_weight": TWO,
        "epoch": 3,
    }
    found = clean_state_dict(wrap(weights))
    assert dict(found) == {"backbone.conv1.weight": ONE, "decode_head.conv_seg.bias": TWO}


def test_a_file_without_weights():
    with pytest.raises(UserError, match="holds no weights"):
        clean_state_dict({"state_dict": {"epoch": 3}})


def test_a_backbone_in_a_segmentor_and_by_itself():
    whole = {"backbone.conv1.weight": ONE, "decode_head.conv_seg.bias": TWO}
    for prefix in ("backbone", "backbone."):
        assert dict(backbone_weights(whole, prefix)) == {"conv1.weight": ONE}
    bare = {"conv1.weight": ONE, "fc.weight": TWO, "layer1.0.neck.weight": TWO}
    assert list(backbone_weights(bare, "backbone")) == ["conv1.weight", "layer1.0.neck.weight"]


@pytest.mark.parametrize(
    ("name", "later"),
    [
        ("layer2.0.context_block.conv_mask.weight", True),
        ("layer3.1.conv2.conv_offset.bias", True),
        ("layer3.1.conv2.weight", False),
    ],
)
def test_parts_that_an_imagenet_file_lacks(name, later):
    assert is_added_later(name) is later


def test_what_does_not_fit_is_said_by_module():
    own = {"decode_head.conv_seg.weight": torch.ones(11, 4)}
    weights = {"decode_head.conv_seg.weight": torch.ones(7, 4)}
    said = describe_mismatch("w.pth", [], [], list(own), own, weights)
    assert said == (
        "w.pth was trained for 7 classes, this config's decode_head has num_classes=11."
    )
    missing = ["backbone.layer1.0.a", "backbone.layer1.0.b", "backbone.layer2.0.a"]
    own, weights = {"x.y.w": torch.ones(2)}, {"x.y.w": torch.ones(3)}
    said = describe_mismatch("w.pth", missing, ["z.z.z"], ["x.y.w"], own, weights)
    assert said == (
        "w.pth doesn't fit the model (missing: backbone.layer1.* (2, e.g. backbone.layer1.0.a), "
        "backbone.layer2.* (1, e.g. backbone.layer2.0.a); unexpected: z.z.* (1, e.g. z.z.z); "
        "shape: x.y.* (1, e.g. x.y.w (3,) for (2,)))."
    )
