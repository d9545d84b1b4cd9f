import copy
import traceback
from types import SimpleNamespace

import pytest
import torch

from mmseg_gc.checkpoint import load_checkpoint
from mmseg_gc.engine import rank_flags
from mmseg_gc.errors import UserError


def weights(path):
    return load_checkpoint(path)["state_dict"]


def test_the_files_of_the_batch_are_named_and_nothing_is_saved(toy, tmp_path):
    with pytest.raises(UserError) as stopped:
        toy.build(tmp_path / "run", poison=(4,)).train()
    message = str(stopped.value)
    assert "iteration 4" in message and message.count("image_") == 2
    assert "default_hooks.nonfinite_loss.tolerate=10" in message
    assert not (tmp_path / "run/iter_4.pth").exists()
    assert (tmp_path / "run/last_checkpoint").read_text().endswith("iter_2.pth")


def test_a_tolerated_iteration_changes_nothing(toy, tmp_path):
    """Neither weights, nor momenta, nor BN's statistics differ from those after iteration 3."""
    keys = {"default_hooks.nonfinite_loss": dict(type="NonFiniteLossHook", tolerate=1)}
    keys["default_hooks.checkpoint.interval"] = 1
    toy.build(tmp_path / "run", 4, poison=(4,), **keys).train()
    states = [load_checkpoint(tmp_path / f"run/iter_{n}.pth") for n in (2, 3, 4)]
    for key, value in states[2]["state_dict"].items():
        assert torch.equal(value, states[1]["state_dict"][key]), key
    same = any(
        torch.equal(states[0]["state_dict"][k], v) for k, v in states[1]["state_dict"].items()
    )
    assert not same
    for number, state in states[2]["optimizer"]["state"].items():
        before = states[1]["optimizer"]["state"][number]
        assert torch.equal(state["momentum_buffer"], before["momentum_buffer"])
    # The count outlives a stop.
    with pytest.raises(UserError, match="isn't finite in iteration 5"):
        toy.build(tmp_path / "run", 6, poison=(1,), **keys).train()


def test_a_step_of_several_iterations_is_left_out_whole(toy, tmp_path):
    wrapper = dict(optimizer=dict(type="SGD", lr=0.1), accumulative_counts=2)
    keys = {"default_hooks.nonfinite_loss": dict(type="NonFiniteLossHook", tolerate=1)}
    toy.build(tmp_path / "run", 6, poison=(3,), optim_wrapper=wrapper, **keys).train()
    two, four, six = (weights(tmp_path / f"run/iter_{n}.pth") for n in (2, 4, 6))
    parameters = [name for name in two if "running" not in name and "tracked" not in name]
    assert all(torch.equal(two[name], four[name]) for name in parameters)
    assert not any(torch.equal(four[name], six[name]) for name in parameters)
    assert all(value.isfinite().all() for value in six.values())


def test_other_numbers_are_not_changed_by_the_guard(toy, tmp_path):
    toy.build(tmp_path / "guarded", 4).train()
    toy.build(tmp_path / "bare", 4, **{"default_hooks.nonfinite_loss": None}).train()
    bare = weights(tmp_path / "bare/iter_4.pth")
    assert all(torch.equal(v, bare[k]) for k, v in weights(tmp_path / "guarded/iter_4.pth").items())


@pytest.fixture
def gpu(monkeypatch):
    """Flags are read an iteration late, as a GPU's are."""
    there = SimpleNamespace(synchronize=lambda: None)
    monkeypatch.setattr(rank_flags, "fetch", lambda values: (values, there))


def test_a_gpu_is_not_asked_and_yet_nothing_bad_is_saved(toy, tmp_path, gpu):
    done = []
    hooks = [toy.DoHook(lambda runner: done.append(runner.iter), "before_train_iter", 3)]
    with pytest.raises(UserError, match="isn't finite in iteration 3 for image_") as stopped:
        toy.build(tmp_path / "late", poison=(3,), hooks=hooks, val_interval=9).train()
    assert str(stopped.value).count("image_") == 2 and done == [3]  # one more than needed
    with pytest.raises(UserError, match="isn't finite in iteration 4"):
        toy.build(tmp_path / "run", poison=(4,)).train()
    assert not (tmp_path / "run/iter_4.pth").exists()
    with pytest.raises(UserError, match="isn't finite in iteration 5"):  # the last one of the run
        toy.build(tmp_path / "end", 5, poison=(5,), val_interval=9).train()


OPTIMIZERS = {
    "fused": dict(type="SGD", lr=0.1, momentum=0.9, weight_decay=0.01),
    "unfused": dict(type="SGD", lr=0.1, momentum=0.9, weight_decay=0.01, fused=False),
    "adam": dict(type="AdamW", lr=0.1, fused=True),
    "loop": dict(type="AdamW", lr=0.1),
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_late_or_not_a_tolerated_iteration_changes_nothing(toy, tmp_path, gpu, same, kind):
    keys = {"default_hooks.nonfinite_loss": dict(type="NonFiniteLossHook", tolerate=2)}
    keys["default_hooks.checkpoint.interval"] = 100
    states = {}

    def keep(name):
        def action(runner):
            optimizer = runner.optim_wrapper.optimizer
            state = (runner.model.state_dict(), optimizer.state_dict()["state"])
            states[name] = copy.deepcopy(state)

        return action

    hooks = [toy.DoHook(keep(n), iteration=n) for n in (3, 4, 5)]
    wrapper = dict(optimizer=OPTIMIZERS[kind])
    runner = toy.build(
        tmp_path / "run", 5, poison=(4,), hooks=hooks, optim_wrapper=wrapper, val_interval=9, **keys
    )
    runner.train()
    for before, after, later in zip(states[3], states[4], states[5], strict=True):
        assert same(before, after) and not same(after, later)
    assert runner.message_hub.get_info("nonfinite_losses") == 1
    assert not hasattr(runner.optim_wrapper.optimizer, "found_inf")


@pytest.mark.parametrize(("fused", "asked"), [(None, 0), (False, 4)])
def test_only_a_step_that_is_not_fused_asks(toy, tmp_path, gpu, fused, asked):
    wrapper = dict(optimizer=dict(type="SGD", lr=0.1, fused=fused))
    keys = {"default_hooks.logger.interval": 100, "default_hooks.checkpoint": None}
    runner = toy.build(tmp_path, 4, optim_wrapper=wrapper, val_interval=9, **keys)
    waits, original = [], torch.Tensor.item

    def item(tensor):
        frame = traceback.extract_stack()[-2]
        if "mmseg_gc" in frame.filename:
            waits.append(frame.filename.split("mmseg_gc/")[-1])
        return original(tensor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "item", item)
        runner.train()
    assert waits == ["engine/hooks/nonfinite_loss.py"] * asked


def test_a_scaler_s_own_flag_is_heeded_too(toy, tmp_path, gpu):
    """Infinite gradients of a finite loss: the scaler's flag alone leaves the step out."""
    wrapper = dict(type="AmpOptimWrapper", optimizer=dict(type="SGD", lr=0.1, momentum=0.9))
    keys = {"default_hooks.checkpoint": None, "optim_wrapper": wrapper}
    runner = toy.build(tmp_path, 1, val_interval=9, **keys)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    scaler = runner.optim_wrapper.loss_scaler = torch.amp.GradScaler("cpu", init_scale=3e38)
    before = copy.deepcopy(dict(runner.model.named_parameters()))
    runner.train()
    assert all(torch.equal(p, before[name]) for name, p in runner.model.named_parameters())
    assert scaler.get_scale() < 3e38
