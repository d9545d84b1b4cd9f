"""What a checkpoint has to hold, and what a folder of them looks like after any accident."""

import errno
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch

from mmseg_gc import atomic as writing
from mmseg_gc.checkpoint import load_checkpoint
from mmseg_gc.engine.work_dir import LOCK_NAME
from mmseg_gc.errors import UserError


class PowerCut(BaseException):
    pass


def cut(*args, **kwargs):
    raise PowerCut


def crash(toy, work_dir, moment="after_train_iter", iteration=3, **keys):
    hooks = [*keys.pop("hooks", []), toy.DoHook(cut, moment, iteration)]
    with pytest.raises(PowerCut):
        toy.build(work_dir, hooks=hooks, **keys).train()


def names(work_dir):
    others = ("20", LOCK_NAME)  # folders of logs, and what stays of the lock
    return sorted(path.name for path in work_dir.iterdir() if not path.name.startswith(others))


@pytest.fixture(scope="module")
def peace(toy, tmp_path_factory):
    """The folder of a run that was never stopped."""
    work_dir = tmp_path_factory.mktemp("peace") / "run"
    toy.build(work_dir).train()
    return work_dir


@pytest.mark.parametrize("while_saving", [True, False])
def test_killed_for_real(toy, fork, tmp_path, assert_same_end, while_saving):
    """SIGKILL to real processes with workers and EMA."""

    def start(work_dir: Path, pause: float = 0.0) -> int:
        waits = [toy.DoHook(lambda runner: time.sleep(pause), iteration=i) for i in range(1, 9)]
        keys = dict(workers=1, hooks=[dict(type="EMAHook"), *waits])
        return fork(lambda: toy.build(work_dir, **keys).train(), work_dir.with_suffix(".log"))

    def finish(work_dir: Path) -> Path:
        status = os.waitpid(start(work_dir), 0)[1]
        assert status == 0, work_dir.with_suffix(".log").read_text()[-2000:]
        return work_dir / "iter_8.pth"

    work_dir = tmp_path / "killed"
    run = start(work_dir, pause=0.03)
    end = time.monotonic() + 60
    for files in ["iter_2.pth", ".*.pth.*"][: 1 + while_saving]:
        while not list(work_dir.glob(files)) and time.monotonic() < end:
            time.sleep(0.0002)
    if not while_saving:
        time.sleep(0.02)
    os.killpg(run, signal.SIGKILL)
    os.waitpid(run, 0)
    assert (work_dir / "iter_2.pth").exists() and not (work_dir / "iter_8.pth").exists()
    assert_same_end(finish(work_dir), finish(tmp_path / "peace"))


@pytest.mark.parametrize(
    ("moment", "iteration"),
    [
        pytest.param("after_train_iter", 5, marks=pytest.mark.slow),
        ("before_val", 4),  # saved, not yet validated
        pytest.param("after_val_iter", 4, marks=pytest.mark.slow),
        ("after_val_epoch", 6),  # scored, neither the best nor the note of it saved
        pytest.param("before_train_iter", 4, marks=pytest.mark.slow),  # right after a validation
        ("before_val", 8),  # all iterations done, the last validation missing
    ],
)
def test_stopped_anywhere(toy, peace, tmp_path, assert_same_end, moment, iteration):
    crash(toy, tmp_path / "run", moment, iteration)
    toy.build(tmp_path / "run", workers=2 if iteration == 5 else 0).train()
    assert_same_end(tmp_path / "run/iter_8.pth", peace / "iter_8.pth")
    assert names(tmp_path / "run") == names(peace)


def test_every_part_that_keeps_a_state(toy, tmp_path, assert_same_end):
    """EMA, bfloat16, clipping, a learning rate that follows the score; killed within a step."""
    keys = dict(
        hooks=[dict(type="EMAHook")],
        optim_wrapper=dict(
            type="AmpOptimWrapper",
            optimizer=dict(type="SGD", lr=0.1, momentum=0.9),
            clip_grad=dict(max_norm=1.0),
            accumulative_counts=4,
        ),
        scores=(3.0, 2.0, 1.0, 1.0),
        param_scheduler=[
            dict(type="ReduceOnPlateauLR", monitor="mIoU", rule="greater", patience=0, factor=0.1)
        ],
    )
    toy.build(tmp_path / "peace", **keys).train()
    # Iterations 2 and 6 are due, but in the middle of a step of four.
    assert [n for n in names(tmp_path / "peace") if n[0] == "i"] == ["iter_4.pth", "iter_8.pth"]
    crash(toy, tmp_path / "run", iteration=7, **keys)
    toy.build(tmp_path / "run", **keys).train()
    assert_same_end(tmp_path / "run/iter_8.pth", tmp_path / "peace/iter_8.pth")
    schedule = load_checkpoint(tmp_path / "run/iter_8.pth")["param_schedulers"][0]
    assert schedule["_last_value"][0] < 0.1


