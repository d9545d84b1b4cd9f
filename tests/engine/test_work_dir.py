import json
import os
import re
import socket
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import Timeout
from mmengine.config import Config

from mmseg_gc.engine import work_dir as module
from mmseg_gc.engine.work_dir import (
    OWNER_NAME,
    check_work_dir,
    hold_work_dir,
    require_new,
)
from mmseg_gc.errors import UserError


@contextmanager
def held_by_another(folder):
    """A process that holds ``folder`` until it is killed; its id."""
    there, say = os.pipe()
    if (child := os.fork()) == 0:
        with hold_work_dir(folder):
            os.write(say, b"1")
            time.sleep(60)
        os._exit(1)
    os.read(there, 1)
    try:
        yield child
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_one_training_at_a_time(tmp_path):
    with held_by_another(tmp_path) as child:
        who = rf"{re.escape(socket.gethostname())}, process {child}, since \d{{4}}-\d\d-\d\d "
        begin = time.monotonic()
        with pytest.raises(UserError, match=who), hold_work_dir(tmp_path):
            pass
        assert time.monotonic() - begin < 5
        with hold_work_dir(tmp_path.parent):  # another folder is free
            pass
    with hold_work_dir(tmp_path):  # the killed one's is free at once
        owner = json.loads((tmp_path / OWNER_NAME).read_text())
        assert owner["pid"] == os.getpid()
    assert not (tmp_path / OWNER_NAME).exists()


def test_a_process_holds_it_once(tmp_path):
    with hold_work_dir(tmp_path), hold_work_dir(str(tmp_path)):
        pass
    with held_by_another(tmp_path):
        pass


def test_workers_of_a_killed_training_are_waited_for(tmp_path, monkeypatch):
    """They may have the lock's file as well, and hold it until they see that it's gone."""

    class Lock:
        def __init__(self, path):
            self.times = 0

        def acquire(self, timeout):
            self.times += 1
            if self.times < 4:
                raise Timeout(str(tmp_path))

        def release(self):
            pass

    monkeypatch.setattr(module, "FileLock", Lock)
    if (child := os.fork()) == 0:
        os._exit(0)
    os.waitpid(child, 0)
    owner = dict(pid=child, host=socket.gethostname(), start="2026-01-01 00:00:00")
    (tmp_path / OWNER_NAME).write_text(json.dumps(owner))
    with hold_work_dir(tmp_path):
        pass
    (tmp_path / OWNER_NAME).write_text(json.dumps(owner))
    monkeypatch.setattr(module, "SECONDS_TO_END", 0.1)
    with pytest.raises(UserError, match=rf"process {child}, since 2026"), hold_work_dir(tmp_path):
        pass
    (tmp_path / OWNER_NAME).write_text(json.dumps(owner | dict(host="elsewhere")))
    monkeypatch.setattr(module, "SECONDS_TO_END", 60)  # who knows of another machine's?
    with pytest.raises(UserError, match="elsewhere, process"), hold_work_dir(tmp_path):
        pass


def test_only_the_first_rank_holds_it(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "is_main_process", lambda: False)
    with hold_work_dir(tmp_path):
        assert os.listdir(tmp_path) == []


def test_a_file_system_without_locks_is_warned_of(tmp_path, monkeypatch):
    class NoLock:
        def __init__(self, path):
            pass

        def acquire(self, timeout):
            raise OSError(38, "Function not implemented")

    said = []
    monkeypatch.setattr(module, "FileLock", NoLock)
    monkeypatch.setattr(module, "print_log", lambda text, **_: said.append(text))
    with hold_work_dir(tmp_path):
        pass
    assert "can't be locked" in said[0] and str(tmp_path) in said[0]


def config(folder: Path, **keys) -> Config:
    return Config(dict(work_dir=str(folder), **keys))


@pytest.mark.parametrize("name", ["iter_20.pth", "epoch_1.pth", "best_mIoU_iter_20.pth"])
def test_another_run_s_checkpoints_are_not_overwritten(tmp_path, name):
    (tmp_path / name).touch()
    told = rf"has 1 checkpoints of another run, such as {name}: add --resume auto .*--overwrite"
    with pytest.raises(UserError, match=told):
        require_new(config(tmp_path))
    with pytest.raises(UserError, match=told):  # a resumed run of another folder
        require_new(config(tmp_path, resume=True, load_from=str(tmp_path.parent / "iter_20.pth")))
    require_new(config(tmp_path, overwrite=True))
    require_new(config(tmp_path, resume="auto"))
    require_new(config(tmp_path, resume=True, load_from=str(tmp_path / "iter_10.pth")))


def test_what_is_no_checkpoint_of_a_run_may_be_there(tmp_path):
    for name in ("pretrained.pth", "iter_x.pth", "20260101_000000.log"):
        (tmp_path / name).touch()
    require_new(config(tmp_path))
    require_new(config(tmp_path / "missing"))


def test_the_folder_that_checkpoints_go_to_counts(tmp_path):
    (tmp_path / "saved/run").mkdir(parents=True)
    (tmp_path / "saved/run/iter_2.pth").touch()
    hooks = dict(checkpoint=dict(out_dir=str(tmp_path / "saved")))
    with pytest.raises(UserError, match="saved/run has 1 checkpoints"):
        require_new(config(tmp_path / "run", default_hooks=hooks))


def test_a_runner_keeps_others_out(toy, tmp_path):
    (tmp_path / "run").mkdir()
    runner = toy.build(tmp_path / "run", iterations=2)
    with held_by_another(tmp_path / "run"), pytest.raises(UserError, match="another training"):
        runner.train()
    assert not list((tmp_path / "run").glob("*.pth"))


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


def test_what_stands_in_the_way_of_the_last_checkpoint_is_told_before_work_begins(tmp_path):
    (tmp_path / "last_checkpoint").mkdir()
    told = pytest.raises(UserError, match=r"last_checkpoint is a folder.*take it away")
    with told, hold_work_dir(tmp_path):
        pass
    (tmp_path / "last_checkpoint").rmdir()
    with hold_work_dir(tmp_path):  # which was let go of
        pass
