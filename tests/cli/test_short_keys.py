"""Each short key: what it sets, and where it would do nothing."""

import pytest

from mmseg_gc.cli.short_keys import ABOUT, SETTERS, short_options
from mmseg_gc.config import load_config
from mmseg_gc.errors import UserError

NAME = "gcnet_r50-d8_4xb2-40k_cityscapes-512x1024"
TWO = dict(type="ConcatDataset", datasets=[dict(type="A", data_root=root) for root in "ab"])
FAR = dict(type="A", data_prefix=dict(img_path="/i", seg_map_path="/l"))
STARTED = dict(type="ResNetV1c", init_cfg=dict(type="Pretrained", checkpoint="w.pth"))
HEADS = dict.fromkeys(("decode_head", "auxiliary_head"), dict(in_channels=1))


@pytest.fixture(scope="module")
def cfg():
    return load_config(NAME, check=False)


def test_every_key_is_explained():
    assert ABOUT.keys() == SETTERS.keys()


@pytest.mark.parametrize(
    ("word", "options"),
    [
        ("crop=256", {"train_dataloader.dataset.pipeline.3.crop_size": (256, 256)}),
        ("crop=360x480", {"model.data_preprocessor.size": (360, 480)}),
        ("iters=2000", {"train_cfg.max_iters": 2000, "param_scheduler.0.end": 2000}),
        ("iters=50", {"train_cfg.val_interval": 50, "default_hooks.checkpoint.interval": 50}),
        ("iters=100", {"default_hooks.logger.interval": 6}),
        ("batch=3", {"train_dataloader.batch_size": 3}),
        ("lr=0.001", {"optim_wrapper.optimizer.lr": 0.001}),
        ("amp=true", {"optim_wrapper.type": "mmseg_gc.AmpOptimWrapper", "val_cfg.fp16": True}),
        ("workers=0", {f"{split}_dataloader.num_workers": 0 for split in ("train", "val", "test")}),
        ("val_interval=100", {"train_cfg.val_interval": 100}),
        ("seed=0", {"randomness.seed": 0}),
        ("data=/d", {f"{split}_dataloader.dataset.data_root": "/d" for split in ("train", "val")}),
        (
            "model=r101",
            {"model.backbone.depth": 101, "model.pretrained": "open-mmlab://resnet101_v1c"},
        ),
    ],
)
def test_what_a_key_sets(cfg, word, options):
    found = short_options([word], cfg)
    assert options.items() <= found.items()


def test_a_smaller_model_is_the_one_of_its_own_config(cfg):
    options = short_options(["model=r18"], cfg)
    small = load_config(NAME, options).model
    expected = load_config("gcnet_r18-d8_1xb8-20k_camvid-360x480", check=False).model
    assert small.backbone.depth == 18 and small.pretrained == expected.pretrained
    for head in ("decode_head", "auxiliary_head"):
        assert small[head].in_channels == expected[head].in_channels
        assert small[head].channels == expected[head].channels
    assert small.decode_head.num_classes == 19


@pytest.mark.parametrize(
    ("word", "changes", "told"),
    [
        ("iter=5", {}, "did you mean 'iters'?"),
        ("iters", {}, "is no KEY=VALUE"),
        ("iters=0", {}, "give a whole number from 1"),
        ("batch=2.5", {}, "give a whole number from 1"),
        ("lr=fast", {}, "give a number above 0"),
        ("crop=axb", {}, "HEIGHTxWIDTH"),
        ("model=r34", {}, "there are r18, r50 and r101"),
        ("amp=false", {}, "would do nothing: this config trains in float32 already"),
        ("val_interval=5", {"val_dataloader": None}, "would do nothing"),
        ("iters=5", {"train_cfg": dict(max_epochs=3)}, "would do nothing: this config trains by"),
        ("crop=64", {"train_dataloader": dict(dataset=dict(pipeline=[]))}, "would do nothing"),
        ("model=r18", {"model": dict(backbone=dict(type="ViT"))}, "isn't a ResNetV1c"),
        ("iters=5 iters=6", {}, "iters=5 and iters=6: give iters once"),
        ("val_interval=7 iters=5", {}, "val_interval=7 would do nothing: there are 5 iterations"),
        ("val_interval=50000", {}, "would do nothing: there are 40000 iterations"),
        ("iters=90", {"param_scheduler": [dict(begin=100, by_epoch=False)]}, "begins, at 100"),
        (
            "data=/d",
            {"train_dataloader": dict(dataset=TWO)},
            "train_dataloader has several folders",
        ),
        ("data=/d", {"val_dataloader": dict(dataset=FAR)}, "val_dataloader.dataset.data_prefix is"),
        (
            "model=r18",
            {"model": dict(backbone=STARTED, **HEADS)},
            "backbone.init_cfg is for another",
        ),
    ],
)
def test_refused(cfg, word, changes, told):
    with pytest.raises(UserError, match=told.replace("?", r"\?")):
        short_options(word.split(), {**cfg, **changes})


def test_what_is_given_wins_over_what_follows_in_any_order(cfg):
    for words in (["iters=100", "val_interval=5"], ["val_interval=5", "iters=100"]):
        options = short_options(words, cfg)
        assert options["train_cfg.max_iters"] == 100 and options["train_cfg.val_interval"] == 5


def test_full_precision_is_validated_in_full_precision(cfg):
    mixed = {"optim_wrapper": dict(type="AmpOptimWrapper"), "val_cfg": dict(fp16=True)}
    options = short_options(["amp=no"], {**cfg, **mixed})
    assert options == {"optim_wrapper.type": "OptimWrapper", "val_cfg.fp16": False}
