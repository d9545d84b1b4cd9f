import os
import zipfile
from types import SimpleNamespace

import pytest
import torch

from mmseg_gc.checkpoint import save_checkpoint
from mmseg_gc.engine import resume
from mmseg_gc.engine.resume import newest_checkpoint
from mmseg_gc.errors import UserError


@pytest.fixture
def folder(tmp_path):
    """iter_2, iter_4, iter_10, written in this order, the last one named by last_checkpoint."""
    for age, number in enumerate((2, 4, 10)):
        path = tmp_path / f"iter_{number}.pth"
        state = {"meta": {"iter": number}, "state_dict": {"w": torch.full((1000,), 1.5)}}
        save_checkpoint({**state, "optimizer": {}}, path)
        os.utime(path, (1000 + age, 1000 + age))
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "iter_10.pth"))
    return tmp_path


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-500])


def flip_a_bit(path):
    """In the middle of a tensor, where torch's own reader sees nothing wrong."""
    content = bytearray(path.read_bytes())
    start = content.index(torch.full((1000,), 1.5).numpy().tobytes())
    content[start + 2000] ^= 1
    path.write_bytes(content)
    assert torch.load(path)["meta"]["iter"] > 0


def test_nothing_to_go_on_from(tmp_path):
    assert newest_checkpoint(tmp_path) is None


def test_the_named_one_comes_first(folder):
    assert newest_checkpoint(folder) == str(folder / "iter_10.pth")
    (folder / "last_checkpoint").write_text(str(folder / "iter_2.pth"))
    assert newest_checkpoint(folder) == str(folder / "iter_2.pth")


def test_without_a_name_the_newest_comes_first(folder):
    (folder / "last_checkpoint").unlink()
    os.utime(folder / "iter_4.pth", (2000, 2000))
    assert newest_checkpoint(folder) == str(folder / "iter_4.pth")


def test_a_folder_that_was_moved(folder, tmp_path_factory):
    moved = folder.rename(tmp_path_factory.mktemp("other") / "moved")
    assert newest_checkpoint(moved) == str(moved / "iter_10.pth")


@pytest.mark.parametrize("damage", [cut_short, flip_a_bit, lambda path: path.write_bytes(b"")])
def test_damaged_ones_are_passed_over(folder, monkeypatch, damage):
    said = []
    logger = SimpleNamespace(warning=said.append)
    monkeypatch.setattr(resume.MMLogger, "get_current_instance", lambda: logger)
    damage(folder / "iter_10.pth")
    assert newest_checkpoint(folder) == str(folder / "iter_4.pth")
    assert len(said) == 1 and said[0].startswith("Passed over") and "iter_10.pth" in said[0]

    damage(folder / "iter_4.pth")
    assert newest_checkpoint(folder) == str(folder / "iter_2.pth")
    damage(folder / "iter_2.pth")
    with pytest.raises(UserError, match="none of the 3 checkpoints"):
        newest_checkpoint(folder)


def test_weights_alone_are_passed_over(folder):
    save_checkpoint({"state_dict": {}}, folder / "iter_10.pth")
    assert newest_checkpoint(folder) == str(folder / "iter_4.pth")


def test_torch_stores_the_sums_that_are_compared(folder):
    records = zipfile.ZipFile(folder / "iter_10.pth").infolist()
    assert all(record.CRC for record in records if record.file_size)


def test_auto_starts_from_load_from_where_there_is_nothing_yet(toy, tmp_path):
    toy.build(tmp_path / "other", 2).train()
    begun = toy.build(tmp_path / "run", 0, load_from=str(tmp_path / "other/iter_2.pth"))
    begun.train()
    loaded = torch.load(tmp_path / "other/iter_2.pth", weights_only=False)["state_dict"]
    assert begun.iter == 0
    assert all(torch.equal(v, loaded[k]) for k, v in begun.model.state_dict().items())
