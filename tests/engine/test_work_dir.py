from pathlib import Path

import pytest

from mmseg_gc.engine.work_dir import check_work_dir
from mmseg_gc.errors import UserError


def test_a_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    check_work_dir(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir() and not list((tmp_path / "a" / "b").iterdir())


def test_a_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"folder .*file/x can't be written .* another --out\.$"):
        check_work_dir(tmp_path / "file" / "x", "--out")


def test_a_folder_that_only_others_may_write(tmp_path: Path, monkeypatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(UserError, match=r"\(Permission denied\); mend its rights .*--work-dir"):
        check_work_dir(tmp_path)
