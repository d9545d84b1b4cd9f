import torch

from mmseg_gc.checkpoint import clean_state_dict

# One image's worth of mmdetection 1.x: the background is class 0 of three classes.
OLD = {
    "backbone.layer2.0.context_block.conv_mask.weight": torch.ones(1, 2, 1, 1),
    "backbone.layer2.0.conv2_offset.weight": torch.ones(2),
    "backbone.layer2.0.conv2_offset.bias": torch.ones(1),
    "neck.lateral_convs.0.conv.weight": torch.ones(3),
    "rpn_head.rpn_cls.bias": torch.ones(3),
    "bbox_head.shared_fcs.0.weight": torch.ones(4, 4),
    "bbox_head.fc_cls.weight": torch.tensor([[0.0], [1.0], [2.0]]),
    "bbox_head.fc_cls.bias": torch.tensor([0.0, 1.0, 2.0]),
    "bbox_head.fc_reg.weight": torch.arange(12.0)[:, None],
    "bbox_head.fc_reg.bias": torch.arange(12.0),
    "mask_head.convs.0.conv.bias": torch.zeros(3),
    "mask_head.conv_logits.bias": torch.tensor([0.0, 1.0, 2.0]),
}


def test_a_detector_of_1x():
    new = clean_state_dict({"state_dict": OLD})
    assert list(new) == [
        "backbone.layer2.0.context_block.conv_mask.weight",
        "backbone.layer2.0.conv2.conv_offset.weight",
        "backbone.layer2.0.conv2.conv_offset.bias",
        "neck.lateral_convs.0.conv.weight",
        "rpn_head.rpn_cls.bias",
        "roi_head.bbox_head.shared_fcs.0.weight",
        "roi_head.bbox_head.fc_cls.weight",
        "roi_head.bbox_head.fc_cls.bias",
        "roi_head.bbox_head.fc_reg.weight",
        "roi_head.bbox_head.fc_reg.bias",
        "roi_head.mask_head.convs.0.conv.bias",
        "roi_head.mask_head.conv_logits.bias",
    ]
    # The background moves to the end of the classes, and out of boxes and masks.
    assert new["roi_head.bbox_head.fc_cls.weight"].flatten().tolist() == [1, 2, 0]
    assert new["roi_head.bbox_head.fc_cls.bias"].tolist() == [1, 2, 0]
    assert new["roi_head.bbox_head.fc_reg.weight"].flatten().tolist() == list(range(4, 12))
    assert new["roi_head.bbox_head.fc_reg.bias"].tolist() == list(range(4, 12))
    assert new["roi_head.mask_head.conv_logits.bias"].tolist() == [1, 2]
    # Three rows that are no classes stay.
    assert len(new["roi_head.mask_head.convs.0.conv.bias"]) == 3
    assert len(new["rpn_head.rpn_cls.bias"]) == 3


def test_class_agnostic_heads_of_a_cascade():
    old = {
        "rpn_head.rpn_cls.bias": torch.ones(3),
        **{f"bbox_head.{i}.fc_cls.bias": torch.arange(3.0) for i in range(3)},
        **{f"bbox_head.{i}.fc_reg.bias": torch.arange(4.0) for i in range(3)},
        "mask_head.2.conv_logits.bias": torch.arange(3.0),
    }
    new = clean_state_dict(old)
    for i in range(3):
        assert new[f"roi_head.bbox_head.{i}.fc_cls.bias"].tolist() == [1, 2, 0]
        assert new[f"roi_head.bbox_head.{i}.fc_reg.bias"].tolist() == [0, 1, 2, 3]
    assert new["roi_head.mask_head.2.conv_logits.bias"].tolist() == [1, 2]


def test_newer_detectors_and_segmentors_stay():
    new = {
        "rpn_head.rpn_cls.bias": torch.ones(3),
        "roi_head.bbox_head.fc_cls.bias": torch.arange(3.0),
        "decode_head.conv_seg.bias": torch.arange(3.0),
    }
    assert {k: v.tolist() for k, v in clean_state_dict(new).items()} == {
        k: v.tolist() for k, v in new.items()
    }
