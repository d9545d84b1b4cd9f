"""What weights were trained with is held against the config that they are loaded for."""

import pytest
from mmengine.config import Config

from mmseg_gc.apis import init_model
from mmseg_gc.checkpoint import load_checkpoint, save_checkpoint
from mmseg_gc.config import config_of_weights
from mmseg_gc.config.config_of_weights import stored_model, tell_other_config

MODEL = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0], bgr_to_rgb=True),
    backbone=dict(strides=(1, 2, 1, 1), depth=18),
    decode_head=[dict(align_corners=False, channels=8), dict(align_corners=True)],
    test_cfg=dict(mode="slide", strides=1),
)
OLD = """
norm_cfg = dict(type='BN')
img_norm_cfg = dict(mean=[1., 2., 3.], std=[4., 5., 7.], to_rgb=True)
model = dict(type='EncoderDecoder', pretrained=None, backbone=dict(depth=18))
"""


@pytest.fixture
def told(monkeypatch):
    told = []
    monkeypatch.setattr(config_of_weights, "print_log", lambda text, **_: told.append(text))
    return told


def _text(**changes) -> str:
    cfg = Config(dict(model=MODEL))
    cfg.merge_from_dict(changes)
    return cfg.pretty_text


@pytest.mark.parametrize(
    "changes,said",
    [
        ({}, ""),
        ({"model.data_preprocessor.mean": [1, 2, 3]}, ""),  # the same numbers
        ({"model.backbone.depth": 50, "model.test_cfg.strides": 2}, ""),  # not of that kind
        (
            {"model.data_preprocessor.std": [1.0, 1.0, -1.0]},
            "model.data_preprocessor.std=[4.0, 5.0, 6.0], where they had [1.0, 1.0, -1.0]",
        ),
        (
            {"model.data_preprocessor.bgr_to_rgb": False},
            "model.data_preprocessor.bgr_to_rgb=True, where they had False",
        ),
        (
            {"model.backbone.strides": (1, 2, 2, 2)},
            "model.backbone.strides=[1, 2, 1, 1], where they had [1, 2, 2, 2]",
        ),
        (
            {"model.decode_head.1.align_corners": False},
            "model.decode_head.1.align_corners=True, where they had False",
        ),
    ],
)
def test_other_keys_are_told_with_both_values(changes, said, told):
    tell_other_config(MODEL, stored_model({"cfg": _text(**changes)}))
    assert len(told) == bool(said) and all(said in text for text in told)


def test_pixels_of_mmseg_0_stand_beside_the_model(told):
    tell_other_config(MODEL, stored_model({"config": OLD}))
    assert len(told) == 1 and ".std=[4.0, 5.0, 6.0], where they had [4.0, 5.0, 7.0]" in told[0]
    assert "mean" not in told[0] and "bgr_to_rgb" not in told[0]


@pytest.mark.parametrize(
    "text",
    [
        None,
        7,
        "",
        "model = 3",
        "model = dict(",
        "model = [" * 9000,
        "model = " + "-" * 90000 + "1",
        "\0",
        "model = dict(data_preprocessor=dict(mean=[0.0]))" + "#" * (1 << 20),
        "model = dict(**{'a': 1}, data_preprocessor=[1])",
        "raise SystemExit(1)\nmodel = exit()",
        "model = dict(data_preprocessor=dict(mean=MEAN, std=[1.0], bgr_to_rgb=False))",
    ],
)
def test_what_is_no_text_of_a_config_tells_nothing(text, told):
    tell_other_config(MODEL, stored_model({"cfg": text}))
    assert told == []


def test_a_model_is_made_with_a_warning(tiny_files, tmp_path, told):
    config, weights = tiny_files
    content = load_checkpoint(weights)
    content["meta"] = {"cfg": Config.fromfile(config).pretty_text}
    save_checkpoint(content, tmp_path / "w.pth")
    init_model(config, tmp_path / "w.pth")
    assert told == []
    init_model(config, tmp_path / "w.pth", cfg_options={"model.decode_head.align_corners": True})
    assert len(told) == 1 and "model.decode_head.align_corners=True" in told[0]