def test_a_run_without_a_seed_keeps_the_one_it_drew(toy, tmp_path, assert_same_end):
    toy.build(tmp_path / "peace", seed=None).train()
    (tmp_path / "run").mkdir()
    (tmp_path / "peace/iter_4.pth").rename(tmp_path / "run/iter_4.pth")
    toy.build(tmp_path / "run", seed=None).train()
    assert_same_end(tmp_path / "run/iter_8.pth", tmp_path / "peace/iter_8.pth")


def test_accidents_while_writing(toy, peace, tmp_path, monkeypatch, assert_same_end):
    """After the whole file and before its name; after its name and before `last_checkpoint`."""
    run, replace = tmp_path / "run", os.replace
    crash(toy, run, "after_train_iter", 3)
    for name in ("iter_4.pth", "last_checkpoint"):

        def stop(source, target, name=name):
            return cut() if Path(target).name == name else replace(source, target)

        with monkeypatch.context() as patch, pytest.raises(PowerCut):
            patch.setattr(writing.os, "replace", stop)
            toy.build(run).train()
        (run / f".{name}.leftover").touch()  # what SIGKILL would have left
        (run / ".iter_4.pth.leftover").touch()
        assert (run / "last_checkpoint").read_text().endswith("iter_2.pth")
    toy.build(run).train()
    assert_same_end(run / "iter_8.pth", peace / "iter_8.pth")
    assert names(run) == names(peace)


def test_a_full_disk_leaves_the_older_ones(toy, peace, tmp_path, monkeypatch, assert_same_end):
    def half(checkpoint, file):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    run = tmp_path / "run"
    crash(toy, run)
    before = {path: (run / path).read_bytes() for path in names(run)}
    with monkeypatch.context() as patch, pytest.raises(UserError, match=r"iter_4.pth can't be wr"):
        patch.setattr(torch, "save", half)
        toy.build(run).train()
    assert {path: (run / path).read_bytes() for path in names(run)} == before
    toy.build(run).train()
    assert_same_end(run / "iter_8.pth", peace / "iter_8.pth")


def test_the_best_is_the_first_of_equals_and_never_absent(toy, tmp_path):
    scores = (1.0, 3.0, 3.0, 2.0)
    toy.build(tmp_path / "run", scores=scores).train()
    best = [name for name in names(tmp_path / "run") if name.startswith("best")]
    assert best == ["best_mIoU_iter_4.pth"]
    state = load_checkpoint(tmp_path / "run" / best[0])
    trained = load_checkpoint(tmp_path / "run/iter_4.pth")
    assert "optimizer" not in state
    assert all(torch.equal(v, trained["state_dict"][k]) for k, v in state["state_dict"].items())

    # Stopped after the new best is written and before the old one goes.
    run = tmp_path / "stopped"
    crash(toy, run, "after_train_iter", 3, scores=scores)
    kept = (run / "best_mIoU_iter_2.pth").read_bytes()
    toy.build(run, scores=scores).train()
    (run / "best_mIoU_iter_2.pth").write_bytes(kept)
    toy.build(run, iterations=8, scores=scores).train()
    assert "best_mIoU_iter_2.pth" not in names(run)
    assert "best_mIoU_iter_4.pth" in names(run)


def test_only_so_many_are_kept(toy, tmp_path):
    keys = {"default_hooks.checkpoint.max_keep_ckpts": 2}
    crash(toy, tmp_path / "run", iteration=7, **keys)
    kept = [name for name in names(tmp_path / "run") if name.startswith("iter")]
    assert kept == ["iter_4.pth", "iter_6.pth"]
    (tmp_path / "run/iter_2.pth").touch()  # not of this run any more: left alone
    toy.build(tmp_path / "run", **keys).train()
    kept = [name for name in names(tmp_path / "run") if name.startswith("iter")]
    assert kept == ["iter_2.pth", "iter_6.pth", "iter_8.pth"]


