import pytest
import torch

from mmseg_gc.apis.devices import require_device
from mmseg_gc.errors import UserError


def test_a_device_that_is_there():
    assert require_device("cpu") == require_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "", None, 1.5])
def test_what_is_no_device(device):
    with pytest.raises(UserError, match=r"is no device; name a GPU as 'cuda' or 'cuda:0'"):
        require_device(device)


def test_a_gpu_has_to_be_there(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match=r"'cuda:7': torch .* sees no GPU here; name 'cpu'"):
        require_device("cuda:7")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert require_device("cuda").type == "cuda" and require_device("cuda:1").index == 1
    with pytest.raises(UserError, match=r"'cuda:2': the last GPU .* is 'cuda:1'"):
        require_device("cuda:2")


def test_a_mac_s_gpu_is_taken_where_torch_has_it(monkeypatch):
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(UserError, match=r"'mps': torch .* has no Metal here"):
        require_device("mps")
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    assert require_device("mps").type == "mps"


def test_other_devices_are_tried():
    with pytest.raises(UserError, match=r"'meta' can't be used"):
        require_device("meta")
