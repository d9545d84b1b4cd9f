"""Options of parts of a model; what each parameter gets is worked out by hand."""

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import nn

from mmseg_gc.engine import DefaultOptimWrapperConstructor
from mmseg_gc.errors import UserError


def build(paramwise_cfg, **optimizer):
    model = nn.ModuleDict(
        dict(backbone=nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)), head=nn.Linear(1, 1))
    )
    cfg = dict(optimizer=dict(type="SGD", lr=0.1) | optimizer, paramwise_cfg=paramwise_cfg)
    with DefaultScope.overwrite_default_scope("mmseg_gc"):
        optim_wrapper = build_optim_wrapper(model, cfg)
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {
        names[group["params"][0]]: (group["lr"], group["weight_decay"])
        for group in optim_wrapper.optimizer.param_groups
    }


def test_each_key_reaches_the_parameters_that_it_names():
    given = build(
        dict(
            custom_keys={"backbone": dict(lr_mult=0.0), "backbone.1": dict(decay_mult=0.5)},
            bias_lr_mult=2.0, bias_decay_mult=0.0,
        ),
        weight_decay=0.01,
    )  # fmt: skip
    assert given == {
        "backbone.0.weight": (0.0, 0.01),
        "backbone.0.bias": (0.0, 0.01),
        "backbone.1.weight": (0.1, 0.005),
        "backbone.1.bias": (0.1, 0.005),
        "head.weight": (0.1, 0.01),
        "head.bias": (0.2, 0.0),
    }
    norms = build(dict(norm_decay_mult=0.0), weight_decay=0.01)
    assert [name for name, (_, decay) in norms.items() if decay == 0] == [
        "backbone.1.weight",
        "backbone.1.bias",
    ]


@pytest.mark.parametrize(
    ("paramwise_cfg", "path", "hint"),
    [
        (dict(norm_decay_mul=0.0), "norm_decay_mul", "'norm_decay_mult'"),
        (dict(custom_keys=dict(head=dict(lr_mul=10))), "custom_keys.head.lr_mul", "'lr_mult'"),
        (
            dict(custom_keys=dict(head=dict(weight_decay_mult=0.0))),
            "custom_keys.head.weight_decay_mult",
            "'weight_decay'",
        ),
    ],
)
def test_a_key_that_nothing_reads_is_named(paramwise_cfg, path, hint):
    with pytest.raises(
        UserError, match=rf"paramwise_cfg\.{path} doesn't exist; did you mean {hint}"
    ):
        build(paramwise_cfg, weight_decay=0.01)


def test_an_option_of_the_optimizer_is_a_key():
    assert build(dict(custom_keys=dict(head=dict(momentum=0.5))))["head.weight"] == (0.1, 0)


def test_another_optimizer_may_read_what_it_likes():
    class LARS(torch.optim.SGD):
        """One that reads ``lars_exclude`` from its groups."""

    cfg = dict(custom_keys=dict(head=dict(lars_exclude=True)))
    assert "head.weight" in build(cfg, type=LARS)


@pytest.mark.parametrize(
    "cfg", [dict(norm_decay_mult=0), dict(custom_keys=dict(a=dict(decay_mult=0)))]
)
def test_a_share_of_no_decay(cfg):
    with pytest.raises(
        UserError, match=r"decay_mult is a share of .*weight_decay, which isn't set"
    ):
        build(cfg)


def test_a_part_that_no_parameter_is_of_is_said(caplog):
    logger = MMLogger.get_instance("paramwise", logger_name="paramwise")
    logger.addHandler(caplog.handler)
    build(dict(custom_keys={"bakcbone": dict(lr_mult=0.0), "head": dict(lr_mult=0.0)}))
    assert caplog.text.count("no parameter's name has") == 1
    assert "'bakcbone'" in caplog.text and "backbone.0.weight and head.bias" in caplog.text


def test_of_its_scope():
    from mmseg_gc.registry import OPTIM_WRAPPER_CONSTRUCTORS

    kind = OPTIM_WRAPPER_CONSTRUCTORS.get("DefaultOptimWrapperConstructor")
    assert kind is DefaultOptimWrapperConstructor
