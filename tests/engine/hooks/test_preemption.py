import os
import signal
from types import SimpleNamespace

import pytest
import torch

from mmseg_gc.checkpoint import load_checkpoint
from mmseg_gc.engine import rank_flags
from mmseg_gc.engine.hooks import preemption


def send(number):
    return lambda runner: os.kill(os.getpid(), number)


def stop(toy, work_dir, number=signal.SIGTERM, moment="before_train_iter", iteration=2, **keys):
    hooks = [*keys.pop("hooks", []), toy.DoHook(send(number), moment, iteration)]
    with pytest.raises(SystemExit) as stopped:
        toy.build(work_dir, hooks=hooks, **keys).train()
    return stopped.value.code


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGUSR1, 138)], ids=["TERM", "USR1"]
)
def test_the_iteration_is_finished_and_saved(toy, tmp_path, assert_same_end, number, status):
    toy.build(tmp_path / "peace").train()
    before = [signal.getsignal(n) for n in preemption.SIGNALS]
    assert stop(toy, tmp_path / "run", number) == status
    assert (tmp_path / "run/last_checkpoint").read_text().endswith("iter_3.pth")
    assert [signal.getsignal(n) for n in preemption.SIGNALS] == before
    toy.build(tmp_path / "run").train()
    assert_same_end(tmp_path / "run/iter_8.pth", tmp_path / "peace/iter_8.pth")


def test_a_validation_is_left_at_once(toy, tmp_path, assert_same_end):
    """At iteration 3, which isn't saved yet, while EMA has lent its weights to the model."""
    keys = dict(hooks=[dict(type="EMAHook", momentum=0.2)], val_interval=3, scores=(1.0,))
    toy.build(tmp_path / "peace", **keys).train()
    assert stop(toy, tmp_path / "run", moment="before_val", iteration=3, **keys) == 143
    assert not load_checkpoint(tmp_path / "run/iter_3.pth")["resume_state"]["validated"]
    toy.build(tmp_path / "run", **keys).train()
    assert_same_end(tmp_path / "run/iter_8.pth", tmp_path / "peace/iter_8.pth")


def test_a_step_of_several_iterations_is_finished(toy, tmp_path):
    wrapper = dict(optimizer=dict(type="SGD", lr=0.1), accumulative_counts=3)
    stop(toy, tmp_path / "run", val_interval=100, iteration=3, optim_wrapper=wrapper)
    assert (tmp_path / "run/last_checkpoint").read_text().endswith("iter_6.pth")


def test_more_signals_change_nothing(toy, tmp_path):
    hooks = [toy.DoHook(send(signal.SIGTERM), "before_train_iter", 2)]
    assert stop(toy, tmp_path / "run", signal.SIGUSR1, "before_train_iter", 2, hooks=hooks) == 143
    assert torch.load(tmp_path / "run/iter_3.pth", weights_only=False)["meta"]["iter"] == 3


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_after_another_signal_stops_at_once(toy, tmp_path, first):
    hooks = [toy.DoHook(send(first), "before_train_iter", 2)]
    hooks.append(toy.DoHook(send(signal.SIGINT), "before_train_iter", 2))
    with pytest.raises(KeyboardInterrupt):
        toy.build(tmp_path / "run", hooks=hooks).train()
    assert not (tmp_path / "run/iter_3.pth").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_one_ctrl_c_may_come_twice_to_a_rank(monkeypatch, capfd):
    hook = preemption.PreemptionHook()
    monkeypatch.setattr(preemption, "get_world_size", lambda: 2)
    monkeypatch.setattr(preemption.time, "monotonic", lambda: 10.0)
    for _ in range(2):  # from the terminal and from torchrun
        hook._note(signal.SIGINT, None)
    assert hook.received == signal.SIGINT
    assert capfd.readouterr().err.count("Ctrl-C again stops at once") == 1
    monkeypatch.setattr(preemption.time, "monotonic", lambda: 10.0 + 2 * preemption.ECHO)
    with pytest.raises(KeyboardInterrupt):
        hook._note(signal.SIGINT, None)


def test_the_command_that_goes_on(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.setattr("sys.argv", ["tools/train.py", "my config.py", "--overwrite", "--amp"])
    assert preemption._resuming() == "python tools/train.py 'my config.py' --amp --resume auto"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # another program started this one
    assert preemption._resuming() == "--resume auto"
    monkeypatch.setenv("MMSEG_GC_COMMAND", "tools/dist_train.sh my\\ config.py 2 --overwrite ")
    assert preemption._resuming() == "tools/dist_train.sh 'my config.py' 2 --resume auto"


def test_one_rank_of_a_machine_says_what_ctrl_c_does(monkeypatch, capfd):
    for rank, notices in (("0", 1), ("1", 0)):
        monkeypatch.setenv("LOCAL_RANK", rank)
        preemption.PreemptionHook()._note(signal.SIGINT, None)
        assert capfd.readouterr().err.count("Ctrl-C again stops at once") == notices


def test_within_an_epoch_the_last_one_stands(toy, tmp_path):
    keys = {
        "train_cfg": dict(_delete_=True, type="EpochBasedTrainLoop", max_epochs=3),
        "train_dataloader.sampler": dict(type="DefaultSampler", shuffle=True),
        "default_hooks.checkpoint.by_epoch": True,
        "default_hooks.checkpoint.interval": 1,
    }
    assert stop(toy, tmp_path / "run", iteration=6, **keys) == 143
    saved = sorted(path.name for path in (tmp_path / "run").glob("epoch_*.pth"))
    assert saved == ["epoch_1.pth"]


@pytest.mark.parametrize("looks_at_losses", [True, False])
@pytest.mark.parametrize(("late", "saved"), [(False, 3), (True, 4)])
def test_another_rank_s_signal_comes_with_the_flags(
    toy, tmp_path, monkeypatch, looks_at_losses, late, saved
):
    """It is sent in iteration 3, and read an iteration later where the flags are a GPU's."""
    sends = []

    def other_rank(flags, how):
        sends.append(how)
        flags[1] = signal.SIGUSR1 if len(sends) == 3 else 0

    monkeypatch.setattr(rank_flags, "all_reduce", other_rank)
    monkeypatch.setattr(preemption, "get_world_size", lambda: 2)
    if late:
        there = SimpleNamespace(synchronize=lambda: None)
        monkeypatch.setattr(rank_flags, "fetch", lambda values: (values.clone(), there))
    keys = {} if looks_at_losses else {"default_hooks.nonfinite_loss": None}
    with pytest.raises(SystemExit) as stopped:
        toy.build(tmp_path / "run", val_interval=9, **keys).train()
    assert stopped.value.code == 138
    assert (tmp_path / "run/last_checkpoint").read_text().endswith(f"iter_{saved}.pth")
    assert len(sends) == saved  # one reduction an iteration
