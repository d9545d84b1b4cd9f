"""What a resumed run takes from its config, with rates by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.optim import build_optim_wrapper
from mmengine.runner import EpochBasedTrainLoop
from torch import nn

from mmseg_gc.checkpoint import load_checkpoint
from mmseg_gc.engine.follow_config import follow_config, options, warn_of_idle_schedule
from mmseg_gc.engine.schedulers import with_ratios_kept
from mmseg_gc.registry import PARAM_SCHEDULERS

SGD = dict(type="SGD", lr=0.1, momentum=0.9, weight_decay=0.01)
NEXT = np.array([4, 5, 6, 7])  # what is left after four iterations of eight


def poly(steps, end, lr=0.1, eta_min=0.01, power=0.9):
    return (lr - eta_min) * (1 - np.asarray(steps) / (end - 1)) ** power + eta_min


def schedule(**changes):
    return dict(type="PolyLR", eta_min=0.01, power=0.9, end=8, by_epoch=False) | changes


class Run:
    """As much of a runner as its schedule needs; ``epoch_length`` lets it count epochs."""

    def __init__(self, *schedulers, optimizer=SGD, frozen=False, epoch_length=None):
        model = nn.ModuleDict(dict(backbone=nn.Linear(2, 1), head=nn.Linear(1, 1)))
        cfg = dict(optimizer=optimizer)
        if frozen:
            cfg["paramwise_cfg"] = dict(custom_keys=dict(backbone=dict(lr_mult=0.0)))
        self.optim_wrapper = build_optim_wrapper(model, cfg)
        self.param_schedulers = [
            PARAM_SCHEDULERS.build(each, default_args=dict(optimizer=self.optim_wrapper))
            for each in with_ratios_kept(schedulers)
        ]
        loop = SimpleNamespace() if epoch_length is None else object.__new__(EpochBasedTrainLoop)
        self.train_loop, self.epoch_length = loop, epoch_length
        self.said = []
        self.logger = SimpleNamespace(warning=self.said.append)
        self.iter = self.epoch = 0

    def train(self, iterations=4):
        """The base rate of each iteration."""
        rates = []
        for _ in range(iterations):
            rates.append(self.optim_wrapper.param_groups[-1]["lr"])
            self.optim_wrapper.step()
            self.iter += 1
            for each in self.param_schedulers:
                if not each.by_epoch:
                    each.step()
            if self.epoch_length and self.iter % self.epoch_length == 0:
                self.epoch += 1
                for each in self.param_schedulers:
                    if each.by_epoch:
                        each.step()
        return rates

    def resume(self, other):
        configured = options(self.optim_wrapper)
        self.optim_wrapper.load_state_dict(other.optim_wrapper.state_dict())
        self.iter, self.epoch = other.iter, other.epoch
        follow_config(self, configured, [each.state_dict() for each in other.param_schedulers])
        return self


@pytest.fixture
def trained():
    run = Run(schedule())
    np.testing.assert_allclose(run.train(), poly([0, 1, 2, 3], 8))
    return run


def test_an_unchanged_config_goes_on_bit_for_bit_and_says_nothing(trained):
    resumed = Run(schedule()).resume(trained)
    states = [run.param_schedulers[0].state_dict() for run in (resumed, trained)]
    assert states[0] == states[1] and resumed.said == []
    assert resumed.train() == trained.train()


def test_what_a_hook_made_of_the_rate_stays_under_an_unchanged_config(trained):
    trained.optim_wrapper.param_groups[0]["lr"] = 0.033
    assert Run(schedule()).resume(trained).train()[0] == 0.033


@pytest.mark.parametrize(
    ("changes", "expected", "said"),
    [
        (dict(end=12), poly(NEXT, 12), "param_scheduler.0.end 8 -> 12"),
        (dict(eta_min=0.05), poly(NEXT, 8, eta_min=0.05), "param_scheduler.0.eta_min 0.01 -> 0.05"),
        (dict(power=2), poly(NEXT, 8, power=2), "param_scheduler.0.power 0.9 -> 2"),
        (dict(end=6), [*poly([4, 5], 6), 0.01, 0.01], "param_scheduler.0.end 8 -> 6"),
        (dict(begin=2), poly(NEXT - 2, 6), "param_scheduler.0.begin 0 -> 2"),
    ],
)
def test_another_schedule(trained, changes, expected, said):
    resumed = Run(schedule(**changes)).resume(trained)
    np.testing.assert_allclose(resumed.train(), expected, rtol=1e-9)
    [line] = resumed.said
    assert said in line and f"goes on at {expected[0]:.4g}, not {poly(4, 8):.4g}" in line


def test_beyond_the_old_end(trained):
    trained.train()
    resumed = Run(schedule(end=12)).resume(trained)
    np.testing.assert_allclose(resumed.train(), poly([8, 9, 10, 11], 12), rtol=1e-9)


def test_another_rate_and_other_options(trained):
    optimizer = dict(type="SGD", lr=0.4, momentum=0.5, nesterov=True)
    resumed = Run(schedule(), optimizer=optimizer).resume(trained)
    np.testing.assert_allclose(resumed.train(), poly(NEXT, 8, lr=0.4), rtol=1e-9)
    group = resumed.optim_wrapper.param_groups[0]
    assert (group["momentum"], group["weight_decay"], group["nesterov"]) == (0.5, 0, True)
    for part in ("lr 0.1 -> 0.4", "momentum 0.9 -> 0.5", "weight_decay 0.01 -> 0"):
        assert f"optim_wrapper.optimizer.{part}" in resumed.said[0]


def test_another_option_alone_leaves_the_schedule(trained):
    resumed = Run(schedule(), optimizer=SGD | dict(weight_decay=0.0)).resume(trained)
    assert "weight_decay 0.01 -> 0.0" in resumed.said[0] and "lr" not in resumed.said[0]
    assert resumed.train() == trained.train()


def test_state_that_an_optimizer_keeps_in_its_groups_is_the_checkpoints(trained):
    trained.optim_wrapper.param_groups[0]["d"] = 7.0  # as in Prodigy
    resumed = Run(schedule(end=12))
    resumed.optim_wrapper.param_groups[0]["d"] = 1.0
    assert resumed.resume(trained).optim_wrapper.param_groups[0]["d"] == 7.0


def test_other_schedulers(trained):
    resumed = Run(
        dict(type="LinearLR", start_factor=0.5, end=3, by_epoch=False),
        dict(type="MultiStepLR", milestones=[5, 7], gamma=0.5, by_epoch=False),
        dict(type="PolyMomentum", eta_min=0, end=10, by_epoch=False),
    ).resume(trained)
    np.testing.assert_allclose(resumed.train(), [0.1, 0.05, 0.05, 0.025])
    momentum = resumed.optim_wrapper.param_groups[0]["momentum"]
    assert momentum == pytest.approx(0.9 * (1 - 8 / 9))
    assert "param_scheduler.1 is in the config alone" in resumed.said[0]


def test_other_milestones():
    old = Run(dict(type="MultiStepLR", milestones=[2, 5], by_epoch=False))
    old.train()
    new = Run(dict(type="MultiStepLR", milestones=[6], by_epoch=False)).resume(old)
    np.testing.assert_allclose(new.train(), [0.1, 0.1, 0.01, 0.01])
    assert "param_scheduler.0.milestones [2, 5] -> [6]" in new.said[0]


def test_no_scheduler_any_more(trained):
    resumed = Run(optimizer=SGD | dict(lr=0.3)).resume(trained)
    assert resumed.train() == [0.3] * 4
    assert "param_scheduler.0 is in the checkpoint alone" in resumed.said[0]


def test_a_frozen_group_and_a_longer_schedule():
    old = Run(schedule(), frozen=True)
    old.train()
    new = Run(schedule(end=12), frozen=True).resume(old)
    rates = [group["lr"] for group in new.optim_wrapper.param_groups]
    np.testing.assert_allclose(rates, poly(4, 12) * np.array([0, 0, 1, 1, 1]), rtol=1e-9)


def test_a_schedule_that_follows_the_score_keeps_what_it_has_seen():
    cfg = dict(type="ReduceOnPlateauLR", monitor="mIoU", rule="greater", patience=0, factor=0.1)
    old = Run(cfg)
    for score in (3.0, 2.0):
        old.param_schedulers[0].step(dict(mIoU=score))
    changed = dict(optimizer=SGD | dict(lr=0.2))
    new = Run(cfg | dict(factor=0.5), **changed).resume(old)
    assert new.train() == pytest.approx([0.02] * 4)  # the tenth that was left, of the new rate
    new.param_schedulers[0].step(dict(mIoU=2.5))  # 3 is still the best
    assert new.train()[0] == pytest.approx(0.01)
    assert "param_scheduler.0.factor 0.1 -> 0.5" in new.said[0]


def test_epochs():
    warm_up = dict(type="LinearLR", start_factor=0.5, end=6, by_epoch=False)
    old = Run(warm_up, schedule(by_epoch=True, end=4), epoch_length=4)
    old.train(8)
    new = Run(warm_up, schedule(by_epoch=True, end=6), epoch_length=4).resume(old)
    # After four of the five steps of the warm-up the epoch's step, then the fifth, then the next's.
    rate = (0.1 * 0.9 - 0.01) * 0.8**0.9 + 0.01
    rate = (rate / 0.9 - 0.01) * 0.75**0.9 + 0.01
    np.testing.assert_allclose(new.train(), [rate] * 4, rtol=1e-9)


@pytest.mark.parametrize(
    ("schedulers", "said"),
    [
        ([schedule(end=6)], "param_scheduler ends at 6 and train_cfg at 8"),
        ([schedule(end=6), dict(type="StepLR", step_size=3, by_epoch=False)], None),
        ([schedule(by_epoch=True)], "param_scheduler.0.by_epoch=False"),
        ([dict(type="LinearLR", end=6, by_epoch=False)], None),
        ([dict(type="ReduceOnPlateauLR", monitor="mIoU")], None),
        ([dict(type="MultiStepLR", milestones=[9], by_epoch=False)], "milestones begin at 9 and"),
        ([dict(type="MultiStepLR", milestones=[7, 9], by_epoch=False)], None),
    ],
)
def test_a_schedule_that_does_not_last(schedulers, said):
    run = Run(*schedulers)
    run.max_iters = 8
    warn_of_idle_schedule(run)
    assert len(run.said) == (said is not None)
    assert said is None or said in run.said[0]


def test_by_the_runner(toy, tmp_path, caplog):
    """A shorter schedule than the checkpoint's, and than the training."""
    keys = dict(val_interval=99, param_scheduler=[schedule()])
    toy.build(tmp_path / "run", 4, **keys).train()
    keys["param_scheduler"] = [schedule(end=5)]
    runner = toy.build(tmp_path / "run", 6, **keys)
    runner.logger.addHandler(caplog.handler)
    runner.train()
    state = load_checkpoint(tmp_path / "run/iter_6.pth")
    assert state["optimizer"]["param_groups"][0]["lr"] == pytest.approx(0.01)  # poly(6, 8) is 0.026
    assert "param_scheduler.0.end 8 -> 5" in caplog.text
    assert "param_scheduler ends at 5 and train_cfg at 6" in caplog.text


