import copy
import itertools
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn

from mmseg_gc.errors import UserError
from mmseg_gc.models import BaseDecodeHead, CrossEntropyLoss
from mmseg_gc.registry import MODELS
from mmseg_gc.structures import SegDataSample

Labelled = Callable[..., SegDataSample]


class LinearHead(BaseDecodeHead):
    """The smallest head: it classifies its input as it is."""

    def forward(self, inputs):
        return self.cls_seg(self._transform_inputs(inputs))


def head(**options: object) -> LinearHead:
    return LinearHead(**{"in_channels": 4, "channels": 4, "num_classes": 3, **options})


def test_input_transforms() -> None:
    maps = [torch.randn(1, 4, 8, 8), torch.randn(1, 2, 4, 4)]
    assert head()._transform_inputs(maps) is maps[-1]
    concat = head(in_channels=[4, 2], in_index=[0, 1], input_transform="resize_concat")
    out = concat._transform_inputs(maps)
    assert concat.in_channels == 6 and out.shape == (1, 6, 8, 8)
    torch.testing.assert_close(
        out[:, 4:], nn.functional.interpolate(maps[1], (8, 8), mode="bilinear")
    )
    select = head(in_channels=[2, 4], in_index=[1, 0], input_transform="multiple_select")
    chosen = select._transform_inputs(maps)
    assert chosen[0] is maps[1] and chosen[1] is maps[0]


def test_losses_of_one_name_are_summed_and_others_listed(labelled: Labelled) -> None:
    ce = dict(type="CrossEntropyLoss")
    maps = [torch.randn(2, 4, 4, 4)]
    samples = [labelled(torch.randint(0, 3, (8, 8))) for _ in range(2)]
    single = head(loss_decode=ce)
    several = head(
        loss_decode=[
            ce,
            {**ce, "loss_weight": 0.5},
            {**ce, "loss_name": "loss_b", "loss_weight": 2},
        ]
    )
    several.load_state_dict(single.state_dict(), strict=True)
    for module in (single, several):
        module.eval()
    one = single.loss(maps, samples, {})
    all_ = several.loss(maps, samples, {})
    assert list(all_) == ["loss_ce", "loss_b", "acc_seg"]
    torch.testing.assert_close(all_["loss_ce"], 1.5 * one["loss_ce"])
    torch.testing.assert_close(all_["loss_b"], 2 * one["loss_ce"])
    assert single.loss_decode.loss_weight == 1


def test_loss_is_taken_at_the_label_s_size(labelled: Labelled) -> None:
    module = head()
    logits = torch.randn(1, 3, 4, 4)
    sample = labelled(torch.randint(0, 3, (7, 9), dtype=torch.uint8))
    enlarged = nn.functional.interpolate(logits, (7, 9), mode="bilinear")
    expected = nn.functional.cross_entropy(enlarged, sample.gt_sem_seg.data.long())
    losses = module.loss_by_feat(logits, [sample])
    torch.testing.assert_close(losses["loss_ce"], expected)
    right = (enlarged.argmax(1) == sample.gt_sem_seg.data).float().mean() * 100
    torch.testing.assert_close(losses["acc_seg"], right.reshape(1))


def test_predict_prefers_the_padded_size() -> None:
    logits = torch.randn(1, 3, 4, 4)
    assert head().predict_by_feat(logits, [{"img_shape": (8, 6)}]).shape == (1, 3, 8, 6)
    meta = {"img_shape": (8, 6), "pad_shape": (8, 8, 3)}
    assert head().predict_by_feat(logits, [meta]).shape == (1, 3, 8, 8)


def test_half_precision_scores_are_interpolated_in_full(labelled: Labelled) -> None:
    logits = torch.randn(1, 3, 4, 4).bfloat16()
    out = head().predict_by_feat(logits, [{"img_shape": (9, 9)}])
    expected = nn.functional.interpolate(logits.float(), (9, 9), mode="bilinear")
    torch.testing.assert_close(out, expected, rtol=0, atol=0)
    losses = head().loss_by_feat(logits, [labelled(torch.zeros(9, 9, dtype=torch.long))])
    assert losses["loss_ce"].dtype == torch.float32


def test_double_precision_scores_stay_double(labelled: Labelled) -> None:
    logits = torch.randn(1, 3, 4, 4).double()
    assert head().predict_by_feat(logits, [{"img_shape": (9, 9)}]).dtype == torch.float64
    losses = head().loss_by_feat(logits, [labelled(torch.zeros(9, 9, dtype=torch.long))])
    assert losses["loss_ce"].dtype == torch.float64


def test_one_output_channel_for_two_classes() -> None:
    sigmoid = dict(type="CrossEntropyLoss", use_sigmoid=True)
    module = head(num_classes=2, out_channels=1, loss_decode=sigmoid)
    assert module.conv_seg.out_channels == 1 and module.threshold == 0.3
    module = head(num_classes=2, out_channels=1, threshold=0.6, loss_decode=sigmoid)
    assert module.threshold == 0.6


@pytest.mark.parametrize("threshold", [None, 0.7])
def test_accuracy_of_one_channel_is_that_of_its_labels(threshold, labelled: Labelled) -> None:
    sigmoid = dict(type="CrossEntropyLoss", use_sigmoid=True)
    module = head(num_classes=2, out_channels=1, threshold=threshold, loss_decode=sigmoid)
    logits = torch.randn(1, 1, 9, 9)
    label = torch.randint(0, 2, (9, 9))
    label[0] = 255
    acc_seg = module.loss_by_feat(logits, [labelled(label)])["acc_seg"].item()
    probability = 1 / (1 + np.exp(-logits.numpy()[0, 0]))
    right = (probability > (threshold or 0.3)) == label.numpy()
    assert acc_seg == pytest.approx(right[1:].mean() * 100)


