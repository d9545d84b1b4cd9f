import errno
import importlib.metadata
import sys

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from mmseg_gc.errors import UserError, check_environment, cli, user_sentence


class Broken(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        raise UserError("image a.png is broken; fetch it again.")


def test_sentence_survives_a_worker_process():
    with pytest.raises(UserError) as caught:
        list(DataLoader(Broken(), num_workers=1))
    assert "Traceback" in str(caught.value)
    assert user_sentence(caught.value) == "image a.png is broken; fetch it again."


def test_sentence_is_found_behind_another_error():
    try:
        try:
            raise UserError("say what to do.")
        except UserError as error:
            raise RuntimeError("build failed") from error
    except RuntimeError as error:
        assert user_sentence(error) == "say what to do."
    assert user_sentence(RuntimeError("a bug")) is None


@pytest.fixture
def failing():
    @cli
    def main():
        raise UserError("the cure is here.")

    return main


def test_cli_prints_one_line_and_exits_1(failing, capsys):
    with pytest.raises(SystemExit) as stopped:
        failing()
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "Error: the cure is here.\n"


def test_cli_shows_the_traceback_on_request(failing, monkeypatch):
    monkeypatch.setenv("MMSEG_GC_TRACEBACK", "1")
    with pytest.raises(UserError):
        failing()


def test_cli_keeps_the_traceback_of_a_bug():
    @cli
    def main():
        return torch.zeros(1).reshape(2)

    with pytest.raises(RuntimeError):
        main()


def test_official_packages_beside_ours_are_refused(monkeypatch):
    class Distribution:
        def __init__(self, name):
            self.metadata = {"Name": name}

    names = ["onedl-mmengine", "onedl_mmcv", "mmcv", "torch"]
    monkeypatch.setattr(
        importlib.metadata, "distributions", lambda: [Distribution(name) for name in names]
    )
    with pytest.raises(UserError, match="pip uninstall -y mmcv onedl-mmcv"):
        check_environment()
    names.remove("mmcv")
    check_environment()


def test_missing_libgl_names_the_cure(monkeypatch, tmp_path):
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "cv2")
    with pytest.raises(UserError, match=r"libGL.so.1.*apt-get install libgl1"):
        check_environment()


def test_a_full_disk_is_one_sentence():
    full = OSError(errno.ENOSPC, "No space left on device", "work/log.json")
    assert "full for work/log.json" in user_sentence(full)
    assert user_sentence(OSError(errno.EIO, "Input/output error")) is None
