from pathlib import Path

import pytest

from mmseg_gc.config import config_folder, find_config, load_config
from mmseg_gc.config.find import packaged_file
from mmseg_gc.errors import UserError

NAME = "gcnet_r18-d8_1xb8-20k_camvid-360x480"


@pytest.mark.parametrize(
    "source",
    [
        NAME,
        f"{NAME}.py",
        f"mmseg_gc::{NAME}",
        f"mmseg_gc::gcnet/{NAME}.py",
        f"mmseg::gcnet/{NAME}.py",
    ],
)
def test_configs_of_the_package_by_name(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config(source) == config_folder() / "gcnet" / f"{NAME}.py"
    assert load_config(source).work_dir == f"work_dirs/{NAME}"


def test_a_file_here_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(f"{NAME}.py").write_text("")
    assert find_config(f"{NAME}.py") == Path(f"{NAME}.py")
    assert find_config(NAME) == config_folder() / "gcnet" / f"{NAME}.py"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("gcnet_r18-d8_1xb8-20k_camvid-360x48", f"did you mean {NAME!r} or 'gcnet-"),
        (f"mmseg_gc::{NAME[:-1]}", f"did you mean {NAME!r} or 'gcnet-"),
        ("mine.pi", "did you mean 'mine.py'?"),
        ("nothing_like_it", "check the path; `mmseg_gc models` lists names."),
        ("mmpose::x", "'mmpose' has no configs here; write mmseg_gc::x."),
    ],
)
def test_near_names_are_offered(source, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("")
    with pytest.raises(UserError) as error:
        find_config(source)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("copied", "own"),
    [
        ("x/../_base_/models/gcnet_r50-d8.py", "_base_/models/gcnet_r50-d8.py"),
        ("configs/_base_/default_runtime.py", "_base_/default_runtime.py"),
        ("_base_/models/segformer_mit-b0.py", None),
        (
            "./gcnet_r50-d8_4xb2-40k_cityscapes-512x1024.py",
            "gcnet/gcnet_r50-d8_4xb2-40k_cityscapes-512x1024.py",
        ),
        # The name that 0.x had for the same row.
        (
            "./gcnet_r50-d8_512x1024_40k_cityscapes.py",
            "gcnet/gcnet_r50-d8_4xb2-40k_cityscapes-512x1024.py",
        ),
        ("./gcnet_r50-d8_512x512_20k_voc12aug.py", "gcnet/gcnet_r50-d8_4xb4-20k_voc12aug-512x512.py"),  # noqa: E501
        ("./gcnet_r50-d8_1x1_20k_voc12aug.py", None),
        ("./other.py", None),
    ],
)  # fmt: skip
def test_a_base_that_was_left_behind(copied, own):
    found = packaged_file(copied)
    assert found == (None if own is None else config_folder() / own)


def test_a_copied_config_takes_the_packaged_bases_and_says_so(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("mmseg_gc.config.read.print_log", lambda text, **_: said.append(text))
    row = config_folder() / "gcnet" / "gcnet_r50-d8_4xb2-40k_cityscapes-512x1024.py"
    copy = tmp_path / "mine.py"
    copy.write_text(row.read_text())
    cfg, original = load_config(copy).to_dict(), load_config(row).to_dict()
    assert {**cfg, "work_dir": ""} == {**original, "work_dir": ""}
    assert len(said) == 4 and all("isn't there; " in text for text in said)
    copy.write_text("_base_ = '../_base_/models/gcnet_r50-d9.py'\n")
    with pytest.raises(
        UserError, match=r"mine.py builds on .*gcnet_r50-d9.py, which doesn't exist"
    ):
        load_config(copy)
