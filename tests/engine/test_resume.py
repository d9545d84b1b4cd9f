import os
import shutil
import zipfile
from types import SimpleNamespace

import pytest
import torch

from mmseg_gc.checkpoint import load_checkpoint, save_checkpoint
from mmseg_gc.engine import resume
from mmseg_gc.engine.resume import newest_checkpoint
from mmseg_gc.errors import UserError


@pytest.fixture
def folder(tmp_path):
    """iter_2, iter_4, iter_10, written in this order, the last one named by last_checkpoint."""
    for age, number in enumerate((2, 4, 10)):
        path = tmp_path / f"iter_{number}.pth"
        state = {
            "meta": {"iter": number, "epoch": 0},
            "state_dict": {"w": torch.full((1000,), 1.5)},
        }
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


def odd_names(folder):
    (folder / "iter_96.pth").mkdir()
    os.mkfifo(folder / "iter_97.pth")
    (folder / "iter_98.pth").symlink_to("nowhere.pth")
    (folder / "iter_99.pth").symlink_to("iter_99.pth")


@pytest.mark.parametrize("name", [b"\xff\xfe/iter_\xff.pth", b"a" * 9000, b"a\0b", b".", b""])
def test_odd_names_are_passed_over(folder, name):
    odd_names(folder)
    (folder / "last_checkpoint").write_bytes(name)
    assert newest_checkpoint(folder) == str(folder / "iter_10.pth")
    (folder / "last_checkpoint").unlink()
    os.mkfifo(folder / "last_checkpoint")
    assert newest_checkpoint(folder) == str(folder / "iter_10.pth")


def test_odd_names_alone_are_no_checkpoints(tmp_path):
    odd_names(tmp_path)
    assert newest_checkpoint(tmp_path) is None


def test_a_copied_folder_goes_on_from_its_own_files(folder, tmp_path_factory):
    copy = tmp_path_factory.mktemp("copies") / "copy"
    shutil.copytree(folder, copy)
    assert newest_checkpoint(copy) == str(copy / "iter_10.pth")


ODD_STATES = {
    "a negative iteration": lambda state: state["meta"].update(iter=-5),
    "no iteration": lambda state: state["meta"].pop("iter"),
    "an endless iteration": lambda state: state["meta"].update(iter=10**30),
    "no number of epochs": lambda state: state["meta"].update(epoch="2"),
    "no seed": lambda state: state["meta"].update(seed="x"),
    "no hub": lambda state: state.update(message_hub=[1]),
    "half a hub": lambda state: state["message_hub"].pop("resumed_keys"),
    "no score": lambda state: state["message_hub"]["runtime_info"].update(best_score="high"),
    "no schedulers": lambda state: state.update(param_schedulers=[3]),
    "a scheduler's step": lambda state: state["param_schedulers"][0].update(last_step="x"),
    "no random state": lambda state: state["resume_state"].update(random_states=[{"torch": 1}]),
}
ODD_OPTIMIZERS = {
    "no groups": lambda state: state.update(optimizer={"state": {}}),
    "no dict": lambda state: state.update(optimizer=[]),
    "a rate": lambda state: state["optimizer"]["param_groups"][0].update(lr="fast"),
    "another order": lambda state: state["optimizer"]["param_groups"][0]["params"].reverse(),
    "another family": lambda state: state["optimizer"]["param_groups"][0].update(alpha=0.9),
}


@pytest.fixture(scope="module")
def trained(toy, tmp_path_factory):
    run = tmp_path_factory.mktemp("resume") / "trained"
    toy.build(run, 2).train()
    return run / "iter_2.pth"


@pytest.mark.parametrize("oddity", [*ODD_STATES, *ODD_OPTIMIZERS])
def test_a_state_that_can_not_be_is_refused(toy, trained, tmp_path, oddity):
    state = load_checkpoint(trained)
    {**ODD_STATES, **ODD_OPTIMIZERS}[oddity](state)
    save_checkpoint(state, tmp_path / "iter_2.pth")
    changes = dict(resume=True, load_from=str(tmp_path / "iter_2.pth"))
    with pytest.raises(UserError, match=r"iter_2\.pth can't be resumed from"):
        toy.build(tmp_path / "run", 4, **changes).train()
    if oddity in ODD_STATES:
        with pytest.raises(UserError, match="none of the 1 checkpoints"):
            newest_checkpoint(tmp_path)


def misfit(state):
    """Momenta of another shape than the weights: what a fused step would read beyond the end."""
    for number in (0, 3):
        state["optimizer"]["state"][number]["momentum_buffer"] = torch.ones(2)


def other_kinds(state):
    """A number or a list for a tensor; a fused step would read on behind the number."""
    states = state["optimizer"]["state"]
    states[0]["momentum_buffer"], states[3]["momentum_buffer"] = torch.tensor(1.0), [1.0, 2.0]


def weights_misfit(state):
    """Momenta that fit, of weights that don't: those of other classes."""
    state["state_dict"]["layers.0.bias"] = torch.zeros(5)
    del state["state_dict"]["layers.1.bias"]


@pytest.mark.parametrize("change", [misfit, other_kinds, weights_misfit])
def test_momenta_that_do_not_fit_start_anew(toy, trained, tmp_path, change):
    state = load_checkpoint(trained)
    change(state)
    save_checkpoint(state, tmp_path / "iter_2.pth")
    kept, said = {}, []

    def look(runner):
        states = runner.optim_wrapper.optimizer.state
        names = {parameter: name for name, parameter in runner.model.named_parameters()}
        kept.update({names[p]: s["momentum_buffer"].clone() for p, s in states.items()})
        assert all(s["momentum_buffer"].shape == p.shape for p, s in states.items())

    hook = dict(type="DoHook", action=look, moment="before_train", iteration=2)
    runner = toy.build(
        tmp_path / "run", 4, hooks=[hook], strict_load=False, resume=True,
        load_from=str(tmp_path / "iter_2.pth"),
    )  # fmt: skip
    runner.logger.warning = said.append
    runner.train()
    anew = {
        misfit: {"layers.0.weight", "layers.1.bias"},
        other_kinds: {"layers.0.weight", "layers.1.bias"},
        weights_misfit: {"layers.0.bias", "layers.1.bias"},
    }[change]
    names = [name for name, _ in runner.model.named_parameters()]
    assert kept.keys() == set(names) - anew
    saved = load_checkpoint(trained)["optimizer"]["state"]
    for name, momentum in kept.items():
        assert torch.equal(momentum, saved[names.index(name)]["momentum_buffer"])
    assert any("optimizer's state of 2 of 6 parameters" in line for line in said)


def test_endless_samples_have_no_epochs(toy, tmp_path):
    loop = dict(_delete_=True, type="EpochBasedTrainLoop", max_epochs=1)
    with pytest.raises(UserError, match="InfiniteSampler, whose first epoch never ends"):
        toy.build(tmp_path / "run", train_cfg=loop).train()
