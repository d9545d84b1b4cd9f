import pytest
import torch

from mmseg_gc.checkpoint import load_checkpoint
from mmseg_gc.errors import UserError


def weights(path):
    return load_checkpoint(path)["state_dict"]


def test_the_files_of_the_batch_are_named_and_nothing_is_saved(toy, tmp_path):
    with pytest.raises(UserError) as stopped:
        toy.build(tmp_path / "run", poison=(4,)).train()
    message = str(stopped.value)
    assert "iteration 4" in message and message.count("picture_") == 2
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
