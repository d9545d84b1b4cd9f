"""What would make numbers wrong in silence, refused with the keys."""

import pytest

from mmseg_gc.config import config_folder, load_config
from mmseg_gc.errors import UserError

CAMVID = config_folder() / "gcnet" / "gcnet_r18-d8_1xb8-20k_camvid-360x480.py"
LOAD = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations")]


@pytest.mark.parametrize("nested", [False, True])
def test_normalising_twice_is_refused(nested):
    step = dict(type="Normalize", mean=[1.0] * 3, std=[2.0] * 3)
    step = dict(type="RandomApply", transforms=[step], prob=1.0) if nested else step
    with pytest.raises(UserError, match=r"pipeline\.\d.* and model\.data_preprocessor\.mean"):
        load_config(CAMVID, {"val_dataloader.dataset.pipeline.2": step})
    alone = {"model.data_preprocessor.mean": None, "model.data_preprocessor.std": None}
    load_config(CAMVID, {"val_dataloader.dataset.pipeline.2": step} | alone)


@pytest.mark.parametrize("nested", [False, True])
def test_a_label_that_is_turned_alone_is_refused(nested):
    flip = dict(type="RandomFlip", prob=1.0)
    inner = dict(type="RandomApply", transforms=[flip]) if nested else flip
    wrong = [*LOAD, inner, dict(type="PackSegInputs")]
    with pytest.raises(UserError, match=r"pipeline\.2.*RandomFlip.* of val_.*pipeline\.1"):
        load_config(CAMVID, {"val_dataloader.dataset.pipeline": wrong})
    load_config(CAMVID, {"val_dataloader.dataset.pipeline": [LOAD[0], flip, LOAD[1], wrong[-1]]})
    never = [*LOAD, dict(type="RandomFlip", prob=0), wrong[-1]]
    load_config(CAMVID, {"val_dataloader.dataset.pipeline": never})


def test_figures_of_one_name_are_refused():
    one, other = dict(type="IoUMetric"), dict(type="mmseg.IoUMetric", iou_metrics=["mDice"])
    with pytest.raises(UserError, match="val_evaluator has 2 IoUMetric with no prefix"):
        load_config(CAMVID, {"val_evaluator": [one, other]})
    load_config(CAMVID, {"val_evaluator": [one, dict(other, prefix="b")]})


def test_an_endless_test_is_refused():
    with pytest.raises(UserError, match="test_dataloader.sampler.type='InfiniteSampler' never"):
        load_config(CAMVID, {"test_dataloader.sampler": dict(type="InfiniteSampler")})
