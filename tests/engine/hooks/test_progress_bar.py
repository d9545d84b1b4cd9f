from types import SimpleNamespace

import pytest

from mmseg_gc.engine.hooks import progress_bar
from mmseg_gc.engine.hooks.progress_bar import ProgressBarHook

LOADER = SimpleNamespace(sampler=range(5))
RUNNER = SimpleNamespace(test_dataloader=LOADER, val_dataloader=LOADER)


@pytest.mark.parametrize("mode", ["test", "val"])
def test_images_are_counted(mode, capsys):
    hook = ProgressBarHook()
    getattr(hook, f"before_{mode}_epoch")(RUNNER)
    for batch in (["a", "b"], ["c", "d"], ["e"]):
        getattr(hook, f"after_{mode}_iter")(RUNNER, 0, None, batch)
    assert hook.bar.n == hook.bar.total == 5
    getattr(hook, f"after_{mode}_epoch")(RUNNER)
    assert hook.bar is None
    printed = capsys.readouterr().err
    assert f"{mode}: 100%" in printed and "5/5" in printed


def test_training_between_two_validations_moves_nothing():
    hook = ProgressBarHook()
    hook.before_val_epoch(RUNNER)
    hook.after_train_iter(RUNNER, 0, None, ["a"])
    assert hook.bar.n == 0
    hook.after_val_epoch(RUNNER)
    hook.after_val_iter(RUNNER, 0, None, ["a"])  # closed


def test_other_processes_have_no_bar(monkeypatch):
    monkeypatch.setattr(progress_bar, "is_main_process", lambda: False)
    hook = ProgressBarHook()
    hook.before_test_epoch(RUNNER)
    hook.after_test_iter(RUNNER, 0, None, ["a"])
    assert hook.bar is None
