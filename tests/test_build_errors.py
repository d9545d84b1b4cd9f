"""What can't be built names the key of the config."""

import pytest
import torch
from mmengine.config import Config

from mmseg_gc.build_errors import explain_builds
from mmseg_gc.config import config_folder, load_config
from mmseg_gc.engine import SegRunner
from mmseg_gc.errors import UserError
from mmseg_gc.registry import DATASETS, HOOKS, MODELS, OPTIMIZERS

CAMVID = config_folder() / "gcnet" / "gcnet_r18-d8_1xb8-20k_camvid-360x480.py"


@MODELS.register_module(force=True)
class FragileHead(torch.nn.Module):
    def __init__(self, sharpness=1.0, loss_decode=None):
        super().__init__()
        if loss_decode is not None:
            self.loss_decode = MODELS.build(loss_decode)
        torch.nn.Linear(3, 3)[sharpness]


@HOOKS.register_module(force=True)
class FragileHook:
    def __init__(self, every):
        raise RuntimeError(f"every {every}th is too often")


@DATASETS.register_module(force=True)
class FragileDataset:
    def __init__(self, split="train", **kwargs):
        raise ValueError(f"no {split}\nand a second line")


@OPTIMIZERS.register_module(force=True)
class FragileOptimizer(torch.optim.SGD):
    def __init__(self, params, lr, warmth=1):
        raise AssertionError("warmth must be even")


def run(tmp_path, train=True, **changes):
    small = {
        **{f"model.backbone.{width}_channels": 8 for width in ("base", "stem")},
        **{f"model.{head}.channels": 8 for head in ("decode_head", "auxiliary_head")},
        **{f"{loader}_dataloader.num_workers": 0 for loader in ("train", "val", "test")},
        "model.decode_head.in_channels": 64,
        "model.auxiliary_head.in_channels": 32,
        "model.pretrained": None,
        "norm_cfg.type": "BN",
        "log_level": "ERROR",
    }
    changes = {key.replace("__", "."): value for key, value in changes.items()}
    cfg = load_config(CAMVID, small | changes, work_dir=tmp_path, check=False)
    runner = SegRunner.from_cfg(cfg)
    if train:
        runner.train()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model__decode_head": dict(_delete_=True, type="FragileHead", sharpness=7)},
            r"config key model\.decode_head \(FragileHead\) doesn't work: TypeError: .* "
            r"\(test_build_errors.py, line \d+\)",
        ),
        (
            {"model__backbone__norm_cfg__epsilon": 1},
            r"config key model\.backbone\.norm_cfg\.epsilon=1 doesn't work: TypeError: got an "
            "unexpected keyword argument 'epsilon'",
        ),
        ({"model__decode_head__loss_decode__type": "Lost"}, r"there is no model 'Lost' here"),
        (
            {"model__backbone": dict(_delete_=True, type="ResNet")},
            r"config key model\.backbone lacks 'depth', which has to be set",
        ),
        (
            {"custom_hooks": [dict(type="FragileHook", every=3)]},
            r"config key custom_hooks\.0\.every=3 doesn't work: RuntimeError: every 3th",
        ),
        (
            {"val_dataloader__dataset": dict(_delete_=True, type="FragileDataset", split="val")},
            r"config key val_dataloader\.dataset\.split='val' doesn't work: ValueError: no val \(",
        ),
        (
            {"optim_wrapper__optimizer": dict(_delete_=True, type="FragileOptimizer", lr=1)},
            r"optim_wrapper\.optimizer \(FragileOptimizer\) doesn't work: AssertionError: warmth",
        ),
        ({"randomness": dict(sede=1)}, "unexpected keyword argument 'sede'"),
    ],
)
def test_a_run(changes, message, tmp_path, camvid_root, monkeypatch):
    roots = {f"{x}_dataloader__dataset__data_root": str(camvid_root) for x in ("train", "test")}
    if "val_dataloader__dataset" in changes:
        roots["val_dataloader__dataset"] = changes["val_dataloader__dataset"]
    else:
        roots["val_dataloader__dataset__data_root"] = str(camvid_root)
    with pytest.raises(UserError, match=message) as caught:
        run(tmp_path, **(roots | changes))
    assert caught.value.__cause__ is not None
    assert "\n" not in str(caught.value)


def test_of_two_equal_parts_the_one_that_was_built_is_named(tmp_path):
    fragile = dict(_delete_=True, type="FragileDataset", split="both")
    same = {f"{loader}_dataloader.dataset": fragile for loader in ("val", "test")}
    cfg = load_config(CAMVID, same | {"model.pretrained": None}, work_dir=tmp_path, check=False)
    runner = SegRunner.from_cfg(cfg)
    with pytest.raises(UserError, match=r"config key test_dataloader\.dataset\.split='both'"):
        runner.test()
    with pytest.raises(UserError, match=r"config key val_dataloader\.dataset\.split='both'"):
        runner.val()


def test_a_run_without_a_model(tmp_path):
    cfg = load_config(CAMVID, work_dir=tmp_path)
    cfg.pop("model")
    with pytest.raises(UserError, match="the config has no 'model', which a run needs"):
        SegRunner.from_cfg(cfg)


def test_a_part_by_itself():
    with pytest.raises(UserError, match=r"^config key loss_decode: CrossEntropyLoss|loss_decode"):
        MODELS.build(
            dict(type="FragileHead", loss_decode=dict(type="CrossEntropyLoss", reduction="x"))
        )


def test_an_assertion_without_words_tells_its_condition(tmp_path):
    # mmcv's, in a file whose assertions pytest leaves as they are.
    with pytest.raises(UserError, match=r"model\.backbone.*: it needs 'num_groups' in cfg_\.$"):
        run(tmp_path, norm_cfg__type="GN")


def test_the_sentence_of_a_part_gets_its_key(tmp_path):
    with pytest.raises(UserError, match=r"^config key model\.backbone: ResNetV1c has no depth=57"):
        run(tmp_path, model__backbone__depth=57)


def test_what_no_build_raised_stays_as_it_is():
    with pytest.raises(ZeroDivisionError), explain_builds({"a": {"type": "x"}}):
        _ = 1 / 0
    with pytest.raises(KeyboardInterrupt), explain_builds({}):
        raise KeyboardInterrupt


def test_an_error_of_training_is_no_build_error(tmp_path, camvid_root, monkeypatch):
    def forward(self, x):
        raise RuntimeError("in forward")

    model = MODELS.get("ResNetV1c")
    monkeypatch.setattr(model, "forward", forward)
    loaders = {
        f"{x}_dataloader__dataset__data_root": str(camvid_root) for x in ("train", "val", "test")
    }
    with pytest.raises(RuntimeError, match="in forward") as caught:
        run(tmp_path, **loaders)
    assert not isinstance(caught.value, UserError)


def test_mmengine_still_keeps_the_config_where_it_is_looked_for():
    """Its frames: where the names in these go, keys can't be named any more."""
    from mmengine.registry import build_functions
    from mmengine.runner import Runner

    assert "cfg" in build_functions.build_from_cfg.__code__.co_varnames
    assert "cfg" in build_functions.build_scheduler_from_cfg.__code__.co_varnames
    assert "dataloader" in Runner.build_dataloader.__code__.co_varnames
    assert isinstance(load_config(CAMVID), Config)
