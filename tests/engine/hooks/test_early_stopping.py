import pytest

from mmseg_gc.checkpoint import load_checkpoint

SCORES = (5.0, 4.0, 3.0, 9.0)


def hook(patience):
    return [dict(type="EarlyStoppingHook", monitor="mIoU", patience=patience)]


def stop_after(toy, work_dir, iterations, patience=2):
    toy.build(work_dir, iterations, hooks=hook(patience), scores=SCORES).train()


def test_a_resumed_run_goes_on_waiting(toy, tmp_path):
    """Two validations without a better score: the first before a stop, the second after it."""
    stop_after(toy, tmp_path, 4)
    assert load_checkpoint(tmp_path / "iter_4.pth")["early_stopping"]["wait_count"] == 1
    stop_after(toy, tmp_path, 12)
    assert not (tmp_path / "iter_8.pth").exists()
    assert load_checkpoint(tmp_path / "iter_6.pth")["early_stopping"]["stopped"]

    stop_after(toy, tmp_path, 12)  # it had ended
    assert not (tmp_path / "iter_8.pth").exists()
    stop_after(toy, tmp_path, 8, patience=9)
    assert (tmp_path / "iter_8.pth").exists()


def test_an_unsaved_iteration_is_saved_at_the_stop(toy, tmp_path):
    keys = {"default_hooks.checkpoint.interval": 100}
    toy.build(tmp_path, 12, hooks=hook(1), scores=SCORES, **keys).train()
    assert (tmp_path / "last_checkpoint").read_text().endswith("iter_4.pth")


@pytest.mark.parametrize("resume", ["auto", False])
def test_only_a_resume_takes_the_count_up(toy, tmp_path, resume):
    stop_after(toy, tmp_path / "run", 4)
    keys = {"load_from": str(tmp_path / "run/iter_4.pth"), "resume": resume}
    runner = toy.build(tmp_path / "next", 2, hooks=hook(2), scores=SCORES, **keys)
    runner.train()
    waiting = load_checkpoint(tmp_path / "next/iter_2.pth")["early_stopping"]["wait_count"]
    assert waiting == 0  # both begin anew from the weights
