"""Figures that the best weights and an early stop can go by."""

from types import SimpleNamespace

import pytest
import torch

from mmseg_gc.engine.hooks import CheckpointHook, EarlyStoppingHook
from mmseg_gc.engine.hooks.figures import class_scalars, require_figure
from mmseg_gc.errors import UserError
from mmseg_gc.evaluation import IoUMetric


def runner(*metrics) -> SimpleNamespace:
    return SimpleNamespace(val_loop=SimpleNamespace(evaluator=SimpleNamespace(metrics=metrics)))


@pytest.mark.parametrize("figure", ["mFscore", "mPrecision", "mRecall", "IoU.fg", "averageScore"])
def test_more_is_better(figure):
    assert CheckpointHook(save_best=figure).rules == ["greater"]
    assert EarlyStoppingHook(monitor=figure).rule == "greater"


def test_a_rule_that_nobody_knows_is_asked_for():
    with pytest.raises(UserError, match=r"checkpoint\.save_best is 'foo'.*set `rule`"):
        CheckpointHook(save_best="foo")
    with pytest.raises(UserError, match=r"EarlyStoppingHook\.monitor is 'foo'.*set `rule`"):
        EarlyStoppingHook(monitor="foo")
    assert CheckpointHook(save_best="foo", rule="less").rules == ["less"]
    assert CheckpointHook(save_best="loss_x").rules == ["less"]


def test_a_figure_that_is_not_computed_is_refused():
    for figure in ("mIoU", "aAcc", "mAcc", "auto"):
        require_figure(runner(IoUMetric()), figure, "key")
    require_figure(runner(IoUMetric(prefix="a"), IoUMetric(iou_metrics="mFscore")), "a/mIoU", "key")
    require_figure(runner(IoUMetric(), IoUMetric(iou_metrics="mFscore")), "mRecall", "key")
    with pytest.raises(
        UserError, match=r"key is 'mDice', but .* computes aAcc, mIoU, mAcc: choose"
    ):
        require_figure(runner(IoUMetric()), "mDice", "key")


def test_figures_of_classes_and_the_loss():
    metric = IoUMetric(prefix="a")
    metric.dataset_meta = {"classes": ["sky", "road"]}
    run = runner(metric)
    require_figure(run, "a/IoU.sky", "key")
    require_figure(run, "a/Acc.road", "key")
    with pytest.raises(UserError, match=r"key is 'a/IoU.car', but the classes are road, sky\."):
        require_figure(run, "a/IoU.car", "key")
    with pytest.raises(UserError, match=r"key is 'val_loss': set val_cfg.loss=True"):
        require_figure(run, "val_loss", "key")
    run.val_loop.with_loss = True
    require_figure(run, "val_loss", "key")
    metric.process({}, [dict(pred_sem_seg=dict(data=torch.tensor([[[0, 1, 1, 1]]])),
                             gt_sem_seg=dict(data=torch.tensor([[[0, 0, 1, 1]]])))])  # fmt: skip
    metric.evaluate(1)
    assert class_scalars(run.val_loop.evaluator) == {
        "a/IoU.sky": 50.0,
        "a/IoU.road": 66.67,
        "a/Acc.sky": 50.0,
        "a/Acc.road": 100.0,
    }


def test_other_metrics_and_no_validation_are_not_judged():
    class Own(IoUMetric): ...

    require_figure(runner(Own()), "mDice", "key")
    require_figure(SimpleNamespace(val_loop=None), "mDice", "key")


@pytest.mark.parametrize("hook", [CheckpointHook, EarlyStoppingHook])
def test_a_training_is_refused_before_it_begins(toy, tmp_path, hook):
    stop = dict(type="EarlyStoppingHook", monitor="mIoU")
    run = toy.build(tmp_path, 2, hooks=[stop])
    run.hooks[:] = [part for part in run.hooks if isinstance(part, hook)]
    evaluator = SimpleNamespace(metrics=[IoUMetric(iou_metrics="mDice")], dataset_meta=None)
    run.build_evaluator = lambda cfg: evaluator
    with pytest.raises(UserError, match="is 'mIoU', but the validation computes aAcc, mDice, mAcc"):
        run.train()


def test_the_worst_is_never_taken_for_the_best():
    for figure in ("mIoU", "aAcc", "road/mDice", "IoU.road", "coco/bbox_mAP_50"):
        with pytest.raises(UserError, match=rf"save_best is '{figure}'.*'less'.*leave the rule"):
            CheckpointHook(save_best=figure, rule="less")
        with pytest.raises(UserError, match=r"EarlyStoppingHook\.monitor.*leave the rule"):
            EarlyStoppingHook(monitor=figure, rule="less").before_train(runner())
    assert CheckpointHook(save_best="mIoUError", rule="less").rules == ["less"]
    assert CheckpointHook(save_best=["mIoU", "error"], rule=["greater", "less"]).rules[1] == "less"
