"""Rates of every group under every scheduler, beside formulas in numpy."""

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper, scheduler
from torch import nn

from mmseg_gc.checkpoint import load_checkpoint
from mmseg_gc.engine.schedulers import base_among_groups, with_ratios_kept
from mmseg_gc.registry import PARAM_SCHEDULERS

STEPS = np.arange(10)
RATIOS = {"frozen": 0.0, "slow": 0.1, "head": 1.0, "fast": 10.0}
PROGRESS = STEPS / 9  # of a schedule of ten steps, whose last has the bound


SGD = dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=0.1)


def wrapped(optimizer=SGD, ratios=RATIOS):
    """An optimizer of four layers with an ``lr_mult`` each; ``ratios=None``: one group."""
    model = nn.ModuleDict({name: nn.Linear(1, 1, bias=False) for name in RATIOS})
    cfg = dict(optimizer=optimizer)
    if ratios:
        keys = {name: dict(lr_mult=ratio) for name, ratio in ratios.items()}
        cfg["paramwise_cfg"] = dict(custom_keys=keys)
    return build_optim_wrapper(model, cfg)


def built(optim_wrapper, *configs):
    return [
        PARAM_SCHEDULERS.build(cfg, default_args=dict(optimizer=optim_wrapper))
        for cfg in with_ratios_kept([dict(end=10, by_epoch=False) | cfg for cfg in configs])
    ]


def values(optim_wrapper, schedulers, name="lr", steps=STEPS):
    """What each group has in each step, and the base value last: (steps, groups + 1)."""
    rows = []
    for _ in steps:
        rows.append([group[name] for group in optim_wrapper.param_groups])
        optim_wrapper.optimizer.step()
        for each in schedulers:
            each.step()
    return np.array(rows)


def cosine(progress, high, low):
    return low + (high - low) * (1 + np.cos(np.pi * progress)) / 2


def one_cycle(steps):
    up, down = steps / 2, (steps - 2) / 7  # pct_start=0.3 of ten steps ends at step 2
    return np.where(steps <= 2, cosine(up, 0.2 / 25, 0.2), cosine(down, 0.2, 0.2 / 25 / 1e4))