def test_classifier_is_drawn_small() -> None:
    module = LinearHead(64, 64, num_classes=50)
    module.init_weights()
    assert module.conv_seg.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert module.conv_seg.bias.eq(0).all()


@pytest.mark.parametrize("ignore_index", [None, 255, 0, 2, 11, -1])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.int32])
def test_labels_are_looked_at_id_by_id(
    ignore_index: int | None, dtype: torch.dtype, labelled: Labelled
) -> None:
    """Every pair of ids, by what each of them is alone."""
    ids = [0, 2, 3, 11, 255, *([-1] if dtype.is_signed else [])]
    fine = {i for i in ids if 0 <= i < 3 or i == ignore_index}
    for one, other in itertools.product(ids, ids):
        sample = labelled(torch.tensor([[1, one], [other, 1]], dtype=dtype))
        refuses = not {one, other} <= fine
        with pytest.raises(UserError, match="is no class") if refuses else nullcontext():
            head(ignore_index=ignore_index).check_labels([sample])


@pytest.mark.parametrize("bad", [3, 200, -1])
def test_a_label_that_is_no_class_names_image_and_keys(bad: int, labelled: Labelled) -> None:
    samples = [
        labelled(torch.tensor([[0, 1, 2, 255]]), seg_map_path="good.png"),
        labelled(torch.tensor([[0, bad, 2, 255]]), seg_map_path="bad.png"),
    ]
    with pytest.raises(UserError, match=rf"id {bad} in bad.png.*num_classes=3.*ignore_index=255"):
        head().check_labels(samples)
    head().check_labels(samples[:1])


def test_labels_that_are_classes_pass(labelled: Labelled) -> None:
    head(ignore_index=None).check_labels([labelled(torch.tensor([[0, 1, 2]]))])
    with pytest.raises(UserError, match="id 255.*ignore_index=None"):
        head(ignore_index=None).check_labels([labelled(torch.tensor([[0, 255]]))])
    head(ignore_index=11).check_labels([labelled(torch.tensor([[0, 11]], dtype=torch.uint8))])
    sigmoid = dict(type="CrossEntropyLoss", use_sigmoid=True)
    binary = head(num_classes=1, loss_decode=sigmoid)
    binary.check_labels([labelled(torch.tensor([[0, 1]]))])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            dict(
                sampler=dict(type="OHEMPixelSampler"),
                loss_decode=[dict(type="CrossEntropyLoss"), dict(type="DiceLoss")],
            ),
            "LinearHead's sampler weighs pixels, which DiceLoss can't",
        ),
        (
            dict(out_channels=1, num_classes=2, loss_decode=dict(type="TverskyLoss")),
            "use_sigmoid=True in loss_decode, or another loss by sigmoid in the place of Tversky",
        ),
        (dict(input_transform="concat"), "input_transform='concat'.*resize_concat"),
        (dict(in_channels=[4, 2]), r"in_channels=\[4, 2\] and in_index=-1.*one number each"),
        (
            dict(in_channels=[4], in_index=[0, 1], input_transform="multiple_select"),
            "two lists of one length",
        ),
        (dict(out_channels=2), "out_channels=2 must equal num_classes=3"),
        (dict(out_channels=1), "or be 1 for two classes"),
        (
            dict(out_channels=1, num_classes=2, loss_decode=dict(type="CrossEntropyLoss")),
            "use_sigmoid=True",
        ),
    ],
)
def test_wrong_options(options: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        head(**options)


def test_a_head_that_learns_from_nothing_is_refused() -> None:
    named = [dict(type="CrossEntropyLoss", loss_name=name) for name in ("ce", "loss_ce")]
    head = dict(type="FCNHead", in_channels=4, channels=4, num_classes=2)
    MODELS.build(dict(head, loss_decode=named))
    with pytest.raises(UserError, match="begins with 'loss_', not 'ce'"):
        MODELS.build(dict(head, loss_decode=named[:1]))


def test_an_image_without_label_is_named() -> None:
    head = MODELS.build(dict(type="FCNHead", in_channels=4, channels=4, num_classes=2))
    with pytest.raises(UserError, match="a.png comes to the training without a label"):
        head.check_labels([SegDataSample(metainfo=dict(img_path="a.png"))])


def test_the_sampler_weighs_pixels(labelled: Labelled) -> None:
    """Of 8 pixels the two hardest count, in a mean over all 8."""
    sampler = dict(type="OHEMPixelSampler", min_kept=2)
    module = head(num_classes=2, sampler=sampler)
    p = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    logits = torch.stack([p.log(), (1 - p).log()]).view(1, 2, 2, 4)
    label = torch.zeros(2, 4, dtype=torch.long)
    label[1, 3] = 255  # the hardest, were it not ignored
    losses = module.loss_by_feat(logits, [labelled(label)])
    assert losses["loss_ce"].item() == pytest.approx(-np.log(0.3 * 0.4) / 8)
    assert losses["acc_seg"].item() == pytest.approx(100 * 5 / 7)  # of all pixels


def test_the_sampler_goes_with_the_head(labelled: Labelled) -> None:
    module = copy.deepcopy(head(sampler=dict(type="OHEMPixelSampler", min_kept=2)))
    assert module.sampler.context is module


def test_the_loss_of_a_head_that_names_none() -> None:
    assert head(num_classes=2, out_channels=1).loss_decode.use_sigmoid is True
    assert head(num_classes=2).loss_decode.use_sigmoid is False
    for nothing in (None, [], {}):
        assert isinstance(head(loss_decode=nothing).loss_decode, CrossEntropyLoss)
    with pytest.raises(TypeError):
        head(loss_decode=0)
