import pytest
from mmengine.config import Config

from mmseg_gc.config.adapt import (
    adopt_scope,
    follow_ignore_index,
    head_ignore_index,
    name_own_hooks,
    place_preprocessor,
)


@pytest.mark.parametrize(
    ("scope", "read_as"),
    [(None, "mmseg_gc"), ("mmseg", "mmseg_gc"), ("mmdet", "mmdet"), ("mmseg_gc", "mmseg_gc")],
)
def test_the_scope_at_the_top(scope, read_as):
    cfg = Config({} if scope is None else dict(default_scope=scope))
    adopt_scope(cfg)
    assert cfg.default_scope == read_as


def test_the_scope_of_a_part():
    inner = dict(type="mmseg.FCNHead", loss=dict(type="CE", _scope_="mmseg"))
    cfg = Config(dict(model=dict(type="mmdet.FPN", heads=[inner, (dict(type="mmseg.A"),)])))
    adopt_scope(cfg)
    first, (second,) = cfg.model.heads
    assert (cfg.model.type, first.type, second["type"]) == ("mmdet.FPN", "FCNHead", "A")
    assert first.loss == dict(type="CE", _scope_="mmseg_gc")


def test_early_configs_name_the_storage_as_0_x_did():
    steps = [
        dict(type="LoadImageFromFile", file_client_args=dict(backend="disk")),
        dict(type="mmseg.LoadAnnotations", file_client_args=dict(backend="petrel")),
    ]
    cfg = Config(dict(tta_pipeline=steps))
    adopt_scope(cfg)
    assert cfg.tta_pipeline == [
        dict(type="LoadImageFromFile"),
        dict(type="LoadAnnotations", backend_args=dict(backend="petrel")),
    ]


def test_hooks_that_every_training_has_need_no_type():
    hooks = dict(
        label_check=dict(interval=5), preemption=dict(type="Own"), nonfinite_loss=None, own=dict()
    )
    cfg = Config(dict(default_hooks=hooks))
    name_own_hooks(cfg)
    assert cfg.default_hooks == dict(
        label_check=dict(type="mmseg_gc.LabelCheckHook", interval=5),
        preemption=dict(type="Own"),
        nonfinite_loss=None,
        own=dict(),
    )


def test_the_model_s_own_preprocessor_comes_first():
    top = dict(mean=[1])
    for model, found in (({}, top), (dict(data_preprocessor=dict(mean=[2])), dict(mean=[2]))):
        cfg = Config(dict(model=model, data_preprocessor=top))
        place_preprocessor(cfg)
        assert cfg.model.data_preprocessor == found


@pytest.mark.parametrize(
    ("model", "ignored"),
    [
        ({}, 255),
        (dict(decode_head=dict(ignore_index=11)), 11),
        (dict(decode_head=dict(ignore_index=None)), None),
        (dict(decode_head=[dict(ignore_index=3), dict(ignore_index=4)]), 4),
    ],
)
def test_what_heads_ignore(model, ignored):
    assert head_ignore_index(model) == ignored


def test_each_step_that_writes_or_skips_labels_follows():
    steps = [
        dict(type="Pad", pad_val=dict(img=7)),
        dict(type="Pad", pad_val=9),
        dict(type="RandomRotate"),
        dict(type="RandomCrop"),
        dict(type="RandomFlip"),
    ]
    data = dict(type="OwnDataset", pipeline=steps)
    cfg = Config(
        dict(
            model=dict(decode_head=dict(type="FCNHead", ignore_index=11), data_preprocessor={}),
            train_dataloader=dict(dataset=data),
            val_evaluator=[dict(type="IoUMetric"), dict(type="IoUMetric", ignore_index=0)],
        )
    )
    follow_ignore_index(cfg)
    assert cfg.train_dataloader.dataset.ignore_index == 11
    assert cfg.train_dataloader.dataset.pipeline == [
        dict(type="Pad", pad_val=dict(img=7, seg=11)),
        dict(type="Pad", pad_val=dict(img=9, seg=11)),
        dict(type="RandomRotate", seg_pad_val=11),
        dict(type="RandomCrop", ignore_index=11),
        dict(type="RandomFlip"),
    ]
    assert cfg.model.data_preprocessor.seg_pad_val == 11
    assert [one.ignore_index for one in cfg.val_evaluator] == [11, 0]
