"""A notebook's way: mmengine reads the config and builds the runner's parts."""

import importlib

from mmengine import registry as root
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmseg_gc.config import config_folder
from mmseg_gc.models import EncoderDecoder, GCHead
from mmseg_gc.registry import MODELS

CAMVID = config_folder() / "gcnet" / "gcnet_r18-d8_1xb8-20k_camvid-360x480.py"


def test_a_model_is_built_under_mmsegmentations_scope():
    cfg = Config.fromfile(CAMVID)
    assert cfg.default_scope == "mmseg"
    cfg.model.pretrained = None
    with DefaultScope.overwrite_default_scope("mmseg"):
        assert isinstance(root.MODELS.build(cfg.model), EncoderDecoder)


def test_names_with_the_scope_in_front():
    importlib.import_module("mmseg.registry")
    assert root.MODELS.get("mmseg.GCHead") is MODELS.get("mmseg.GCHead") is GCHead
    assert "mmseg" in root.HOOKS.children


def test_what_is_registered_there_is_registered_here():
    importlib.import_module("mmseg.registry")

    class Own:
        pass

    root.MODELS.children["mmseg"].register_module(name="OwnOfScope", module=Own)
    try:
        assert MODELS.get("OwnOfScope") is Own
    finally:
        MODELS.module_dict.pop("OwnOfScope")
