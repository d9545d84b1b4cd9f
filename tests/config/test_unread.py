"""Keys that a file or an option sets, and that nothing reads."""

import re
from pathlib import Path

import pytest
from mmengine.config import DictAction

from mmseg_gc.config import config_folder, load_config
from mmseg_gc.config.names import KEYS, VARIABLES
from mmseg_gc.errors import UserError

ROW = config_folder() / "gcnet" / "gcnet_r50-d8_4xb2-40k_cityscapes-512x1024.py"
OWN = f'_base_ = "{ROW}"\n'
ROOT = Path(__file__).parents[2]
# Pages that name keys of a segmentor's config.
PAGES = (
    "README.md",
    *(f"docs/{name}.md" for name in ("training", "testing", "predict", "reliability", "own-data")),
)


def write(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr_config = dict(policy='poly')", "for lr_config set param_scheduler"),
        ("runner = dict(type='IterBasedRunner', max_iters=1)", "for runner set train_cfg"),
        ("total_iters = 4", "for total_iters set train_cfg.max_iters"),
        ("evaluation = dict(interval=1)", "for evaluation set train_cfg.val_interval"),
        ("checkpoint_config = dict(interval=1)", "set default_hooks.checkpoint"),
        ("optimizer_config = dict()", "set optim_wrapper"),
        ("log_config = dict(interval=50)", "set default_hooks.logger.interval"),
        ("dist_params = dict(backend='nccl')", "set env_cfg.dist_cfg"),
        ("workflow = [('train', 1)]", "set train_cfg.val_interval"),
        ("resume_from = 'x.pth'", "set load_from with resume=True"),
        ("data = dict(samples_per_gpu=8)", "for data set train_dataloader"),
        ("data = dict(data_root='x')", "sets 'data', which nothing reads; set train_dataloader"),
        ("max_iters = 8", "sets 'max_iters', which nothing reads; set train_cfg.max_iters"),
        ("train_dataloder = dict(batch_size=4)", "did you mean 'train_dataloader'"),
        ("defualt_hooks = dict(logger=dict(interval=1))", "did you mean 'default_hooks'"),
        ("train_cgf = dict(max_iters=1)", "did you mean 'train_cfg'"),
        ("modle = dict(pretrained=None)", "did you mean 'model'"),
        ("val_pipeline = []", "set val_dataloader.dataset.pipeline"),
        ("model = dict(bakcbone=dict(depth=18))", r"model\.bakcbone doesn't exist"),
        ("env_cfg = dict(cudnn_benchmrk=True)", r"env_cfg\.cudnn_benchmrk doesn't exist"),
        ("randomness = dict(sede=1)", r"randomness\.sede doesn't exist; did you mean 'seed'"),
        ("default_hooks = dict(chekpoint=dict(interval=1))", "did you mean 'checkpoint'"),
        (
            "optim_wrapper = dict(paramwise_cfg=dict(custom_key=dict()))",
            r"paramwise_cfg\.custom_key doesn't exist; did you mean 'custom_keys'",
        ),
        (
            "optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(head=dict(lr_mul=2))))",
            r"custom_keys\.head\.lr_mul doesn't exist; did you mean 'lr_mult'",
        ),
        (
            "optim_wrapper = dict(clip_grad=dict(mxa_norm=1))",
            r"clip_grad\.mxa_norm doesn't exist; did you mean 'max_norm'",
        ),
        (
            "optim_wrapper = dict(clip_grad=dict(clip_value=1, norm_type=2))",
            r"clip_grad\.clip_value needs optim_wrapper\.clip_grad\.type='value'",
        ),
        (
            "optim_wrapper = dict(clip_grad=dict(norm_type=2))",
            r"clip_grad has no max_norm; add it",
        ),
        (
            "optim_wrapper = dict(clip_grad=dict(max_norm=1, norm_typ=2))",
            r"clip_grad\.norm_typ doesn't exist; did you mean 'norm_type'",
        ),
        (
            "train_dataloader = dict(dataset=dict(data_prefix=dict(img_pth='x')))",
            r"data_prefix\.img_pth doesn't exist; did you mean 'img_path'",
        ),
        (
            "train_dataloader = dict(dataset=dict(metainfo=dict(clases=['a'])))",
            r"metainfo\.clases doesn't exist; did you mean 'classes'",
        ),
    ],
)
def test_a_key_that_nothing_reads_is_refused_with_the_one_that_is(text, message, tmp_path):
    with pytest.raises(UserError, match=message):
        load_config(write(tmp_path / "own.py", OWN + text + "\n"))


def test_the_names_that_a_file_uses_are_its_own(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("mmseg_gc.config.unread.print_log", lambda text, **_: said.append(text))
    text = "data = dict(data_root='x')\nruns = 3\ntrain_dataloader = dict(dataset=data)\n"
    cfg = load_config(write(tmp_path / "own.py", OWN + text))
    assert cfg.train_dataloader.dataset.data_root == "x"
    assert len(said) == 1 and "own.py sets 'runs', which no part of this package reads" in said[0]


BOTH = "data = dict(data_root='x')\ntrain_dataloader = dict(dataset=data)\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{BOTH}data = dict(samples_per_gpu=8)", "for data set train_dataloader"),
        (f"{BOTH}data = dict(**data, samples_per_gpu=8)", "for data set train_dataloader"),
        (f"{BOTH}data = dict(data_root='y')", "sets 'data', which nothing reads"),
    ],
)
def test_a_value_that_comes_after_the_last_use_is_unread(text, message, tmp_path):
    with pytest.raises(UserError, match=message):
        load_config(write(tmp_path / "own.py", f"{OWN}{text}\n"))


