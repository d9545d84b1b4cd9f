import pytest

from mmseg_gc.config.old.runtime import convert_runtime
from mmseg_gc.errors import UserError


def converted(**old):
    new = dict(
        train_cfg=dict(type="IterBasedTrainLoop", max_iters=9),
        val_cfg=dict(type="ValLoop"),
        test_cfg=dict(type="TestLoop"),
        train_dataloader=dict(),
        val_dataloader=dict(),
    )
    notes = convert_runtime(old, new)
    return new, notes


def test_checkpoints_and_scores():
    new, _ = converted(
        checkpoint_config=dict(interval=3, max_keep_ckpts=2, by_epoch=False),
        evaluation=dict(
            interval=4, metric=["mIoU", "mDice"], save_best="mIoU", pre_eval=True, start=5
        ),
    )
    assert new["default_hooks"]["checkpoint"] == dict(
        type="CheckpointHook", by_epoch=False, interval=3, max_keep_ckpts=2, save_best="mIoU"
    )
    assert new["val_evaluator"] == dict(type="IoUMetric", iou_metrics=["mIoU", "mDice"])
    assert new["train_cfg"]["val_interval"] == 4 and new["train_cfg"]["val_begin"] == 5
    # There is no test set: nothing stands for one.
    assert "test_evaluator" not in new and "test_cfg" not in new


def test_cityscapes_own_scores():
    new, _ = converted(evaluation=dict(metric=["mIoU", "cityscapes"], imgfile_prefix="out"))
    assert new["val_evaluator"] == [
        dict(type="IoUMetric", iou_metrics=["mIoU"]),
        dict(type="CityscapesMetric", output_dir="out"),
    ]


def test_the_log():
    hooks = [
        dict(type="TextLoggerHook", by_epoch=False),
        dict(type="TensorboardLoggerHook"),
        dict(type="MMSegWandbHook", init_kwargs=dict(project="p"), num_eval_images=5),
    ]
    new, notes = converted(log_config=dict(interval=7, hooks=hooks))
    assert new["default_hooks"]["logger"]["interval"] == 7
    assert new["visualizer"]["vis_backends"] == [
        dict(type="LocalVisBackend"),
        dict(type="TensorboardVisBackend"),
        dict(type="WandbVisBackend", init_kwargs=dict(project="p")),
    ]
    assert "num_eval_images of MMSegWandbHook are WandbVisBackend's own" in notes


def test_the_process_and_where_it_starts():
    new, notes = converted(
        dist_params=dict(backend="gloo", port=1), cudnn_benchmark=True, mp_start_method="spawn",
        opencv_num_threads=2, resume_from="x.pth", seed=3, deterministic=True,
        workflow=[("train", 1), ("val", 1)], gpu_ids=[0, 1],
    )  # fmt: skip
    assert new["env_cfg"] == dict(
        cudnn_benchmark=True,
        mp_cfg=dict(mp_start_method="spawn", opencv_num_threads=2),
        dist_cfg=dict(backend="gloo", port=1),
    )
    assert (new["load_from"], new["resume"]) == ("x.pth", True)
    assert new["randomness"] == dict(seed=3, deterministic=True)
    assert any(note.startswith("workflow computes the validation set's losses") for note in notes)
    assert any(note.startswith("gpu_ids says nothing here") for note in notes)
    assert converted(auto_resume=True)[0]["resume"] is True
    assert converted(load_from="w.pth")[0]["resume"] is False


def test_without_a_training_set_there_is_no_training():
    new = dict(train_cfg=dict(), optim_wrapper=dict(), param_scheduler=[], test_dataloader=dict())
    convert_runtime({}, new)
    assert not {"train_cfg", "optim_wrapper", "param_scheduler"} & set(new)
    assert new["test_evaluator"] == dict(type="IoUMetric", iou_metrics=["mIoU"])


@pytest.mark.parametrize(
    ("old", "message"),
    [
        (dict(evaluation=dict(metric="PQ")), r"metric='PQ' .* known: mIoU, mDice, mFscore"),
        (dict(evaluation=dict(classwise=True)), r"evaluation\.classwise=True .* take it out"),
        (dict(checkpoint_config=dict(x=1)), r"checkpoint_config\.x=1 .* default_hooks\.checkpoint"),
        (dict(log_config=dict(hooks=[dict(type="PaviLoggerHook")])), "'PaviLoggerHook' .* known: "),
    ],
)
def test_what_has_no_counterpart(old, message):
    with pytest.raises(UserError, match=message):
        converted(**old)
