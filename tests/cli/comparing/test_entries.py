"""Configs that are compared are equal in all but the model."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest

from mmseg_gc.cli.comparing.entries import read_entries, require_equal, short_names
from mmseg_gc.config.options import merge_options
from mmseg_gc.errors import UserError

CONFIGS = Path(__file__).parents[3] / "configs"
FCN = str(CONFIGS / "camvid_heads/fcn_r18-d8_1xb8-20k_camvid-360x480.py")
GCNET = "gcnet_r18-d8_1xb8-20k_camvid-360x480"


@pytest.fixture(scope="module")
def pair():
    return read_entries([FCN, GCNET], lambda config: {}, "work", training=False)


@pytest.fixture
def changed_pair(pair):
    """The two with options merged into the second."""

    def make(options: dict):
        first, second = pair
        second = replace(second, cfg=copy.deepcopy(second.cfg))
        merge_options(second.cfg, options)
        return [first, second]

    return make


@pytest.mark.parametrize(
    ("stems", "names"),
    [
        (["fcn_r18_x", "gcnet-r16_r18_x"], ["fcn", "gcnet-r16"]),
        (["a_20k", "a_40k"], ["a_20k", "a_40k"]),
        (["x", "a_x"], ["x", "a_x"]),  # nothing would be left of the first
        (["one_x"], ["one_x"]),
    ],
)
def test_names_without_what_all_share(stems, names):
    assert short_names(stems) == names


def test_equal_ones_get_a_seed_and_save_often():
    short = {"train_cfg.max_iters": 100}
    entries = read_entries([FCN, GCNET], lambda config: short, "work", training=True)
    assert [entry.name for entry in entries] == ["fcn", "gcnet"]
    for entry in entries:
        assert entry.cfg.randomness.seed == 0
        assert entry.cfg.default_hooks.checkpoint.interval == 25  # the config's own is 2000
        assert entry.iters == 100
        assert str(entry.config) == f"{entry.cfg.work_dir}.py"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"train_cfg.max_iters": 9}, "iterations: fcn has 20000, gcnet 9; give iters=NUMBER"),
        (
            {"train_dataloader.batch_size": 3},
            "images an iteration: fcn has 8, gcnet 3; give batch=",
        ),
        ({"randomness": {"seed": 4}}, "seed: fcn has 0, gcnet 4; give seed="),
        ({"optim_wrapper.optimizer.lr": 0.1}, "optimizer: .*lr 0.01.*lr 0.1"),
        ({"optim_wrapper.type": "AmpOptimWrapper"}, "precision: .*; give amp=true"),
        ({"param_scheduler.0.power": 1.0}, "schedules: "),
        ({"train_dataloader.dataset.pipeline.3.crop_size": (96, 128)}, "training crops: "),
        ({"train_dataloader.dataset.data_root": "b"}, "training data: .*; name the same folders"),
        ({"test_dataloader.dataset.data_root": "b"}, "test data: .*; only tests of the same"),
    ],
)
def test_what_differs_is_named(changed, told, changed_pair):
    with pytest.raises(UserError, match=f"the configs differ in {told}"):
        require_equal(changed_pair(changed), training=True)


def test_trainings_may_differ_where_none_is_asked_for(changed_pair):
    changed = {"train_cfg.max_iters": 9, "train_dataloader.batch_size": 3}
    require_equal(changed_pair(changed), training=False)
    with pytest.raises(UserError, match="test data"):
        require_equal(changed_pair({"test_dataloader.dataset.data_root": "b"}), training=False)


def test_other_classes_are_named():
    both = [FCN, "gcnet_r50-d8_4xb2-40k_cityscapes-512x1024"]
    with pytest.raises(UserError, match="in classes: fcn_.* has 11, gcnet_.* 19; only models of"):
        read_entries(both, lambda config: {}, "work", training=False)


def test_a_detector_is_refused(monkeypatch):
    monkeypatch.setattr("mmseg_gc.cli.comparing.entries.is_detection", lambda cfg: True)
    with pytest.raises(UserError, match="is of a detector; compare takes segmentors alone"):
        read_entries([FCN], lambda config: {}, "work", training=False)


def test_the_heads_on_camvid_differ_in_their_heads_alone():
    """Ten heads on one encoder: what `docs/which-head.md` holds against each other."""
    paths = [*sorted(Path(FCN).parent.glob("*.py")), CONFIGS / f"gcnet/{GCNET}.py"]
    assert len(paths) == 10 and all(len(path.read_text().splitlines()) <= 15 for path in paths)
    entries = read_entries([str(path) for path in paths], lambda config: {}, "work", training=True)
    of_encoder = {repr(entry.cfg.model.backbone) for entry in entries}
    of_auxiliary = {repr(entry.cfg.model.auxiliary_head) for entry in entries}
    assert len(of_encoder) == len(of_auxiliary) == 1
    assert all(entry.cfg.model.decode_head.channels == 128 for entry in entries)
    heads = {entry.name: entry.cfg.model.decode_head for entry in entries}
    assert (heads["gcnet-r16"].ratio, heads["gcnet"].ratio) == (1 / 16, 1 / 4)
    block = heads["gcnet-avg-mul"]
    assert (block.pooling_type, block.fusion_types) == ("avg", ("channel_mul",))
    assert heads["gcnet-mul"].pooling_type == heads["gcnet"].pooling_type == "att"
    assert heads["gcnet-avg"].fusion_types == heads["gcnet"].fusion_types == ("channel_add",)
