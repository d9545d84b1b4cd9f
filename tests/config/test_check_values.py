"""Values that can't be right, each with its key."""

import math

import pytest
from mmengine.config import Config

from mmseg_gc.config import config_folder, load_config
from mmseg_gc.config.check_values import describe, fits
from mmseg_gc.errors import UserError
from mmseg_gc.registry import MODELS

ROW = config_folder() / "gcnet" / "gcnet_r50-d8_4xb2-40k_cityscapes-512x1024.py"
NONSENSE = {
    "train_cfg.max_iters": (0, -1, 1.5, "many", None, True, [3]),
    "train_cfg.val_interval": (0, -2000, None, "x"),
    "train_dataloader.batch_size": (0, -1, None, 2.5, "2"),
    "train_dataloader.num_workers": (-1, None, 1.5, 10**7),
    "train_dataloader.persistent_workers": ("yes", 2),
    "train_dataloader.dataset.data_root": (3, ["a"]),
    "train_dataloader.dataset.pipeline": ([], 3, ["x"], [None]),
    "train_dataloader.dataset.pipeline.3.crop_size": ((0, 4), (-1, 4), (4,), (4, 4, 4), "4x4"),
    "train_dataloader.dataset.pipeline.3.cat_max_ratio": (-0.1, 1.5, "x"),
    "train_dataloader.dataset.pipeline.2.scale": ((0, 10), (-2048, 1024), "x"),
    "train_dataloader.dataset.pipeline.4.prob": (-0.5, 1.5, math.nan, "x"),
    "model.type": ("", 3, None),
    "model.backbone": (None, 3, "ResNet"),
    "model.backbone.depth": (0, -50, "50", None),
    "model.backbone.in_channels": (0, -3, 3.0),
    "model.backbone.base_channels": (0, -64, 10**8),
    "model.backbone.strides": ((1, 0, 1, 1), (1, -2, 1, 1), "x", (1, None, 1, 1)),
    "model.backbone.dilations": ((1, 1, 0, 4), (1, 1, -2, 4), 3),
    "model.backbone.out_indices": ("x", (0, "a")),
    "model.backbone.norm_eval": ("no", 3),
    "model.backbone.norm_cfg.type": ("XN", 3, None),
    "model.backbone.norm_cfg.affine": ("no", 3),
    "model.decode_head.act_cfg": (dict(type="ReLU", inplace="no"),),
    "train_dataloader.dataset.pipeline.4.direction": ("sideways", ["vertical", "up"], 3),
    "model.decode_head.channels": (0, -1, "512"),
    "model.decode_head.num_classes": (0, -1),
    "model.decode_head.dropout_ratio": (-0.1, 1, 2, math.nan, "x"),
    "model.decode_head.ratio": (0, -0.25),
    "model.decode_head.align_corners": ("x", None),
    "model.decode_head.loss_decode.loss_weight": (-1, math.inf, "x"),
    "model.auxiliary_head.num_convs": (-1, 1.5),
    "model.data_preprocessor.std": ([0.0, 1.0, 1.0], [-1.0, 1.0, 1.0], "x"),
    "model.data_preprocessor.mean": ([math.nan, 1.0, 1.0], ["a", 1.0, 1.0], 3),
    "optim_wrapper.optimizer.lr": (-0.01, math.nan, math.inf, "0.01"),
    "optim_wrapper.optimizer.weight_decay": (-1, "x"),
    "optim_wrapper.optimizer.momentum": (-0.1, 2),
    "optim_wrapper.accumulative_counts": (0, -4, 2.5),
    "param_scheduler.0.eta_min": (-1, math.nan),
    "param_scheduler.0.end": (0, -1, "x"),
    "param_scheduler.0.begin": (-1,),
    "param_scheduler": (
        *(3, ["x"]),
        [dict(type="LinearLR", start_factor=0.0, by_epoch=False)],
        [dict(type="ConstantLR", factor=0, by_epoch=False)],
    ),
    "default_hooks.checkpoint": (3, "x"),
    "default_hooks.checkpoint.interval": (0, -2, "x"),
    "default_hooks.checkpoint.by_epoch": ("x", 5),
    "randomness.seed": (-1, 1.5, "x"),
    "env_cfg.cudnn_benchmark": (3, "x"),
    "resume": ("", 2.5),
    "load_from": (3,),
}


@pytest.fixture(scope="module")
def base():
    return load_config(ROW)


@pytest.mark.parametrize("key", NONSENSE)
def test_nonsense_is_refused_with_its_key(base, key):
    last = key.rpartition(".")[2]
    for value in NONSENSE[key]:
        cfg = Config(base.to_dict())
        with pytest.raises(UserError, match=rf"\b{last}\b") as caught:
            load_config(cfg, {key: value})
        assert "\n" not in str(caught.value), value


