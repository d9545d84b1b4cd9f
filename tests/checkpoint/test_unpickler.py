"""What pickles may name, and what becomes of it; the pickles are written by hand."""

import struct
import warnings
import zipfile
from collections import Counter, OrderedDict

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub

from mmseg_gc.checkpoint import DamagedCheckpointError, load_checkpoint
from mmseg_gc.errors import UserError


def text(value: bytes) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value


def raw(content: bytes) -> bytes:
    """Bytes, as protocol 2 has them."""
    encoded = text(content.decode("latin1").encode()) + text(b"latin1")
    return b"c_codecs\nencode\n" + encoded + b"\x86R"


def dtype(code: bytes) -> bytes:
    return b"cnumpy\ndtype\n" + text(code) + b"\x85R"


def write(path, extra: bytes):
    body = b"\x80\x02}(" + text(b"state_dict") + b"}" + text(b"x") + extra + b"u."
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", body)
        archive.writestr("a/byteorder", "little")
        archive.writestr("a/version", "3\n")
    return path


OBJECT = b"cnumpy\nndarray\n(K\x01\x85" + dtype(b"O") + raw(b"A" * 8) + b"tR"
EMPTY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
TRICKS = {
    "a pointer as an object": OBJECT,
    "a pointer as a shape": b"cnumpy\nndarray\n" + OBJECT + b"\x85R",
    "strides beyond the buffer": b"cnumpy\nndarray\n(K\x04\x85" + dtype(b"i8") + raw(b"A") + b"tR",
    "memory that nobody filled": b"cnumpy\nndarray\n(M\x00\x10\x85" + dtype(b"u1") + b"tR",
    "a dtype of objects": dtype(b"O"),
    "a dtype of structures": b"cnumpy\ndtype\n]" + text(b"a") + text(b"O") + b"\x86a\x85R",
    "a huge dtype": dtype(b"V100000000"),
    "an array of another size": EMPTY
    + b"(K\x01K\x09\x85"
    + dtype(b"i8")
    + b"\x89"
    + raw(b"12345678")
    + b"tb",
    "an array as a state": EMPTY + b"(K\x01K\x01\x85" + dtype(b"i8") + b"\x89]K\x05atb",
    "a foreign tensor": b"ctorch._utils\n_rebuild_device_tensor_from_numpy\n(" + EMPTY + b"tR",
    "a function's defaults": b"ctorch._utils\n_rebuild_tensor_v2\nN}"
    + text(b"__defaults__")
    + b")s\x86b",
    "a class's attributes": b"cmmengine.logging.history_buffer\nHistoryBuffer\nN}"
    + text(b"mean")
    + b"Ns\x86b",
    "a class of protocol 0": b"(cos\nsystem\no",
    "an extension": b"\x82\x01",
    "a buffer that is claimed": b"\x96" + struct.pack("<Q", 1 << 40),
    "items of a tensor's size": b"ctorch\nSize\n)\x85R(" + text(b"a") + b"K\x01u",
    "bytes in a codec": b"c_codecs\nencode\n" + text(b"a") + text(b"idna") + b"\x86R",
}


@pytest.mark.parametrize("trick", TRICKS)
def test_tricks_end_in_one_sentence(tmp_path, trick):
    with pytest.raises(UserError, match=r"a\.pth"):
        load_checkpoint(write(tmp_path / "a.pth", TRICKS[trick]))
    assert HistoryBuffer([1.0], [1]).mean() == 1


@pytest.mark.parametrize(
    "name",
    [
        "os system",
        "builtins eval",
        "builtins getattr",
        "torch load",
        "numpy load",
        "mmengine.fileio load",
        "functools partial",
        "collections defaultdict",
    ],
)
def test_what_is_not_listed_is_refused_by_its_name(tmp_path, name):
    module, function = name.split()
    call = f"c{module}\n{function}\n".encode() + text(b"x") + text(b"y") + b"\x86R"
    with pytest.raises(UserError, match="could run code.*--trust-pickle"):
        load_checkpoint(write(tmp_path / "a.pth", call))


def training_state() -> dict:
    hub = MessageHub("pickled")
    for value in (0.5, 1.5):
        hub.update_scalar("train/loss", value, 2)
    hub.update_info("best_score", np.float64(0.25))
    weights = torch.nn.BatchNorm2d(2).state_dict()
    base = torch.arange(12.0)
    return {
        "meta": {"iter": 5, "dataset_meta": {"classes": ("a",), "palette": [[1, 2, 3]]}},
        "state_dict": weights,
        "message_hub": hub.state_dict(),
        "param_schedulers": [{"milestones": Counter([2, 3])}],
        "arrays": [
            np.arange(6, dtype=np.uint16).reshape(2, 3),
            np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            np.array([True, False]),
            np.array(["a", "bc"]),
            np.zeros((0, 3)),
        ],
        "tensors": [
            base[3:9],
            base.reshape(3, 4)[1:, ::2],
            torch.ones(3, dtype=torch.bfloat16),
            torch.tensor(3),
            torch.ones(2, dtype=torch.complex64),
            torch.empty(0, 3),
            torch.ones(1).expand(5),
        ],
    }


