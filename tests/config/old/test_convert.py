"""A config of 0.x is read as the config of 1.x of the same row."""

import pytest
from mmengine.config import Config

from mmseg_gc.config import config_folder, load_config
from mmseg_gc.config.old import convert_config, is_old
from mmseg_gc.errors import UserError

ROW = config_folder() / "gcnet" / "gcnet_r50-d8_4xb2-40k_cityscapes-512x1024.py"


def plain(value):
    """The same for tuples and lists."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


@pytest.fixture(scope="module")
def both(tmp_path_factory, cityscapes_row):
    path = tmp_path_factory.mktemp("old") / "gcnet_r50-d8_512x1024_40k_cityscapes.py"
    path.write_text(cityscapes_row)
    return plain(load_config(path).to_dict()), plain(load_config(ROW).to_dict())


def test_the_row_of_old_is_the_row_of_today_key_by_key(both):
    old, new = both
    # `cat_max_ratio` and the rest of every pipeline are compared with all else.
    new["default_hooks"]["checkpoint"].pop("save_best")  # 0.x kept the best if `evaluation` says so
    for cfg in both:
        for loader in ("val_dataloader", "test_dataloader"):
            cfg[loader].pop("num_workers")  # of one number for all in 0.x
    same = [
        *("model", "train_dataloader", "val_dataloader", "test_dataloader", "val_evaluator"),
        *("test_evaluator", "optim_wrapper", "param_scheduler", "train_cfg", "val_cfg"),
        *("test_cfg", "default_hooks", "env_cfg", "visualizer", "log_processor", "log_level"),
        *("load_from", "resume", "tta_model", "default_scope"),
    ]
    for key in same:
        assert old[key] == new[key], key
    # All else: variables of the files, of no use to a run, and the views of --aug-test.
    assert set(old) - set(same) <= {"tta_pipeline", "crop_size", "data_root", "work_dir"}


def test_the_views_are_of_the_images_size_times_a_ratio(both):
    """1.x scales each image by a factor; of 2048 x 1024 that is the size that 0.x names."""
    old, new = (cfg["tta_pipeline"][1]["transforms"] for cfg in both)
    factors = [view["scale_factor"] for view in new[0]]
    assert [view["scale"] for view in old[0]] == [[int(2048 * f), int(1024 * f)] for f in factors]
    assert old[1:] == new[1:]


def test_what_is_old():
    assert is_old(dict(data=dict(samples_per_gpu=2)))
    assert is_old(dict(lr_config=dict(policy="poly")))
    assert not is_old(dict(lr_config=dict(policy="poly")), {"lr_config"})
    assert not is_old(dict(data=dict(root="x"), model=dict()))
    assert not is_old(dict(data=dict(train=dict()), train_dataloader=dict()))


def test_each_group_is_told_in_one_line(monkeypatch):
    said = []
    monkeypatch.setattr(
        "mmseg_gc.config.old.convert.print_log", lambda text, **_: said.append(text)
    )
    convert_config(Config(dict(data=dict(samples_per_gpu=1), seed=3, auto_resume=True)))
    assert "0.x in the config: auto_resume -> resume." in said
    assert "0.x in the config: seed -> randomness." in said


def test_settings_of_the_model_at_the_top():
    old = dict(model=dict(type="E"), test_cfg=dict(mode="whole"), train_cfg=dict(), total_iters=9)
    new = convert_config(Config(old))
    assert new.model.test_cfg == dict(mode="whole") and new.model.train_cfg == {}
    assert new.test_cfg == dict(type="TestLoop")


def test_options_of_old_and_new_keys(tmp_path, cityscapes_row):
    path = tmp_path / "old.py"
    path.write_text(cityscapes_row)
    options = {"data.samples_per_gpu": 5, "optimizer.lr": 0.5, "train_cfg.max_iters": 7}
    cfg = load_config(path, options)
    assert cfg.train_dataloader.batch_size == 5
    assert cfg.optim_wrapper.optimizer.lr == 0.5
    assert cfg.train_cfg.max_iters == 7


def test_files_of_old_that_build_on_each_other(tmp_path, cityscapes_row):
    (tmp_path / "base.py").write_text(cityscapes_row)
    path = tmp_path / "leaf.py"
    path.write_text(
        "_base_ = './base.py'\nmodel = dict(backbone=dict(depth=101))\n"
        "optimizer = dict(lr=0.02)\ndata = dict(samples_per_gpu=4)\n"
        "runner = dict(max_iters=80000)\nevaluation = dict(interval=8000)\n"
    )
    cfg = load_config(path)
    assert cfg.model.backbone.depth == 101
    assert cfg.optim_wrapper.optimizer == dict(
        type="SGD", lr=0.02, momentum=0.9, weight_decay=0.0005
    )
    assert cfg.train_dataloader.batch_size == 4
    assert (cfg.train_cfg.max_iters, cfg.train_cfg.val_interval) == (80000, 8000)
    assert cfg.param_scheduler[0].end == 80000


def test_a_config_object_of_old_is_converted_too():
    old = dict(data=dict(samples_per_gpu=3, train=dict(type="CustomDataset", pipeline=[])))
    assert load_config(Config(old), check=False).train_dataloader.batch_size == 3


def test_a_misspelt_key_of_1x_in_an_old_file(tmp_path, cityscapes_row):
    path = tmp_path / "old.py"
    path.write_text(cityscapes_row + "modle = dict()\n")
    with pytest.raises(UserError, match="'modle' in .* did you mean 'model'"):
        load_config(path)
