from pathlib import Path

import pytest

from mmseg_gc.config import config_folder, find_config, load_config
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
        ("gcnet_r18-d8_1xb8-20k_camvid-360x48", f"did you mean {NAME!r}?"),
        (f"mmseg_gc::{NAME[:-1]}", f"did you mean {NAME!r}?"),
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
