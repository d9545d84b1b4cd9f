"""Configs with one fault each: one sentence, no traceback, no hang, and no nonsense taken."""

import contextlib
import gc
import importlib.util
import logging
import random
import sys
import warnings
from pathlib import Path

import pytest
from harness import fuzz

from mmseg_gc.config import config_folder, load_config
from mmseg_gc.errors import UserError

CAMVID = config_folder() / "gcnet" / "gcnet_r18-d8_1xb8-20k_camvid-360x480.py"
MUTATIONS = Path(__file__).parents[1] / "config" / "mutations.py"


@pytest.fixture(scope="module")
def faults():
    """The module that makes faults and builds what has them."""
    spec = importlib.util.spec_from_file_location("mutations", MUTATIONS)
    module = sys.modules["mutations"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def base(camvid_root):
    """A small config with a value for most keys, as a run would write it down."""
    loaders = ("train_dataloader", "val_dataloader", "test_dataloader")
    options = {
        **{f"{name}.num_workers": 0 for name in loaders},
        **{f"{name}.persistent_workers": False for name in loaders},
        **{f"model.{head}.channels": 8 for head in ("decode_head", "auxiliary_head")},
        "model.decode_head.in_channels": 64,
        "model.auxiliary_head.in_channels": 32,
        "model.backbone.base_channels": 8,
        "model.backbone.stem_channels": 8,
        "model.pretrained": None,
        "crop_size": (32, 32),
        "data_root": str(camvid_root),
        "norm_cfg.type": "BN",
        "optim_wrapper.clip_grad": dict(max_norm=1.0, norm_type=2),
        "optim_wrapper.paramwise_cfg": dict(custom_keys=dict(head=dict(lr_mult=10.0))),
        "train_cfg.max_iters": 2,
        "train_cfg.val_interval": 2,
        "param_scheduler.0.end": 2,
        "custom_hooks": [dict(type="EMAHook", momentum=2e-4)],
        "randomness.seed": 0,
        "log_level": "ERROR",
    }
    cfg = load_config(CAMVID, options).to_dict()
    # A run's own copy has the variables too; nothing reads them any more.
    variables = ("crop_size", "data_root", "norm_cfg", "optimizer", "data_preprocessor")
    for name in (*variables, "train_pipeline", "test_pipeline", "dataset_type", "img_ratios"):
        cfg.pop(name)
    cfg.pop("vis_backends")
    return cfg


@contextlib.contextmanager
def quiet():
    """No log, and no full garbage collections (each data set asks for one)."""
    logging.disable(logging.CRITICAL)
    gc.freeze()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        gc.unfreeze()
        logging.disable(logging.NOTSET)


@pytest.fixture
def case(faults, base, tmp_path):
    def build(number, folder):
        fault = faults.mutation(base, random.Random(number))
        try:
            faults.build(fault.apply(base), tmp_path)
        except UserError:
            raise
        except Exception as error:
            raise AssertionError(f"{fault}: {type(error).__name__}: {error}") from error
        assert not faults.is_nonsense(fault), f"{fault}: taken"
        return "built"

    return build


def test_the_config_itself_is_built(faults, base, tmp_path):
    with quiet():
        faults.build(base, tmp_path)


def test_sixty_faults(case):
    with quiet():
        assert fuzz(case, 0, 60)["refused"] > 10


@pytest.mark.slow
def test_seven_hundred_faults(case):
    with quiet():
        assert fuzz(case, 1000, 1700)["refused"] > 100


@pytest.mark.slow
def test_what_is_built_also_trains(faults, base, tmp_path):
    """Some of the faults that are taken, for an iteration: a sentence at the latest there."""
    wrong, trained = {}, 0
    with quiet():
        for seed in range(2000, 2060):
            fault = faults.mutation(base, random.Random(seed))
            try:
                faults.build(fault.apply(base), tmp_path, iterate=True)
                trained += 1
            except UserError:
                pass
            except Exception as error:
                wrong[f"{seed}: {fault}"] = f"{type(error).__name__}: {error}"
    assert trained > 5
    assert wrong == {}
