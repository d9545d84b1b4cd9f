"""Parts that don't fit are named when the segmentor is built."""

import pytest
import torch
from torch import nn

from mmseg_gc.build_checks import _features
from mmseg_gc.errors import UserError
from mmseg_gc.models.backbones import ResNet
from mmseg_gc.models.decode_heads.decode_head import BaseDecodeHead
from mmseg_gc.registry import MODELS

pytestmark = pytest.mark.usefixtures("one_thread_and_seed")


@MODELS.register_module(force=True)
class TwoScales(nn.Module):
    """Two maps of 6 and 12 channels; draws, counts and keeps its statistics, as it trains."""

    def __init__(self, in_channels=3, fails=False):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(in_channels, 6, 3, stride=2), nn.BatchNorm2d(6))
        self.second = nn.Conv2d(6, 12, 3, stride=2)
        self.fails = fails

    def forward(self, x):
        if self.fails:
            raise RuntimeError("wants 224 pixels")
        x = self.first(x) + torch.rand(1)
        return x, self.second(x)


@MODELS.register_module(force=True)
class Doubling(nn.Module):
    """A neck that doubles the channels."""

    def forward(self, features):
        return tuple(torch.cat([x, x], dim=1) for x in features)


FCN = MODELS.get("FCNHead")


@MODELS.register_module(force=True)
class FirstMapHead(FCN):
    """Reads the first map whatever ``in_index`` and ``in_channels`` say."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.own = nn.Conv2d(6, self.channels, 1)

    def forward(self, inputs):
        return self.cls_seg(self.own(inputs[0]))


@MODELS.register_module(force=True)
class SelectingHead(BaseDecodeHead):
    """Reads the first of the maps that it has chosen."""

    def forward(self, inputs):
        return self.cls_seg(self._transform_inputs(inputs)[0])


def segmentor(backbone=None, neck=None, preprocessor=None, auxiliary=None, **head):
    resnet = dict(type="ResNetV1c", depth=18, base_channels=8, stem_channels=8)
    head = dict(type="FCNHead", in_channels=64, in_index=3, channels=8, num_classes=2) | head
    return MODELS.build(
        dict(
            type="EncoderDecoder",
            backbone=backbone or resnet,
            neck=neck,
            decode_head=head,
            auxiliary_head=auxiliary,
            data_preprocessor=preprocessor,
        )
    )


def test_a_head_on_a_resnet():
    segmentor()
    segmentor(in_index=-1)
    segmentor(in_index=[0, 3], in_channels=[8, 64], input_transform="resize_concat")
    selecting = dict(type="SelectingHead", in_index=[0, 3], input_transform="multiple_select")
    segmentor(in_channels=[8, 64], **selecting)
    segmentor(in_channels=[8, 32], **selecting)  # it runs, whatever it says of the second


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (
            dict(in_channels=256),
            r"model\.decode_head\.in_channels=256 at in_index=3 doesn't fit model\.backbone, which "
            r"gives 4 feature maps of 8, 16, 32, 64 channels; set in_channels=64",
        ),
        (dict(in_index=2), r"in_channels=64 at in_index=2 .* set in_channels=32"),
        (dict(in_index=4), r"model\.decode_head\.in_index=4 .* count from 0 to 3"),
        (dict(in_index=-5), r"in_index=-5"),
        (
            dict(in_index=[0, 3], in_channels=[8, 32], input_transform="resize_concat"),
            r"in_channels=40 at in_index=\[0, 3\] .* add up to 72",
        ),
        (
            dict(
                type="SelectingHead",
                channels=9,
                in_index=[0, 3],
                in_channels=[8, 32],
                input_transform="multiple_select",
            ),
            r"set in_channels=\[8, 64\]",
        ),
        (dict(type="GCHead", in_channels=63), r"in_channels=63"),
    ],
)
def test_a_head_that_does_not_fit(head, message):
    with pytest.raises(UserError, match=message):
        segmentor(**head)


def test_auxiliary_heads_are_named():
    head = dict(type="FCNHead", in_channels=32, in_index=2, channels=8, num_classes=2)
    segmentor(auxiliary=[head, head])
    with pytest.raises(UserError, match=r"model\.auxiliary_head\.1\.in_channels=33"):
        segmentor(auxiliary=[head, head | dict(in_channels=33)])
    with pytest.raises(UserError, match=r"model\.auxiliary_head\.in_index=7"):
        segmentor(auxiliary=head | dict(in_index=7))


def test_a_backbone_and_a_neck_of_ones_own():
    own = dict(type="TwoScales")
    segmentor(own, in_channels=12, in_index=1)
    segmentor(own, neck=dict(type="Doubling"), in_channels=24, in_index=1)
    with pytest.raises(UserError, match=r"model\.backbone, which gives 2 feature maps of 6, 12"):
        segmentor(own, in_channels=64, in_index=1)
    with pytest.raises(UserError, match=r"doesn't fit model\.neck, .* of 12, 24"):
        segmentor(own, neck=dict(type="Doubling"), in_channels=12, in_index=1)


def test_a_backbone_that_cant_be_tried_is_left_alone():
    segmentor(dict(type="TwoScales", fails=True), in_channels=99, in_index=17)


def test_a_head_of_ones_own_may_read_what_it_likes():
    head = dict(type="FirstMapHead", in_channels=99, in_index=1)
    segmentor(dict(type="TwoScales"), **head)
    with pytest.raises(UserError, match="in_channels=99"):
        segmentor(**head)  # its own convolution wants 6 channels, and the map has 8


def test_the_trial_leaves_no_trace():
    torch.manual_seed(0)
    model = segmentor(dict(type="TwoScales"), in_channels=12, in_index=1)
    after = torch.rand(1)
    torch.manual_seed(0)
    MODELS.build(dict(type="TwoScales"))
    MODELS.build(dict(type="FCNHead", in_channels=12, in_index=1, channels=8, num_classes=2))
    assert torch.equal(after, torch.rand(1))
    assert all(part.training for part in model.modules())
    norm = model.backbone.first[1]
    assert norm.num_batches_tracked == 0 and norm.running_mean.abs().max() == 0


def test_the_preprocessor_fits_the_backbone():
    numbers = dict(mean=[0.0] * 3, std=[1.0] * 3)
    segmentor(preprocessor=dict(type="SegDataPreProcessor", **numbers))
    wrong = dict(type="SegDataPreProcessor", **{name: [1.0] * 4 for name in numbers})
    message = r"data_preprocessor\.mean has 4 numbers, but model\.backbone\.in_channels is 3"
    with pytest.raises(UserError, match=message):
        segmentor(preprocessor=wrong)
    four = dict(type="ResNetV1c", depth=18, base_channels=8, stem_channels=8, in_channels=4)
    segmentor(four, preprocessor=wrong)
    with pytest.raises(UserError, match="has 4 numbers"):
        segmentor(dict(type="TwoScales"), preprocessor=wrong, in_channels=12, in_index=1)


def test_every_depth_of_resnet_gives_what_is_said():
    """The widths are read off the blocks; here they are measured."""
    for depth in (18, 50):
        backbone = dict(type="ResNetV1c", depth=depth, base_channels=8, out_indices=(1, 3))
        model = segmentor(backbone, in_index=1, in_channels=64 if depth == 18 else 256)
        measured = model.backbone.eval()(torch.zeros(1, 3, 32, 32))
        said = _features(model, 3, ResNet)
        assert [x.shape[1] for x in said] == [x.shape[1] for x in measured]
