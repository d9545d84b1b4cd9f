"""The picture of its curves that a training leaves behind."""

from types import SimpleNamespace

import cv2

from mmseg_gc.config import OWN_HOOKS
from mmseg_gc.engine import CurvesHook
from mmseg_gc.engine.screen_text import near, training_result
from mmseg_gc.visualization import curves as drawing


def test_a_training_ends_with_its_curves(toy, tmp_path, monkeypatch):
    drawn = {}
    draw = drawing.draw_curves

    def watch(runs, keys, title, out):
        drawn.update(keys=keys, steps={key: sorted(runs["run"][key]) for key in keys})
        draw(runs, keys, title, out)

    monkeypatch.setattr("mmseg_gc.engine.hooks.curves.draw_curves", watch)
    toy.build(tmp_path / "run", 4, hooks=[dict(type="CurvesHook")]).train()
    assert drawn == dict(keys=["loss", "mIoU"], steps=dict(loss=[1, 2, 3, 4], mIoU=[2, 4]))
    assert cv2.imread(str(tmp_path / "run/curves.png")).std() > 10


def test_it_never_fails_a_training(toy, tmp_path):
    runner = toy.build(tmp_path / "run", 2, hooks=[dict(type="CurvesHook")])
    (tmp_path / "run/curves.png").mkdir()
    runner.train()
    assert runner.iter == 2


def test_it_belongs_to_every_training_and_can_be_left_out(toy, tmp_path):
    assert OWN_HOOKS["curves"] == "mmseg_gc.CurvesHook"
    hooks = toy.build(tmp_path, 1).hooks
    assert not any(isinstance(hook, CurvesHook) for hook in hooks)


def test_a_run_that_logged_nothing_is_offered_no_curves(toy, tmp_path):
    runner = toy.build(tmp_path / "run", 2, hooks=[dict(type="CurvesHook")])
    runner.train()
    assert f"  mmseg_gc curves {near(runner.work_dir)}" in training_result(runner, "c.py")
    for log in (tmp_path / "run").rglob("scalars.json"):
        log.unlink()
    (tmp_path / "run/curves.png").unlink()
    hook = next(one for one in runner.hooks if isinstance(one, CurvesHook))
    said = []
    runner.logger = SimpleNamespace(info=said.append)  # no warning: nothing is wrong
    hook.after_train(runner)
    assert len(said) == 1 and said[0].startswith("No curves are drawn: no numbers were logged.")
    assert not any("curves" in line for line in training_result(runner, "c.py"))
