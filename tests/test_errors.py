import errno

import pytest
from torch.utils.data import DataLoader, Dataset

from mmseg_gc.errors import UserError, user_sentence


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


def test_a_full_disk_is_one_sentence():
    full = OSError(errno.ENOSPC, "No space left on device", "work/log.json")
    assert "full for work/log.json" in user_sentence(full)
    assert user_sentence(OSError(errno.EIO, "Input/output error")) is None


def test_a_port_that_is_taken_is_a_sentence(monkeypatch):
    class DistNetworkError(RuntimeError):
        """As torch's."""

    monkeypatch.setenv("MASTER_PORT", "29501")
    told = user_sentence(DistNetworkError("The server socket has failed: EADDRINUSE"))
    assert told.startswith("port 29501 is taken; set MASTER_PORT")
    assert user_sentence(DistNetworkError("timed out")) is None
