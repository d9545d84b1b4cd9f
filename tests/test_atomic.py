"""Files are whole or not there, whatever stops the writing."""

import errno
import os

import pytest

from mmseg_gc import atomic
from mmseg_gc.atomic import left_behind, put_together
from mmseg_gc.errors import UserError


def full_disk(file):
    file.write(b"half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    with pytest.raises(UserError, match=r"a\.png can't be written .*No space left.*free the disk"):
        atomic.write_atomically(path, full_disk)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.png"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_stop_leaves_nothing(tmp_path, stop):
    def write(file):
        file.write(b"half")
        raise stop

    with pytest.raises(stop):
        atomic.write_atomically(tmp_path / "new/a.png", write)
    assert os.listdir(tmp_path / "new") == []


def test_only_what_has_to_outlive_the_power_is_waited_for(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    atomic.put(b"content", str(tmp_path / "a/b.png"))
    assert (tmp_path / "a/b.png").read_bytes() == b"content" and not synced
    atomic.write_atomically(tmp_path / "c.pth", lambda file: file.write(b"content"))
    assert len(synced) == 2  # the file, and the folder that names it


def test_other_stores_write_as_they_do(tmp_path, monkeypatch):
    stored = {}

    class Store:
        def put(self, content, path):
            stored[path] = content

    monkeypatch.setattr(atomic.fileio, "get_file_backend", lambda path, backend_args: Store())
    atomic.put(b"content", "s3://bucket/a.png", dict(backend="petrel"))
    assert stored == {"s3://bucket/a.png": b"content"}


def test_what_a_killed_program_leaves_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "replace", lambda *names: os._exit(9))
    (tmp_path / "x").mkdir()
    if (child := os.fork()) == 0:
        atomic.put(b"content", str(tmp_path / "x/a.png"))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    for name in ("a.png", ".hidden.png", ".a.jpg.tmp"):
        (tmp_path / name).touch()
    (found,) = atomic.left_behind(tmp_path)
    assert found.parent == tmp_path / "x" and found.name.startswith(".a.png.")


def test_a_name_may_be_as_long_as_the_file_system_takes_it(tmp_path):
    name = "é" * 125 + ".png"  # 254 bytes; the unfinished file's name is no longer
    atomic.put(b"content", str(tmp_path / name))
    assert os.listdir(tmp_path) == [name]


def test_all_of_several_files_or_none(tmp_path):
    (tmp_path / "a").write_text("old")
    (tmp_path / "c").mkdir()
    with pytest.raises(UserError, match="c is a folder"):
        put_together({tmp_path / "a": b"new", tmp_path / "b": b"new", tmp_path / "c": b"new"})
    assert (tmp_path / "a").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "c"]
    put_together({tmp_path / "a": b"new", tmp_path / "new" / "b": b"too"})
    assert (tmp_path / "a").read_text() == "new" and (tmp_path / "new/b").read_text() == "too"
    assert not list(left_behind(tmp_path))
