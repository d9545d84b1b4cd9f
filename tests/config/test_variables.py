"""What a file or an option sets anew of its bases' variables, and where it arrives."""

import logging

import pytest
from mmengine.config import Config
from mmengine.config import config as reader

from mmseg_gc.config import config_folder, load_config
from mmseg_gc.errors import UserError

ROW = config_folder() / "gcnet" / "gcnet_r50-d8_4xb2-40k_cityscapes-512x1024.py"
OWN = f'_base_ = "{ROW}"\n'


def write(path, text):
    path.write_text(text)
    return path


def norm_types(cfg):
    parts = (cfg.model.backbone, cfg.model.decode_head, cfg.model.auxiliary_head)
    return [part.norm_cfg.type for part in parts]


def data_roots(cfg):
    loaders = (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader)
    return [loader.dataset.data_root for loader in loaders]


SET_ANEW = {
    "optimizer.lr": (
        {"optimizer": {"lr": 0.005}},
        lambda cfg: cfg.optim_wrapper.optimizer,
        dict(type="SGD", lr=0.005, momentum=0.9, weight_decay=0.0005),
    ),
    "norm_cfg.type": ({"norm_cfg": {"type": "BN"}}, norm_types, ["BN"] * 3),
    "data_root": ({"data_root": "/elsewhere"}, data_roots, ["/elsewhere"] * 3),
    "crop_size": (
        {"crop_size": (64, 128)},
        lambda cfg: [
            cfg.train_dataloader.dataset.pipeline[3].crop_size,
            cfg.model.data_preprocessor["size"],
        ],
        [(64, 128)] * 2,
    ),
    "data_preprocessor.mean": (
        {"data_preprocessor": {"mean": [0.0, 0.0, 0.0]}},
        lambda cfg: (cfg.model.data_preprocessor.mean, cfg.model.data_preprocessor.std[0]),
        ([0.0, 0.0, 0.0], 58.395),
    ),
    "test_pipeline": (
        {"test_pipeline": [{"type": "LoadImageFromFile"}]},
        lambda cfg: [len(x.dataset.pipeline) for x in (cfg.val_dataloader, cfg.test_dataloader)],
        [1, 1],
    ),
    "dataset_type": (
        {"dataset_type": "CityscapesDataset"},
        lambda cfg: cfg.val_dataloader.dataset.type,
        "CityscapesDataset",
    ),
}


@pytest.mark.parametrize("name", SET_ANEW)
@pytest.mark.parametrize("how", ["a child", "a grandchild", "YAML", "an option"])
def test_a_variable_set_anew_arrives_everywhere(name, how, tmp_path):
    change, place, expected = SET_ANEW[name]
    [(variable, value)] = change.items()
    if how == "an option":
        top, _, inner = name.partition(".")
        cfg = load_config(ROW, {name: value[inner] if inner else value})
    elif how == "YAML":
        if name == "crop_size":
            pytest.skip("YAML has no tuples")
        cfg = load_config(write(tmp_path / "own.yaml", f"_base_: {ROW}\n{variable}: {value}\n"))
    else:
        path = write(tmp_path / "own.py", OWN + f"{variable} = {value!r}\n")
        if how == "a grandchild":
            path = write(tmp_path / "leaf.py", "_base_ = 'own.py'\nrandomness = dict(seed=1)\n")
        cfg = load_config(path)
    assert place(cfg) == expected


def test_it_is_said_where(tmp_path, caplog, monkeypatch):
    said = []
    monkeypatch.setattr("mmseg_gc.config.read.print_log", lambda text, **_: said.append(text))
    load_config(write(tmp_path / "own.py", OWN + "optimizer = dict(lr=0.005)\n"))
    assert said == ["optimizer set anew, carried through to optim_wrapper.optimizer.lr=0.005."]


