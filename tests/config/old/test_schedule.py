import pytest
import torch

from mmseg_gc.config.old.schedule import convert_schedule
from mmseg_gc.errors import UserError
from mmseg_gc.registry import OPTIM_WRAPPERS, PARAM_SCHEDULERS

ITERS = dict(runner=dict(type="IterBasedRunner", max_iters=40))
SGD = dict(type="SGD", lr=0.5)


def converted(**old):
    new = {}
    convert_schedule(old, new)
    return new


def rates(old, count):
    """The learning rate of each iteration under the converted schedule."""
    new = converted(optimizer=SGD, **old)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    wrapper = OPTIM_WRAPPERS.build(dict(type="OptimWrapper", optimizer=optimizer))
    built = [
        PARAM_SCHEDULERS.build(dict(cfg), default_args=dict(optimizer=wrapper))
        for cfg in new["param_scheduler"]
    ]
    found = []
    for _ in range(count):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for scheduler in built:
            scheduler.step()
    return found


def rates_of_old(regular, warmup_iters=0, ratio=1.0, count=40):
    """mmcv 1's: in a warm-up, a linear part of what the schedule says of the iteration."""
    return [
        regular(i) * (1 - (1 - i / warmup_iters) * (1 - ratio) if i < warmup_iters else 1)
        for i in range(count)
    ]


def test_a_warm_up_and_a_decay_are_what_they_were():
    lr_config = dict(
        policy="poly", power=0.9, min_lr=0.0, warmup="linear", warmup_iters=10, warmup_ratio=0.01
    )
    # mmengine's last iteration is at the lowest rate, mmcv 1's one step before it.
    expected = rates_of_old(lambda i: 0.5 * (1 - i / 39) ** 0.9, 10, 0.01)
    assert rates(dict(ITERS, lr_config=lr_config), 40) == pytest.approx(expected, rel=1e-9)


def test_steps():
    lr_config = dict(policy="step", step=[3, 5], gamma=0.1)
    found = rates(dict(ITERS, lr_config=lr_config), 7)
    assert found == pytest.approx([0.5] * 3 + [0.05] * 2 + [0.005] * 2)


@pytest.mark.parametrize(
    ("lr_config", "expected"),
    [
        (dict(policy="fixed"), []),
        (dict(policy="step", step=4), [dict(type="StepLR", step_size=4, gamma=0.1)]),
        (
            dict(policy="CosineAnnealing", min_lr_ratio=0.1),
            [dict(type="CosineAnnealingLR", T_max=40, eta_min_ratio=0.1)],
        ),
        (dict(policy="exp", gamma=0.9), [dict(type="ExponentialLR", gamma=0.9)]),
        (
            dict(policy="poly", min_lr=0.1, warmup="constant", warmup_iters=4, warmup_ratio=0.5),
            [
                dict(type="ConstantLR", factor=0.5, end=5),
                # Decay and warm-up together are no product where there is a lowest rate.
                dict(type="PolyLR", eta_min=0.1, power=1.0, begin=4),
            ],
        ),
    ],
)
def test_policies(lr_config, expected):
    common = dict(begin=0, end=40, by_epoch=False)
    found = converted(**ITERS, lr_config=lr_config)["param_scheduler"]
    assert found == [{**common, **one} for one in expected]


def test_epochs():
    new = converted(
        runner=dict(type="EpochBasedRunner", max_epochs=6), lr_config=dict(policy="step", step=[4])
    )
    assert new["train_cfg"] == dict(type="EpochBasedTrainLoop", max_epochs=6)
    assert new["param_scheduler"][0]["by_epoch"] is True
    assert converted(total_iters=7)["train_cfg"]["max_iters"] == 7


@pytest.mark.parametrize(
    ("old", "expected"),
    [
        (dict(optimizer_config=dict(grad_clip=dict(max_norm=1))), dict(clip_grad=dict(max_norm=1))),
        (
            dict(optimizer_config=dict(type="GradientCumulativeOptimizerHook", cumulative_iters=4)),
            dict(accumulative_counts=4),
        ),
        (dict(fp16=dict()), dict(type="AmpOptimWrapper", loss_scale=512.0)),
        (dict(fp16=dict(loss_scale="dynamic")), dict(type="AmpOptimWrapper", loss_scale="dynamic")),
        (
            dict(optimizer_config=dict(type="Fp16OptimizerHook", loss_scale=64.0)),
            dict(type="AmpOptimWrapper", loss_scale=64.0),
        ),
    ],
)
def test_what_stands_around_the_optimizer(old, expected):
    found = converted(optimizer=SGD, **old)["optim_wrapper"]
    assert found == {"type": "OptimWrapper", "optimizer": SGD, **expected}


def test_rates_of_single_parts():
    paramwise = dict(custom_keys=dict(head=dict(lr_mult=10.0)))
    found = converted(optimizer=dict(SGD, paramwise_cfg=paramwise))["optim_wrapper"]
    assert found == dict(type="OptimWrapper", optimizer=SGD, paramwise_cfg=paramwise)


@pytest.mark.parametrize(
    ("old", "message"),
    [
        (dict(lr_config=dict(policy="poly")), "needs the length of the run: set runner="),
        (dict(ITERS, lr_config=dict(policy="cyclic")), r"policy='cyclic' .* write param_scheduler"),
        (
            dict(ITERS, lr_config=dict(policy="poly", gama=1)),
            r"lr_config\.gama=1 .* param_scheduler",
        ),
        (dict(ITERS, lr_config=dict(policy="fixed", warmup="exp")), "set it to 'linear' or"),
        (dict(ITERS, lr_config=dict(policy="poly", by_epoch=True)), "set it to False"),
        (dict(ITERS, momentum_config=dict(policy="cyclic")), "momentum_config"),
        (dict(runner=dict(type="OwnRunner")), r"runner\.type='OwnRunner' .* known: 'IterBased"),
        (dict(optimizer=SGD, optimizer_config=dict(x=1)), r"optimizer_config\.x=1 .* take it out"),
        (dict(optimizer=3), "optimizer=3 of mmsegmentation 0.x has to be a dict"),
    ],
)
def test_what_has_no_counterpart(old, message):
    with pytest.raises(UserError, match=message):
        converted(**old)
