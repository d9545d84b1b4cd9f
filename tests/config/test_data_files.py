"""YAML and JSON configs make no objects and import nothing by its name."""

import json
import sys
import threading

import pytest
from mmengine.config import Config

from mmseg_gc.config import load_config
from mmseg_gc.errors import UserError

BASE = "mmseg_gc::gcnet/gcnet_r18-d8_1xb8-20k_camvid-360x480.py"
TAGS = [
    "!!python/object/apply:os.system ['touch {}']",
    "!!python/object/new:os.system ['touch {}']",
    "!!python/name:os.system",
    "!!python/module:os",
]


@pytest.fixture
def trap(tmp_path):
    return tmp_path / "ran"


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("as_base", [False, True])
def test_tags_of_yaml_make_nothing(tmp_path, trap, tag, hidden, as_base, monkeypatch):
    value = tag.format(trap)
    monkeypatch.setenv("MMSEG_GC_TAG", value)
    path = tmp_path / "a.yaml"
    path.write_text(f"_base_: {BASE}\nx: {'{{$MMSEG_GC_TAG:1}}' if hidden else value}\n")
    if as_base:
        path = tmp_path / "leaf.py"
        path.write_text("_base_ = 'a.yaml'\n")
    with pytest.raises(UserError, match="can't be read as data.*python/.*line 2"):
        load_config(path)
    assert not trap.exists()


def system(trap) -> dict:
    return {"type": "os.system", "command": f"touch {trap}"}


PLACES = {
    "custom_hooks.0.type": lambda call: {"custom_hooks": [call]},
    "model.backbone.norm_cfg.type": lambda call: {"model": {"backbone": {"norm_cfg": call}}},
    "train_dataloader.collate_fn.type": lambda call: {"train_dataloader": {"collate_fn": call}},
    "log_processor.type": lambda call: {"log_processor": {**call, "_delete_": True}},
    "train_dataloader.collate_fn": lambda call: {"train_dataloader": {"collate_fn": "os.getcwd"}},
    "optim_wrapper.constructor": lambda call: {"optim_wrapper": {"constructor": "os.getcwd"}},
    "model.backbone.type": lambda call: {"model": {"backbone": {"type": "mmengine.load"}}},
    "visualizer.type": lambda call: {"visualizer": {"type": "antigravity"}},
    "default_scope": lambda call: {"default_scope": "evil"},
    "custom_imports.imports.0": lambda call: {"custom_imports": {"imports": ["evil"]}},
    "custom_imports.imports": lambda call: {"custom_imports": {"imports": "evil"}},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_names_are_not_imported(tmp_path, trap, place, suffix, monkeypatch):
    (tmp_path / "evil.py").write_text(f"open({str(trap)!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / f"a.{suffix}"
    path.write_text(json.dumps({"_base_": BASE, **PLACES[place](system(trap))}))
    with pytest.raises(UserError, match=rf"a\.{suffix}: key {place} .*imports nothing"):
        load_config(path)
    assert not trap.exists() and "evil" not in sys.modules


def test_placeholders_hide_no_name(tmp_path, trap):
    base = {"_base_": BASE, "key": "type", "a": "os.system"}
    (tmp_path / "base.json").write_text(json.dumps(base))
    hook = '{ {{_base_.key}}: {{_base_.a}}, "command": "touch TRAP"}'.replace("TRAP", str(trap))
    (tmp_path / "a.json").write_text('{"_base_": "base.json", "custom_hooks": [' + hook + "]}")
    with pytest.raises(UserError, match=r"a\.json"):
        load_config(tmp_path / "a.json", check=False)
    assert not trap.exists()


def test_what_is_data_is_taken(tmp_path):
    (tmp_path / "a.yaml").write_text(
        f"_base_: {BASE}\nmodel:\n  backbone:\n    norm_cfg: {{type: mmseg.SyncBN}}\n"
        "train_cfg: {max_iters: 7}\n"
    )
    assert load_config(tmp_path / "a.yaml", check=False).train_cfg.max_iters == 7
    program = tmp_path / "program.py"
    program.write_text(f"_base_ = {BASE!r}\nlog_processor = dict(type='os.path.Processor')\n")
    (tmp_path / "b.json").write_text(json.dumps({"_base_": "program.py"}))
    assert load_config(tmp_path / "b.json", check=False).log_processor.type == "os.path.Processor"


def test_references_are_not_followed_for_ever(tmp_path):
    lines = ["a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    (tmp_path / "a.yaml").write_text("\n".join(lines))
    with pytest.raises(UserError, match="repeats itself"):
        load_config(tmp_path / "a.yaml")


def test_threads_read_configs_at_once(tmp_path):
    readers = Config._get_cfg_path, Config._file2dict, Config._get_base_files
    failed = []

    def read():
        try:
            load_config(BASE.replace("mmseg_gc::", "configs/"))
        except Exception as error:
            failed.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=read) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert failed == []
    assert (Config._get_cfg_path, Config._file2dict, Config._get_base_files) == readers