BASE_RATES = {
    "PolyLR": (
        dict(eta_min=1e-3, power=0.9),
        (0.01 - 1e-3) * (1 - PROGRESS) ** 0.9 + 1e-3,
    ),
    "CosineAnnealingLR": (dict(eta_min=1e-3, T_max=9), cosine(PROGRESS, 0.01, 1e-3)),
    "CosineAnnealingLR by ratio": (
        dict(eta_min_ratio=0.2, T_max=9),
        cosine(PROGRESS, 0.01, 2e-3),
    ),
    "CosineRestartLR": (
        dict(eta_min=1e-3, periods=[5, 5], restart_weights=[1, 0.5]),
        np.concatenate([cosine(np.arange(5) / 5, high, 1e-3) for high in (0.01, 0.005)]),
    ),
    "OneCycleLR": (dict(eta_max=0.2), one_cycle(STEPS)),
    "LinearLR": (dict(start_factor=0.1, end=5), 0.01 * np.minimum(0.1 + 0.9 * STEPS / 4, 1)),
    "ConstantLR": (dict(factor=0.5, end=5), np.where(STEPS < 4, 0.005, 0.01)),
    "StepLR": (dict(step_size=4, gamma=0.5), 0.01 * 0.5 ** (STEPS // 4)),
    "MultiStepLR": (dict(milestones=[3, 7]), 0.01 * 0.1 ** (1.0 * (STEPS >= 3) + (STEPS >= 7))),
    "ExponentialLR": (dict(gamma=0.7), 0.01 * 0.7**STEPS),
}


@pytest.mark.parametrize("kind", BASE_RATES)
def test_groups_keep_their_ratio_to_the_base_rate(kind):
    keys, expected = BASE_RATES[kind]
    optim_wrapper = wrapped()
    rates = values(optim_wrapper, built(optim_wrapper, dict(type=kind.split()[0], **keys)))
    for column, ratio in enumerate([*RATIOS.values(), 1.0]):
        np.testing.assert_allclose(rates[:, column], expected * ratio, rtol=1e-9, atol=1e-18)
    assert (rates[:, 0] == 0).all()


def test_a_warm_up_before_poly():
    optim_wrapper = wrapped()
    schedule = [
        dict(type="LinearLR", start_factor=0.1, begin=0, end=4),
        dict(type="PolyLR", eta_min=1e-3, power=0.9, begin=4, end=10),
    ]
    rates = values(optim_wrapper, built(optim_wrapper, *schedule))
    warm = 0.01 * (0.1 + 0.9 * STEPS[:4] / 3)
    poly = (0.01 - 1e-3) * (1 - np.arange(6) / 5) ** 0.9 + 1e-3
    for column, ratio in enumerate(RATIOS.values()):
        expected = np.concatenate([warm, poly]) * ratio
        np.testing.assert_allclose(rates[:, column], expected, rtol=1e-9, atol=1e-18)


def test_momentum_keeps_its_ratio():
    optim_wrapper = wrapped()
    for group, momentum in zip(optim_wrapper.optimizer.param_groups, (0, 0.45), strict=False):
        group["momentum"] = momentum
    schedule = built(optim_wrapper, dict(type="PolyMomentum", eta_min=0.3))
    momenta = values(optim_wrapper, schedule, "momentum")
    expected = (0.9 - 0.3) * (1 - PROGRESS) + 0.3
    np.testing.assert_allclose(momenta, np.outer(expected, [0, 0.5, 1, 1, 1]), rtol=1e-9)


def test_adams_first_beta_is_its_momentum():
    optim_wrapper = wrapped(dict(type="Adam", lr=0.01, betas=(0.9, 0.99)))
    schedule = built(optim_wrapper, dict(type="PolyMomentum", eta_min=0.3))
    betas = np.array(values(optim_wrapper, schedule, "betas"))
    expected = (0.9 - 0.3) * (1 - PROGRESS) + 0.3
    np.testing.assert_allclose(betas[:, :, 0], np.outer(expected, np.ones(5)), rtol=1e-9)
    assert (betas[:, :, 1] == 0.99).all()


def test_a_schedule_of_weight_decay():
    optim_wrapper = wrapped()
    for group, mult in zip(optim_wrapper.optimizer.param_groups, (0, 0.5, 1, 1), strict=True):
        group["weight_decay"] = 0.1 * mult
    cfg = dict(type="PolyParamScheduler", param_name="weight_decay", eta_min=0.02)
    decay = values(optim_wrapper, built(optim_wrapper, cfg), "weight_decay")
    expected = (0.1 - 0.02) * (1 - PROGRESS) + 0.02
    np.testing.assert_allclose(decay, np.outer(expected, [0, 0.5, 1, 1, 1]), rtol=1e-9)


def test_a_score_that_stays_lowers_each_group_to_its_share_of_the_minimum():
    optim_wrapper = wrapped()
    cfg = dict(type="ReduceOnPlateauLR", monitor="mIoU", rule="greater", patience=0, factor=0.1)
    [plateau] = built(optim_wrapper, dict(by_epoch=True, min_value=5e-4, **cfg))
    for expected in (0.01, 1e-3, 5e-4, 5e-4):
        plateau.step(dict(mIoU=50.0))
        rates = [group["lr"] for group in optim_wrapper.param_groups]
        np.testing.assert_allclose(rates, expected * np.array([0, 0.1, 1, 10, 1]), rtol=1e-9)


@pytest.mark.parametrize("kind", ["PolyLR", "mmengine.PolyLR", scheduler.PolyLR])
def test_one_group_has_the_numbers_of_mmengine(kind):
    """Bit for bit, over a published schedule; by whichever name it is asked for."""
    ours, theirs = wrapped(ratios=None), wrapped(ratios=None)
    keys = dict(eta_min=1e-4, power=0.9, begin=0, end=2000, by_epoch=False)
    [own] = built(ours, dict(type=kind, **keys))
    other = scheduler.PolyLR(theirs, **keys)
    assert type(own) is not scheduler.PolyLR and isinstance(own, scheduler.PolyLR)
    steps = range(2000)
    rates = [values(*side, steps=steps) for side in ((ours, [own]), (theirs, [other]))]
    np.testing.assert_array_equal(*rates)
    assert own.state_dict().keys() == other.state_dict().keys()


def test_what_is_not_mmengines_is_left_alone():
    class PolyLR(scheduler.LinearLR):
        pass

    own = [dict(type=PolyLR), dict(type="mine.PolyLR"), dict(type="LinearLR")]
    assert with_ratios_kept(own) == own
    by_name = with_ratios_kept(dict(generator=dict(type="PolyLR")))
    assert by_name["generator"]["type"] is PARAM_SCHEDULERS.get("PolyLR")


def test_a_rate_scaled_by_the_batch_size_keeps_the_ratios():
    optim_wrapper = wrapped()
    with base_among_groups(optim_wrapper):
        for group in optim_wrapper.optimizer.param_groups:
            group["lr"] *= 4
    assert len(optim_wrapper.optimizer.param_groups) == 4
    rates = values(optim_wrapper, built(optim_wrapper, dict(type="PolyLR", eta_min=1e-3)))
    np.testing.assert_allclose(rates[-1], 1e-3 * np.array([0, 0.1, 1, 10, 1]))


@pytest.mark.parametrize(
    "optimizer",
    [
        dict(type="SGD", lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
        dict(type="AdamW", lr=0.1, weight_decay=0.1),
    ],
)
def test_a_training_leaves_a_group_without_a_rate_as_it_was(toy, tmp_path, optimizer):
    """Weight decay and momentum included; the statistics of a BN in it move on all the same."""
    paramwise = dict(custom_keys={"layers.0": dict(lr_mult=0.0), "layers.1": dict(lr_mult=0.0)})
    # By its class, as in a pure-Python config.
    keys = dict(param_scheduler=[dict(type=scheduler.PolyLR, eta_min=0.05, end=8, by_epoch=False)])
    wrapper = dict(optimizer=optimizer, paramwise_cfg=paramwise)
    runner = toy.build(tmp_path / "run", optim_wrapper=wrapper, **keys)
    before = {name: value.clone() for name, value in runner.model.state_dict().items()}
    runner.train()
    after = load_checkpoint(tmp_path / "run/iter_8.pth")["state_dict"]
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert moved == {
        "layers.1.running_mean", "layers.1.running_var", "layers.1.num_batches_tracked",
        "layers.3.weight", "layers.3.bias",
    }  # fmt: skip


def test_scaled_by_the_runner(toy, tmp_path):
    """``auto_scale_lr`` doubles the base rate with the groups', so that a group of 1 stays 1."""
    wrapper = dict(
        optimizer=dict(type="SGD", lr=0.1),
        paramwise_cfg=dict(custom_keys={"layers.0": dict(lr_mult=0.5)}),
    )
    keys = dict(param_scheduler=[dict(type="PolyLR", eta_min=0.1, end=4, by_epoch=False)])
    keys["auto_scale_lr"] = dict(enable=True, base_batch_size=1)
    runner = toy.build(tmp_path / "run", 3, optim_wrapper=wrapper, **keys)
    runner.train()
    rates = [group["lr"] for group in runner.optim_wrapper.param_groups]
    assert rates == pytest.approx([0.05] * 2 + [0.1] * 5)


@pytest.mark.parametrize(
    "cfg", [dict(type="OneCycleLR", eta_max=0.2), dict(type="MultiStepLR", milestones=[3, 6])]
)
def test_a_run_goes_on_under_each(toy, tmp_path, assert_same_end, cfg):
    keys = dict(param_scheduler=[dict(end=20, by_epoch=False) | cfg])
    toy.build(tmp_path / "peace", **keys).train()
    (tmp_path / "run").mkdir()
    (tmp_path / "peace/iter_4.pth").rename(tmp_path / "run/iter_4.pth")
    toy.build(tmp_path / "run", **keys).train()
    assert_same_end(tmp_path / "run/iter_8.pth", tmp_path / "peace/iter_8.pth")