@pytest.mark.parametrize("done", [4, 6])
def test_nothing_left_to_train_is_said(toy, tmp_path, caplog, done):
    toy.build(tmp_path / "run", done, val_interval=99).train()
    runner = toy.build(tmp_path / "run", 4, val_interval=99)
    runner.logger.addHandler(caplog.handler)
    runner.train()
    assert f"the checkpoint is at {done} and train_cfg.max_iters is 4; raise" in caplog.text


@pytest.mark.parametrize("eta_min,rises", [(0.05, False), (0.1, False), (0.2, True)])
def test_a_rate_that_rises_to_its_floor_is_told(eta_min, rises):
    run = Run(schedule(eta_min=eta_min))
    run.max_iters = 8
    warn_of_idle_schedule(run)
    assert ["eta_min=0.2 is above the lr" in text for text in run.said] == [True] * rises


@pytest.mark.parametrize(
    ("schedules", "said"),
    [
        ([schedule(end=4), schedule(begin=4)], None),
        ([schedule(end=6), schedule(begin=4)], "(PolyLR) both change the lr from 4 to 6, so"),
        ([dict(type="LinearLR", start_factor=0.1, end=4, by_epoch=False), schedule()], None),
        ([schedule(), dict(type="MultiStepLR", milestones=[2], by_epoch=False)], None),
        ([schedule(), dict(type="CosineAnnealingLR", T_max=8, by_epoch=False)], "from 0 to 8"),
        ([schedule(), schedule(type="PolyMomentum")], None),
    ],
)
def test_two_schedules_at_once_are_told(schedules, said):
    run = Run(*schedules)
    run.max_iters = 8
    warn_of_idle_schedule(run)
    assert len(run.said) == (said is not None)
    assert said is None or said in run.said[0]
