import os
from itertools import count

import numpy as np
import pytest

from mmseg_gc.apis.sources import find
from mmseg_gc.errors import UserError


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def names(inputs, **options):
    files, rest = find(inputs, count(), **options)
    return [image.name for image in (*files, *rest)]


def test_a_folder_is_walked_and_mirrored(tmp_path):
    touch(tmp_path, "p.png", "x/p.png", "y/p.PNG", "y/z/q.jpg", "x/notes.txt", ".git/a.png")
    touch(tmp_path, "x/._p.png", "out/pred/p.png", "out/vis/p.jpg", "a.png", "a.jpg")
    left_out = [str(tmp_path / "out" / kind) for kind in ("pred", "vis")]
    expected = ["a.jpg", "a.png", "p", "x/p", "y/p", "y/z/q"]
    assert names(str(tmp_path), left_out=left_out) == expected
    # A single image in a folder keeps it, so that more images don't rename it.
    assert names(tmp_path / "y/z") == ["q"] and names(str(tmp_path / "y")) == ["p", "z/q"]


def test_folders_that_are_links_are_walked_once(tmp_path):
    touch(tmp_path, "in/a.png", "other/b.png")
    os.symlink(tmp_path / "other", tmp_path / "in/linked")
    os.symlink(tmp_path / "in", tmp_path / "other/back")
    assert names(tmp_path / "in") == ["a", "linked/b"]


def test_the_folder_that_is_written_to_may_be_the_one_that_is_read(tmp_path):
    touch(tmp_path, "a.png")
    assert names(str(tmp_path), left_out=[str(tmp_path)]) == ["a"]


def test_frames_are_taken_one_by_one():
    taken = []

    def frames():
        for number in range(3):
            taken.append(number)
            yield np.zeros((2, 2, 3), np.uint8)

    unnamed = count(5)
    files, rest = find(frames(), unnamed)
    assert not files and len(taken) == 1
    assert next(rest).name == "00000005" and len(taken) == 1
    assert [image.name for image in rest] == ["00000006", "00000007"]


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    touch(tmp_path, "in/a.png", "in/closed/b.png")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=r"folder .*closed can't be read \(Permission denied\)"):
        names(tmp_path / "in")
