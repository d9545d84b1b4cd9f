"""`mmseg_gc hub` by a stand-in of the hub: what goes up comes down, and nothing of it is run."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from mmseg_gc.apis import inference_model, init_model
from mmseg_gc.checkpoint import load_checkpoint
from mmseg_gc.cli import hub as command
from mmseg_gc.deploy import hub

pytest.importorskip("huggingface_hub", reason="needs the hub extra: pip install '.[hub]'")


@pytest.fixture
def server(tmp_path, monkeypatch) -> Path:
    """The folder that stands for the hub: a folder for each repository."""
    import huggingface_hub

    root = tmp_path / "server"

    class Api:
        def create_repo(self, repo_id, private, exist_ok):
            (root / repo_id).mkdir(parents=True, exist_ok=exist_ok)
            (root / repo_id / "private").write_text(str(private))

        def upload_folder(self, repo_id, folder_path, allow_patterns, commit_message):
            for name in allow_patterns:
                shutil.copy(Path(folder_path, name), root / repo_id)

    def download(repo_id, revision, local_dir, allow_patterns):
        if not (root / repo_id).is_dir():
            raise OSError("404 Client Error. Repository Not Found")
        for name in allow_patterns:
            if (root / repo_id / name).exists():
                shutil.copy(root / repo_id / name, local_dir)

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return root


def run(*words, capsys) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        command.main([str(word) for word in words])
    return stopped.value.code, *capsys.readouterr()


@pytest.fixture
def report(tmp_path) -> Path:
    folder = tmp_path / "report"
    folder.mkdir()
    figures = dict(about={"Images": "101", "Date": "2026-11-26"}, classes=["Sky", "Pole"])
    figures |= dict(means={"mIoU": 51.25, "aAcc": None}, by_class={"IoU": [90.5, None]})
    (folder / "metrics.json").write_text(json.dumps(figures))
    return folder


def test_there_and_back(server, tiny_files, tiny_model, report, tmp_path, capsys, image):
    words = ["--licence", "mit", "--report", report, "--data", "CamVid", "--limits", "No night."]
    status, out, _ = run("push", *tiny_files, "me/own", "--private", *words, capsys=capsys)
    assert (status, out) == (0, "https://huggingface.co/me/own\n")
    assert (server / "me/own/private").read_text() == "True"
    card = (server / "me/own/README.md").read_text()
    for part in ('license: "mit"', "mIoU 51.25 (percent)", "| Sky | 90.50 |", "| Pole |  |"):
        assert part in card
    assert "CamVid" in card and "No night." in card and "Images: 101" in card
    status, out, _ = run("pull", "me/own", "-o", tmp_path / "own", capsys=capsys)
    assert status == 0 and "mmseg_gc predict" in out
    names = {path.name for path in (tmp_path / "own").iterdir()}
    assert names == {"config.py", "model.safetensors", "README.md"}
    weights = load_checkpoint(tmp_path / "own/model.safetensors")["state_dict"]
    for name, value in load_checkpoint(tiny_files[1])["state_dict"].items():
        assert torch.equal(weights[name], value), name
    model = init_model(tmp_path / "own/config.py", tmp_path / "own/model.safetensors")
    labels = [inference_model(one, image).pred_sem_seg.data for one in (model, tiny_model)]
    assert torch.equal(*labels)


@pytest.fixture
def image():
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (dict(custom_imports=dict(imports=["os"])), "has custom_imports, which would run code"),
        (dict(_base_="/etc/x.py"), "has _base_, which would run code: refused"),
        (dict(model=dict(type="os.system", command="true")), "type='os.system': a model on the"),
        (dict(hooks=[dict(type=["a"])]), "a model on the hub has parts of this package alone"),
        ({"x = __import__('os')": 1}, "has a key"),
        (dict(model=1), "is no config: it has no model"),
    ],
)
def test_hostile_configs_are_refused(server, tiny_files, tmp_path, capsys, change, sentence):
    folder = server / "me/bad"
    run("push", *tiny_files, "me/bad", "--licence", "x", "--folder", folder, capsys=capsys)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    status, _, err = run("pull", "me/bad", "-o", tmp_path / "bad", capsys=capsys)
    assert status == 1 and sentence in err and not (tmp_path / "bad").exists()


def test_other_bad_input(server, tiny_files, tmp_path, capsys, monkeypatch):
    for words, sentence in (
        (["pull", "me/none"], "me/none on the hub: 404 Client Error. Repository Not Found; check"),
        (["pull", "none"], "'none' is no repository; write OWNER/NAME"),
        (
            ["push", *tiny_files, "a/b", "--licence", "x", "--report", tmp_path],
            "no readable metrics",
        ),
    ):
        status, _, err = run(*words, capsys=capsys)
        assert status == 1 and sentence in err and not (server / "a").exists()
    (server / "me/part").mkdir(parents=True)
    (server / "me/part/config.json").write_text("{}")
    status, _, err = run("pull", "me/part", "-o", tmp_path / "p", capsys=capsys)
    assert status == 1 and "has no model.safetensors, README.md: it wasn't made by" in err
    monkeypatch.setattr(hub, "find_spec", lambda name: None)
    status, _, err = run("pull", "me/own", capsys=capsys)
    assert status == 1 and "the hub needs huggingface_hub, which isn't installed: pip" in err