def test_a_misspelt_key_is_named(toy, tmp_path):
    message = r"default_hooks\.checkpoint\.max_keep_ckpt=2 doesn't work: TypeError: got an unexp"
    with pytest.raises(UserError, match=message):
        toy.build(tmp_path, **{"default_hooks.checkpoint.max_keep_ckpt": 2})


def test_a_checkpoint_of_mmengine_goes_on_with_a_warning(toy, tmp_path, capfd):
    crash(toy, tmp_path / "run")
    path = tmp_path / "run/iter_2.pth"
    state = load_checkpoint(path)
    del state["resume_state"]
    torch.save(state, path)
    toy.build(tmp_path / "run").train()
    assert "has no random states" in "".join(capfd.readouterr())
    assert (tmp_path / "run/iter_8.pth").is_file()


def by_epochs(epochs):
    """Keys that let the toy training count epochs of four iterations."""
    return {
        "train_cfg": dict(_delete_=True, type="EpochBasedTrainLoop", max_epochs=epochs),
        "train_dataloader.sampler": dict(type="DefaultSampler", shuffle=True),
        "default_hooks.checkpoint.by_epoch": True,
        "default_hooks.checkpoint.interval": 1,
        "default_hooks.checkpoint.max_keep_ckpts": 2,
        "param_scheduler": [dict(type="PolyLR", eta_min=0, end=9, by_epoch=True)],
        "log_processor.by_epoch": True,
    }


def test_a_training_that_counts_epochs(toy, tmp_path):
    run = tmp_path / "run"
    crash(toy, run, "before_val", 8, **by_epochs(3))  # epoch 2 is saved, not validated
    assert [name for name in names(run) if name.startswith("epoch")] == [
        "epoch_1.pth",
        "epoch_2.pth",
    ]
    toy.build(run, **by_epochs(3)).train()
    kept = ["best_mIoU_epoch_1.pth", "epoch_2.pth", "epoch_3.pth", "last_checkpoint"]
    assert names(run) == kept
    state = load_checkpoint(run / "epoch_3.pth")
    assert (state["meta"]["epoch"], state["meta"]["iter"]) == (3, 12)
    assert state["resume_state"]["validated"]


def test_a_copied_run_leaves_the_original_alone(toy, tmp_path):
    toy.build(tmp_path / "a", 2, scores=(1.0, 2.0)).train()
    before = {path.name: path.read_bytes() for path in (tmp_path / "a").glob("*.pth")}
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    toy.build(tmp_path / "b", 4, scores=(1.0, 2.0)).train()
    assert {path.name: path.read_bytes() for path in (tmp_path / "a").glob("*.pth")} == before
    best = [path for path in names(tmp_path / "b") if path.startswith("best")]
    assert best == ["best_mIoU_iter_4.pth"]


@pytest.mark.parametrize("named", ["{}/precious_7.pth", "{}/run/iter_1.pth", "{}/run/best_x_1.pth",
                                   "best_mIoU_iter_[0-9].pth", "../precious_7.pth"])  # fmt: skip
def test_nothing_is_removed_because_a_checkpoint_names_it(toy, tmp_path, named):
    run = tmp_path / "run"
    toy.build(run, 2).train()
    kept = [tmp_path / "precious_7.pth", run / "iter_1.pth", run / "best_x_1.pth"]
    for path in kept:
        path.write_bytes(b"precious")
    state = load_checkpoint(run / "iter_2.pth")
    info = state["message_hub"]["runtime_info"]
    info.update(best_ckpt=named.format(tmp_path), best_score=0.5, last_ckpt=named.format(tmp_path))
    info["keep_ckpt_ids"] = ["1", "/../../precious_7", -1, 1.0, True]
    state["message_hub"]["resumed_keys"].update(keep_ckpt_ids=True)
    torch.save(state, run / "iter_2.pth")
    changes = {"default_hooks.checkpoint.max_keep_ckpts": 1}
    toy.build(run, 6, scores=(1.0, 2.0, 3.0), **changes).train()
    assert all(path.read_bytes() == b"precious" for path in kept)
    assert {"best_mIoU_iter_6.pth", "iter_6.pth"} <= set(names(run))
