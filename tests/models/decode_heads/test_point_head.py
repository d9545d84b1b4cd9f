import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from mmseg_gc.accelerate import prepare_for_inference
from mmseg_gc.config import load_config
from mmseg_gc.deploy.network import ExportNetwork
from mmseg_gc.errors import UserError
from mmseg_gc.models import PointHead
from mmseg_gc.registry import MODELS

KEYS = dict(in_channels=[3], in_index=[0], channels=4, num_classes=2, dropout_ratio=-1)
TRAIN = dict(num_points=16, oversample_ratio=3, importance_sample_ratio=0.75)
TEST = dict(mode="whole", subdivision_steps=1, subdivision_num_points=3, scale_factor=2)


def built(**options: object) -> PointHead:
    head = PointHead(**KEYS, **options)
    head.configure(TRAIN, TEST)
    return head


def narrow(**test_cfg: object) -> dict:
    """A model of a neck, FPNHead and PointHead, of few channels."""
    config = Path(__file__).parents[3] / "configs/point_rend"
    model = load_config(config / "pointrend_r50_4xb2-80k_cityscapes-512x1024.py").model
    model.pretrained = None
    model.backbone.update(depth=18, stem_channels=8, base_channels=8, norm_cfg=dict(type="BN"))
    model.neck.update(in_channels=[8, 16, 32, 64], out_channels=8)
    model.decode_head[0].update(in_channels=[8] * 4, channels=8, norm_cfg=dict(type="BN"))
    model.decode_head[1].update(in_channels=[8], channels=8)
    model.train_cfg.num_points = 64
    model.test_cfg.update(test_cfg)
    return model


def test_the_least_certain_logits_alone_are_made_anew() -> None:
    head = built()
    coarse = torch.randn(1, 2, 4, 5)
    with torch.no_grad():
        refined = head([torch.randn(1, 3, 8, 10)], coarse)
    enlarged = nn.functional.interpolate(coarse, scale_factor=2, mode="bilinear")
    changed = (refined != enlarged).any(dim=1)
    gaps = (enlarged[0, 0] - enlarged[0, 1]).abs()
    assert changed.sum() == 3
    torch.testing.assert_close(gaps[changed[0]].sort().values, gaps.flatten().sort().values[:3])


@pytest.mark.parametrize("again", [True, False])
def test_a_point_goes_through_layers_that_see_the_coarse_logits(again: bool) -> None:
    head = built(coarse_pred_each_layer=again, num_fcs=2)
    fine, coarse = torch.randn(1, 3, 8, 10), torch.randn(1, 2, 4, 5)
    points = torch.tensor([[[0.55, 0.3125], [0.15, 0.8125]]])  # centres of fine positions
    with torch.no_grad():
        found = head._point_logits([fine], coarse, points)
        at_coarse = nn.functional.interpolate(coarse, size=(8, 10), mode="bilinear")
        for i, (row, column) in enumerate([(2, 5), (6, 1)]):
            seen = at_coarse[0, :, row, column]
            x = torch.cat([fine[0, :, row, column], seen])
            for fc in head.fcs:
                x = (fc.conv.weight.squeeze(2) @ x + fc.conv.bias).relu()
                x = torch.cat([x, seen]) if again else x
            expected = head.fc_seg.weight.squeeze(2) @ x + head.fc_seg.bias
            torch.testing.assert_close(found[0, :, i], expected, atol=1e-4, rtol=1e-4)


def test_losses_of_points_by_name(labelled) -> None:
    model = MODELS.build(narrow()).train()
    samples = [labelled(torch.randint(19, (64, 64))) for _ in range(2)]
    losses = model.loss(torch.randn(2, 3, 64, 64), samples)
    of_head = {"decode_1.pointloss_ce", "decode_1.acc_point"}
    assert set(losses) == {"decode_0.loss_ce", "decode_0.acc_seg"} | of_head
    total, _ = model.parse_losses(losses)
    total.backward()
    assert model.decode_head[1].fc_seg.weight.grad.abs().sum() > 0
    ignored = [labelled(torch.full((64, 64), 255)) for _ in range(2)]
    assert model.loss(torch.randn(2, 3, 64, 64), ignored)["decode_1.pointloss_ce"] == 0


def test_keys_are_the_published_ones() -> None:
    keys = set(PointHead(**KEYS).state_dict())
    of_layers = {f"fcs.{i}.conv.{kind}" for i in range(3) for kind in ("weight", "bias")}
    assert keys == of_layers | {"fc_seg.weight", "fc_seg.bias"}


@pytest.mark.parametrize("mode", ["whole", "slide"])
def test_a_prepared_model_chooses_the_same_points(mode: str) -> None:
    keys = dict(mode=mode, crop_size=(48, 48), stride=(32, 32), subdivision_num_points=200)
    model = MODELS.build(narrow(**keys)).eval()
    nn.init.normal_(model.decode_head[0].conv_seg.weight)
    nn.init.normal_(model.decode_head[1].fc_seg.weight)
    prepared = prepare_for_inference(copy.deepcopy(model))
    with torch.no_grad():
        expected, found = (m.predict(torch.ones(1, 3, 64, 80))[0] for m in (model, prepared))
    assert torch.equal(found.pred_sem_seg.data, expected.pred_sem_seg.data)
    half = prepare_for_inference(copy.deepcopy(model), precision="bf16")
    assert half.decode_head[1].fc_seg.weight.dtype == torch.float32
    assert half.decode_head[1].fcs[0].conv.weight.dtype == torch.bfloat16
    with torch.no_grad():
        labels = half.predict(torch.ones(1, 3, 64, 80))[0].pred_sem_seg.data
    assert (labels == expected.pred_sem_seg.data).float().mean() > 0.9


def test_bad_input() -> None:
    with pytest.raises(UserError, match="needs model.train_cfg.num_points, a number from 1 to"):
        MODELS.build(dict(narrow(), train_cfg=dict()))
    cfg = dict(TRAIN, importance_sample_ratio=1.5)
    with pytest.raises(UserError, match="importance_sample_ratio, a number from 0 to 1, not"):
        MODELS.build(dict(narrow(), train_cfg=cfg))
    with pytest.raises(UserError, match="model.test_cfg.scale_factor, a number from 1 to 8, not 0"):
        MODELS.build(narrow(scale_factor=0))
    with pytest.raises(UserError, match="test_cfg has no key 'step'; it takes .* scale_factor"):
        MODELS.build(narrow(step=1))
    with pytest.raises(UserError, match="PointHead needs two logits; leave out out_channels=1"):
        PointHead(**KEYS, out_channels=1)
    with pytest.raises(UserError, match="decode_head.1 is a PointHead, which chooses points by"):
        ExportNetwork(MODELS.build(narrow()))


def test_a_model_that_only_labels_needs_no_train_cfg() -> None:
    """`init_model` builds it without; learning says what lacks."""
    model = MODELS.build(dict(narrow(), train_cfg=None))
    assert model.decode_head[-1].train_cfg == {}
    model.eval()
    with torch.no_grad():
        assert model.encode_decode(torch.randn(1, 3, 64, 64), [{}]).shape[2:] == (64, 64)
    with pytest.raises(UserError, match="needs model.train_cfg.num_points"):
        model.decode_head[-1].loss([], torch.zeros(1), [])