@pytest.mark.parametrize(
    "text",
    [
        "data = dict(data_root='y')\ntrain_dataloader = dict(dataset=data)\n",
        "data = dict(data_root='y')\ntrain_dataloader['dataset'] = data\n",
        "def late():\n    return data\ndata = dict(data_root='y')\n"
        "train_dataloader = dict(dataset=late())\n",
    ],
)
def test_a_value_may_change_between_two_uses(text, tmp_path):
    cfg = load_config(write(tmp_path / "own.py", f"{OWN}{BOTH}{text}"))
    assert cfg.train_dataloader.dataset.data_root == "y"


def test_an_old_name_may_be_a_variable(tmp_path):
    text = "total_iters = 7\ntrain_cfg = dict(max_iters=total_iters)\n"
    assert load_config(write(tmp_path / "own.py", OWN + text)).train_cfg.max_iters == 7


def test_a_runs_own_copy_of_its_config_is_read_again(tmp_path):
    cfg = load_config(ROW, {"crop_size": (64, 64), "optim_wrapper.optimizer.lr": 0.3})
    again = load_config(write(tmp_path / "dumped.py", cfg.pretty_text))
    assert again.to_dict() == cfg.to_dict()
    with pytest.raises(UserError, match=r"'tset_cfg' in .*dumped.py doesn't exist"):
        load_config(write(tmp_path / "dumped.py", cfg.pretty_text + "tset_cfg = {}\n"))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("lr_config.policy", "nothing reads 'lr_config'; set param_scheduler"),
        ("defualt_hooks.logger", "no config key 'defualt_hooks'; did you mean 'default_hooks'"),
    ],
)
def test_an_option_that_nothing_reads(option, message):
    with pytest.raises(UserError, match=message):
        load_config(ROW, {option: 1})


def test_a_variable_of_a_config_that_was_read_already():
    with pytest.raises(UserError, match=r"nothing reads 'optimizer'; set optim_wrapper\.optimizer"):
        load_config(load_config(ROW), {"optimizer.lr": 0.1})


PURE_BASE = """
from torch.optim import SGD

optimizer = dict(type=SGD, lr=0.01)
optim_wrapper = dict(optimizer=optimizer)
"""
PURE_LEAF = """
from mmengine.config import read_base

with read_base():
    from .base import *

"""


def test_pure_python_configs(tmp_path):
    """What is changed in place there changes no copy that the base has made of it."""
    write(tmp_path / "base.py", PURE_BASE)
    for change in ("optimizer.update(lr=0.1)", "optimizer['lr'] = 0.1", "optimizer = dict(lr=1)"):
        path = write(tmp_path / "leaf.py", PURE_LEAF + change)
        with pytest.raises(UserError, match=r"sets 'optimizer', which nothing reads; set optim_w"):
            load_config(path, check=False)
    path = write(tmp_path / "leaf.py", PURE_LEAF + "optim_wrapper.optimizer.lr = 0.1")
    assert load_config(path, check=False).optim_wrapper.optimizer.lr == 0.1
    path = write(
        tmp_path / "leaf.py",
        PURE_LEAF + "optimizer.lr = 0.1\noptim_wrapper.update(optimizer=optimizer)",
    )
    assert load_config(path, check=False).optim_wrapper.optimizer.lr == 0.1


# Values for the keys that the pages name without one.
VALUES = {
    "optimizer.lr": 0.005,
    "optim_wrapper.optimizer.lr": 0.005,
    "train_cfg.val_interval": 7,
    "default_hooks.checkpoint": dict(interval=7),
    "model.data_preprocessor": dict(pad_val=1),
    "model.test_cfg": dict(memory_budget="1GiB"),
    "model.test_cfg.return_logits": True,
}


def keys_of_the_pages():
    text = "".join((ROOT / page).read_text() for page in PAGES)
    found = {}
    pattern = r"""(?<![\w/.])([a-z_]+(?:\.[a-z_]+)+)(?:=("[^"]*"|'[^']*'|[^\s`…,)}]+))?"""
    for key, value in re.findall(pattern, text):
        if key.split(".")[0] in KEYS | set(VARIABLES) and not key.endswith((".py", ".md")):
            found[key] = value.strip("\"'") or found.get(key, "")
    return sorted(found.items())


def test_the_pages_name_keys():
    assert len(keys_of_the_pages()) >= 10


@pytest.mark.parametrize(("key", "value"), keys_of_the_pages())
def test_each_key_of_the_pages_changes_what_a_run_reads(key, value):
    value = DictAction._parse_iterable(value) if value not in ("", "N") else VALUES.get(key, 3)
    default, changed = load_config(ROW), load_config(ROW, {key: value})
    read = [{name: cfg.get(name) for name in KEYS if name in cfg} for cfg in (default, changed)]
    assert read[0] != read[1]


def test_a_dead_key_of_published_configs_is_told(tmp_path, monkeypatch):
    """DNLNet's asks for no decay by a key that mmengine doesn't know."""
    said = []
    where = "mmseg_gc.config.check_settings.print_log"
    monkeypatch.setattr(where, lambda text, **_: said.append(text))
    keys = "dict(theta=dict(wd_mult=0.0))"
    text = f"{OWN}optim_wrapper = dict(paramwise_cfg=dict(custom_keys={keys}))\n"
    load_config(write(tmp_path / "own.py", text))
    assert len(said) == 1 and "theta.wd_mult does nothing" in said[0] and "decay_mult" in said[0]