@pytest.mark.parametrize("zipped", [True, False])
def test_what_trainings_write_is_read_as_torch_reads_it(tmp_path, zipped):
    path = tmp_path / "a.pth"
    torch.save(training_state(), path, _use_new_zipfile_serialization=zipped)
    ours, theirs = load_checkpoint(path), torch.load(path, weights_only=False)
    for one, other in zip(ours["arrays"], theirs["arrays"], strict=True):
        assert one.dtype == other.dtype and np.array_equal(one, other)
        assert one.flags.f_contiguous == other.flags.f_contiguous
    for one, other in zip(ours["tensors"], theirs["tensors"], strict=True):
        assert one.dtype == other.dtype and torch.equal(one, other)
    storages = [tensor.untyped_storage().data_ptr() for tensor in ours["tensors"][:2]]
    assert storages[0] == storages[1]
    assert ours["meta"] == theirs["meta"]
    assert ours["param_schedulers"] == theirs["param_schedulers"]
    assert ours["state_dict"]._metadata == theirs["state_dict"]._metadata
    assert isinstance(ours["state_dict"], OrderedDict)
    hub = ours["message_hub"]
    assert hub["log_scalars"]["train/loss"].mean() == 0.5  # (0.5 + 1.5) / (2 + 2)
    assert hub["runtime_info"]["best_score"] == 0.25


class Odd:
    sparse = staticmethod(lambda: torch.eye(3).to_sparse())
    csr = staticmethod(lambda: torch.eye(3).to_sparse_csr())
    quantised = staticmethod(lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8))
    meta = staticmethod(lambda: torch.empty(3, device="meta"))
    eight_bits = staticmethod(lambda: torch.ones(3).to(torch.float8_e4m3fn))


@pytest.mark.parametrize("kind", ["sparse", "csr", "quantised", "meta", "eight_bits"])
def test_tensors_that_are_no_plain_numbers(tmp_path, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls some of them beta
        torch.save({"state_dict": {"w": getattr(Odd, kind)()}}, tmp_path / "a.pth")
    with pytest.raises(
        DamagedCheckpointError, match="holds .*tensors.*, which nothing here can use"
    ):
        load_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize(
    "content",
    [
        [torch.ones(1)],
        torch.ones(1),
        {"state_dict": {3: torch.ones(1)}},
        {3: torch.ones(1)},
        {"state_dict": {"w": torch.ones(1)}, "meta": "text"},
        {"state_dict": {"w": torch.ones(1)}, "meta": {"dataset_meta": [1]}},
        {"state_dict": {"w": torch.ones(1)}, "meta": {"dataset_meta": {"classes": 7}}},
        {"state_dict": {"w": torch.ones(1)}, "meta": {"CLASSES": ("a",), "PALETTE": [1, 2]}},
    ],
    ids=str,
)
def test_other_layouts_than_a_checkpoint_has(tmp_path, content):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(DamagedCheckpointError, match=r"a\.pth holds .*which nothing here can use"):
        load_checkpoint(tmp_path / "a.pth")


def test_a_file_that_is_larger_unpacked_is_refused_before_it_is_unpacked(tmp_path):
    torch.save({"state_dict": {"w": torch.zeros(1 << 20)}}, tmp_path / "a.pth")
    with (
        zipfile.ZipFile(tmp_path / "a.pth") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for entry in plain.infolist():
            bomb.writestr(entry.filename, plain.read(entry))
    with pytest.raises(DamagedCheckpointError, match="more than its own size"):
        load_checkpoint(tmp_path / "bomb.pth")


def test_a_tensor_larger_than_its_storage_is_refused(tmp_path):
    large = torch.ones(1).expand(1 << 25)
    torch.save({"state_dict": {"w": large}}, tmp_path / "a.pth")
    with pytest.raises(DamagedCheckpointError, match="truncated or damaged"):
        load_checkpoint(tmp_path / "a.pth")


def test_trust_belongs_to_one_call(tmp_path):
    torch.save({"state_dict": {"w": torch.ones(1)}, "x": MessageHub}, tmp_path / "a.pth")
    assert load_checkpoint(tmp_path / "a.pth", trust_pickle=True)["x"] is MessageHub
    with pytest.raises(UserError, match="MessageHub, which could run code"):
        load_checkpoint(tmp_path / "a.pth")
