"""A training that diverged saves nothing over what is good, and nothing goes on from its files."""

import pytest
import torch

from mmseg_gc.checkpoint import load_checkpoint, save_checkpoint
from mmseg_gc.errors import UserError

NAN, INF = float("nan"), float("inf")


def spoil(find, value):
    """An action for `DoHook`: write ``value`` into the tensor that ``find(runner)`` gives."""

    def action(runner):
        find(runner).data.flatten()[0] = value

    return action


def weight(runner):
    return runner.model.layers[3].weight


def variance(runner):
    return runner.model.layers[1].running_var


def momentum(runner):
    return runner.optim_wrapper.optimizer.state[weight(runner)]["momentum_buffer"]


def average(runner):
    [hook] = [hook for hook in runner.hooks if hasattr(hook, "ema_model")]
    return hook.ema_model.module.layers[3].weight


def run_and_spoil(toy, work_dir, find, value, iteration=4, **keys):
    runner = toy.build(work_dir, 4, val_interval=keys.pop("val_interval", 99), **keys)
    hook = toy.DoHook(spoil(find, value), "after_train_iter", iteration)
    runner.register_hook(hook, priority="NORMAL")  # before anything is saved
    with pytest.raises(UserError) as stopped:
        runner.train()
    return str(stopped.value)


@pytest.mark.parametrize(
    ("find", "value", "name"),
    [
        (weight, NAN, "layers.3.weight"),
        (variance, INF, "layers.1.running_var"),
        (variance, -1.0, "layers.1.running_var"),
        (momentum, INF, "momentum_buffer of layers.3.weight"),
        (average, NAN, "the average of layers.3.weight"),
    ],
)
def test_the_last_iteration_diverges(toy, tmp_path, find, value, name):
    """The loss was finite to the end; the checkpoint before stays the last, and is named."""
    keys = dict(hooks=[dict(type="EMAHook")]) if find is average else {}
    said = run_and_spoil(toy, tmp_path / "run", find, value, **keys)
    assert f" {name} " in said and "iter_4.pth isn't written" in said
    assert said.endswith("lower optim_wrapper.optimizer.lr and go on from "
                         f"{tmp_path / 'run/iter_2.pth'}.")  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "run").glob("*.pth")) == ["iter_2.pth"]
    assert (tmp_path / "run/last_checkpoint").read_text().endswith("iter_2.pth")


def test_a_gradient_of_the_last_step_alone(toy, tmp_path):
    runner = toy.build(tmp_path / "run", 2, val_interval=99)
    weight(runner).register_hook(lambda grad: grad * (NAN if runner.iter == 1 else 1))
    with pytest.raises(UserError, match=r"layers\.3\.weight .* and begin anew\.$"):
        runner.train()
    assert not list((tmp_path / "run").rglob("*.pth"))


def test_the_best_stays_the_best(toy, tmp_path):
    """Validated more often than saved, with a score that rises although the weights are gone."""
    keys = {"scores": (1.0, 2.0), "val_interval": 2, "default_hooks.checkpoint.interval": 99}
    keys["default_hooks.checkpoint.save_last"] = False
    said = run_and_spoil(toy, tmp_path / "run", variance, NAN, **keys)
    assert "best_mIoU_iter_4.pth isn't written" in said
    assert load_checkpoint(tmp_path / "run/best_mIoU_iter_2.pth")["meta"]["iter"] == 2


def test_weights_alone_are_saved_whatever_the_momenta(toy, tmp_path):
    runner = toy.build(tmp_path / "run", 2, val_interval=99)
    runner.train()
    spoil(momentum, NAN)(runner)
    runner.save_checkpoint(str(tmp_path), "weights.pth", save_optimizer=False)
    with pytest.raises(UserError, match="momentum_buffer"):
        runner.save_checkpoint(str(tmp_path), "all.pth")
    assert not (tmp_path / "all.pth").exists()


def test_infinity_by_design(toy, tmp_path):
    """A mask of -inf that a model is built with is saved, resumed from and loaded."""

    def build(iterations):
        ema = dict(type="EMAHook")
        runner = toy.build(tmp_path / "run", iterations, val_interval=99, hooks=[ema])
        runner.model.register_buffer("mask", torch.tensor([0.0, -INF]))
        return runner

    build(2).train()
    build(4).train()
    assert load_checkpoint(tmp_path / "run/iter_4.pth")["state_dict"]["mask"][1] == -INF


@pytest.mark.parametrize(
    ("where", "name"),
    [
        (lambda state: state["state_dict"]["layers.1.running_var"], "layers.1.running_var"),
        (lambda state: state["optimizer"]["state"][0]["momentum_buffer"], "of parameter 0"),
        (lambda state: state["ema_state_dict"]["module.layers.0.bias"], "averaged layers.0.bias"),
    ],
)
def test_such_a_checkpoint_is_not_resumed_from(toy, tmp_path, where, name):
    keys = dict(val_interval=99, hooks=[dict(type="EMAHook")])
    toy.build(tmp_path / "run", 2, **keys).train()
    path = tmp_path / "run/iter_2.pth"
    state = load_checkpoint(path)
    where(state)[0] = NAN
    save_checkpoint(state, path)
    with pytest.raises(UserError, match=rf"iter_2\.pth can't be .*{name}.* older checkpoint"):
        toy.build(tmp_path / "run", 4, **keys).train()