SENSE = {
    "train_dataloader.num_workers": (0,),
    "train_dataloader.persistent_workers": (False, 0),
    "model.backbone.frozen_stages": (-1, 2),
    "model.backbone.strides": ([1, 2, 1, 1],),
    "model.decode_head.dropout_ratio": (0, 0.5, -1),
    "model.decode_head.loss_decode.class_weight": ([1.0] * 19, "weights.json", None),
    "model.data_preprocessor.size": (None, [512, 1024]),
    "optim_wrapper.optimizer.lr": (0, 1),
    "optim_wrapper.paramwise_cfg": (
        # Names of parameters, and none of parts that are built.
        dict(custom_keys=dict(backbone=dict(lr_mult=0.0), decode_head=dict(decay_mult=0.0))),
    ),
    "default_hooks.checkpoint.interval": (-1,),
    "default_hooks.checkpoint.max_keep_ckpts": (-1, 3),
    "default_hooks.timer": (None,),
    "model.auxiliary_head": (None,),
    "train_dataloader.dataset.pipeline.2.scale": ([(2048, 1024), (1024, 512)],),
    "train_dataloader.dataset.pipeline.4.prob": ([0.25, 0.25],),
    "resume": (True, "auto"),
    "randomness.seed": (None, 0),
    "param_scheduler": ([],),
}


@pytest.mark.parametrize("key", SENSE)
def test_what_makes_sense_is_taken(base, key):
    for value in SENSE[key]:
        changes = {key: value}
        if key.endswith("prob"):
            changes[key.replace("prob", "direction")] = ["horizontal", "vertical"]
        load_config(Config(base.to_dict()), changes)


def test_steps_of_albumentations_are_its_own(base):
    inner = [dict(type="HorizontalFlip", p=0.5), dict(type="OneOf", transforms=[dict(type="Blur")])]
    pipeline = [*base.train_pipeline[:-1], dict(type="Albu", transforms=inner)]
    pipeline.append(dict(type="PackSegInputs"))
    load_config(Config(base.to_dict()), {"train_dataloader.dataset.pipeline": pipeline})
    pipeline[-2] = dict(type="Albu", transforms=inner, keymaps={})
    with pytest.raises(UserError, match="keymaps doesn't exist; did you mean 'keymap'"):
        load_config(Config(base.to_dict()), {"train_dataloader.dataset.pipeline": pipeline})


def test_mixed_data_sets_and_further_losses(base):
    inner = dict(base.train_dataloader.dataset, pipeline=base.train_pipeline[:2])
    mixed = dict(
        _delete_=True,
        type="MultiImageMixDataset",
        dataset=inner,
        pipeline=[dict(type="RandomMosaic", prob=1), *base.train_pipeline[2:]],
    )
    losses = [dict(type="CrossEntropyLoss"), dict(type="DiceLoss", loss_weight=3.0)]
    changes = {"train_dataloader.dataset": mixed, "model.decode_head.loss_decode": losses}
    load_config(Config(base.to_dict()), changes)
    losses[1]["use_sigmod"] = True
    with pytest.raises(UserError, match=r"loss_decode\.1\.use_sigmod doesn't exist; did you mean"):
        load_config(Config(base.to_dict()), changes)


def test_a_heads_sampler_is_one_of_pixels(base):
    sampler = dict(type="OHEMPixelSampler", thresh=0.7)
    load_config(Config(base.to_dict()), {"model.decode_head.sampler": sampler})
    for wrong, words in (
        (dict(type="InfiniteSampler"), "there is no task util 'InfiniteSampler' here"),
        (dict(sampler, tresh=0.5), r"decode_head\.sampler\.tresh doesn't exist"),
    ):
        with pytest.raises(UserError, match=words):
            load_config(Config(base.to_dict()), {"model.decode_head.sampler": wrong})


def test_a_users_own_class_may_see_it_otherwise(base):
    @MODELS.register_module(force=True)
    class OwnBackbone:
        def __init__(self, depth: int, stride: int = 1) -> None:
            pass

    own = dict(_delete_=True, type="OwnBackbone", depth="deep", stride=-1)
    load_config(Config(base.to_dict()), {"model.backbone": own})


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (3, int, True),
        (True, int, False),
        (3, float, True),
        ("3", float, False),
        (1, bool, True),
        (2, bool, False),
        (None, int | None, True),
        ([1, 2], tuple[int, int], True),
        ([1, 2, 3], tuple[int, int], False),
        ((1, "a"), list[int], False),
        ({}, dict | None, True),
        ("x", dict, False),
    ],
)
def test_fits(value, hint, expected):
    assert fits(value, hint) is expected


def test_describe():
    assert describe(int | None) == "a whole number or None"
    assert describe(tuple[int, int]) == "2 of (a whole number, a whole number)"
    assert describe(list[float]) == "a list of numbers"