def test_a_key_at_its_own_place_wins_and_that_is_said(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("mmseg_gc.config.read.print_log", lambda text, **_: said.append(text))
    text = OWN + "optimizer = dict(lr=0.005)\noptim_wrapper = dict(optimizer=dict(lr=0.02))\n"
    cfg = load_config(write(tmp_path / "own.py", text))
    assert cfg.optim_wrapper.optimizer.lr == 0.02
    assert len(said) == 1 and "optimizer is set anew and changes nothing" in said[0]
    both = {"optimizer.lr": 0.005, "optim_wrapper.optimizer.lr": 0.02}
    assert load_config(ROW, both).optim_wrapper.optimizer.lr == 0.02
    assert "optim_wrapper.optimizer.lr is set as well, and counts" in said[-1]


def test_a_file_that_reads_its_own_variable_says_where_it_goes(tmp_path):
    """As in mmsegmentation's own configs, which test one data set and validate on another."""
    text = OWN + (
        "test_pipeline = [dict(type='LoadImageFromFile')]\n"
        "test_dataloader = dict(dataset=dict(pipeline=test_pipeline))\n"
    )
    cfg = load_config(write(tmp_path / "own.py", text))
    assert len(cfg.test_dataloader.dataset.pipeline) == 1
    assert len(cfg.val_dataloader.dataset.pipeline) == 4


def test_an_option_also_reaches_what_the_file_itself_builds(tmp_path):
    text = OWN + "crop_size = (64, 64)\nmodel = dict(data_preprocessor=dict(size=crop_size))\n"
    cfg = load_config(write(tmp_path / "own.py", text), {"crop_size": (32, 32)})
    assert cfg.model.data_preprocessor["size"] == (32, 32)
    assert cfg.train_dataloader.dataset.pipeline[3].crop_size == (32, 32)


def test_strings_and_items_are_built_anew(tmp_path):
    write(tmp_path / "base.py", "root = 'a/'\nload_from = root + 'x.pth'\nlog_level = root\n")
    path = write(tmp_path / "own.py", "_base_ = 'base.py'\nroot = 'b/'\n")
    assert load_config(path, check=False).load_from == "b/x.pth"
    assert load_config(path, {"root": "c/"}, check=False).load_from == "c/x.pth"
    cfg = load_config(ROW, {"train_pipeline.3.cat_max_ratio": 0.5})
    assert cfg.train_dataloader.dataset.pipeline[3].cat_max_ratio == 0.5


def test_delete_replaces_the_whole(tmp_path):
    path = write(tmp_path / "own.py", OWN + "optimizer = dict(_delete_=True, type='Adam')\n")
    assert load_config(path).optim_wrapper.optimizer == dict(type="Adam")


def test_what_is_made_of_the_bases_own_value_isnt_made_twice(tmp_path):
    text = OWN + "crop_size = tuple(n // 2 for n in _base_.crop_size)\n"
    with pytest.raises(UserError, match=r"own.py sets 'crop_size', which nothing reads"):
        load_config(write(tmp_path / "own.py", text))


def test_the_packages_own_configs_are_consistent():
    """No variable that one of them sets again would change what another reads."""
    from pathlib import Path

    from mmseg_gc.config.read import KEYS, _changes
    from mmseg_gc.config.variables import Reading

    for name in ("r50-d8_4xb2-40k_cityscapes-769x769", "r50-d8_4xb4-20k_voc12aug-512x512"):
        path = config_folder() / "gcnet" / f"gcnet_{name}.py"
        reading = Reading(KEYS, Path("/nowhere"))
        with reading.watch(carries=False):
            before = Config.fromfile(path)
        with reading.watch(carries=True):
            after = Config.fromfile(path)
        assert _changes(before, after) == []


def test_mmengine_has_what_reading_hooks_into():
    """Private names: where these go, files have to be read in another way."""
    assert callable(Config._file2dict) and callable(Config._get_cfg_path)
    assert hasattr(reader.RemoveAssignFromAST("_base_"), "visit")


def test_reading_leaves_mmengine_as_it_was(tmp_path):
    before = Config._file2dict, Config._get_cfg_path, reader.RemoveAssignFromAST
    load_config(ROW, {"crop_size": (64, 64)})
    with pytest.raises(UserError):
        load_config(write(tmp_path / "broken.py", OWN + "crop_size = 1 / 0\n"))
    assert before == (Config._file2dict, Config._get_cfg_path, reader.RemoveAssignFromAST)
    assert logging.getLogger("mmengine") is not None
