from pathlib import Path

import pytest

from mmseg_gc.config import load_config, names
from mmseg_gc.config.names import KEYS, did_you_mean, is_read, misspelt, nearest, places
from mmseg_gc.errors import UserError


@pytest.mark.parametrize(
    ("name", "choices", "sentence"),
    [
        ("GCHaed", ["GCHead", "FCNHead"], "; did you mean 'GCHead'?"),
        ("nothing", ["a", "b"], "; known: a, b."),
        ("nothing", [], "; this package has nothing of the kind."),
    ],
)
def test_did_you_mean(name, choices, sentence):
    assert did_you_mean(name, choices) == sentence
    assert did_you_mean("zzz", ["a"], otherwise="look there") == "; look there"


def test_a_slip_is_told_from_another_name():
    assert misspelt("train_dataloder") == "train_dataloader"
    assert misspelt("train_dataloader") is None  # a key
    assert misspelt("data_root") is None and misspelt("lr_config") is None  # variable, old key
    assert misspelt("my_own_variable") is None
    assert nearest("tupe", ["type", "tap"]) is None  # too short for one letter to be a slip
    assert nearest("tpye", ["type", "tap"]) == "type"  # swapped letters are one at any length


def test_the_top_s_preprocessor_is_read_for_want_of_the_model_s():
    assert is_read("data_preprocessor", {}) and is_read("data_preprocessor", dict(model=dict(a=1)))
    assert not is_read("data_preprocessor", dict(model=dict(data_preprocessor=dict())))
    assert not is_read("norm_cfg", {})


def test_places_of_a_value_are_those_below_keys_that_are_read():
    cfg = dict(
        norm=dict(type="BN"),
        model=dict(a=dict(type="BN"), b=[dict(norm=dict(type="BN"))]),
        test_cfg=dict(number=1, flag=True),
    )
    assert places(dict(type="BN"), cfg) == ["model.a", "model.b.0.norm"]
    assert places(dict(type="BN"), cfg, limit=1) == ["model.a", "…"]
    assert places(1, cfg) == ["test_cfg.number"]  # and not the flag, which equals it


def test_no_name_stands_in_two_lists():
    assert not KEYS & names.READ_INSTEAD.keys()
    assert not names.VARIABLES.keys() & names.OLD_KEYS.keys()
    assert names.OLD_KEYS.keys() >= names.NEVER_VARIABLES


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("CCHead", "CCHead needs compiled operators"),
        ("PSAHead", "PSAHead needs compiled operators"),
        ("HRNet", "HRNet is no part of this package"),
        ("UNet", "UNet is no part of this package"),
    ],
)
def test_what_mmsegmentation_alone_has_is_refused_by_name(kind: str, says: str) -> None:
    key = "decode_head" if kind.endswith("Head") else "backbone"
    path = Path(__file__).parents[2] / "configs/fcn/fcn_r18-d8_4xb2-80k_cityscapes-512x1024.py"
    with pytest.raises(UserError, match=rf"model.{key}.type: {says}.*onedl-mmsegmentation"):
        load_config(path, {f"model.{key}.type": kind})
