"""`mmseg_gc compare` on four tiny images: what it trains, finds again, measures and refuses."""

import contextlib
import importlib
import json
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub, MMLogger

from mmseg_gc.apis import inference_model, init_model
from mmseg_gc.checkpoint import load_checkpoint
from mmseg_gc.cli import compare
from mmseg_gc.cli.comparing import runs
from mmseg_gc.cli.comparing.jobs import last_words
from mmseg_gc.cli.main import main
from mmseg_gc.visualization import SegLocalVisualizer

CONFIGS = Path(__file__).parents[2] / "configs"
SUFFIX = "_r18-d8_1xb8-20k_camvid-360x480.py"
BASES = {
    "fcn": CONFIGS / f"camvid_heads/fcn{SUFFIX}",
    "gcnet": CONFIGS / f"gcnet/gcnet{SUFFIX}",
}
SMALL = """
crop_size = (32, 48)
default_hooks = dict(curves=None, logger=dict(interval=1))
"""
SETTINGS = ["iters=2", "batch=2", "workers=0"]
SCALES = [
    "train_dataloader.dataset.pipeline.2.scale=(96,72)",
    "test_dataloader.dataset.pipeline.1.scale=(96,72)",
]


@pytest.fixture
def configs(tmp_path, tiny_text, camvid_root) -> list[str]:
    """``fcn_tiny.py`` and ``gcnet_tiny.py`` on the tiny data."""
    folder = tmp_path / "configs"
    folder.mkdir()
    for name, base in BASES.items():
        text = f'_base_ = "{base}"\ndata_root = "{camvid_root}"\n{SMALL}{tiny_text}'
        (folder / f"{name}_tiny.py").write_text(text)
    return [str(folder / f"{name}_tiny.py") for name in BASES]


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """``call(*words)`` runs the command with its jobs in this process: exit status, out, err.

    ``call.jobs`` are the names of those of the last call.
    """
    monkeypatch.setattr(logging, "raiseExceptions", False)

    def run_jobs(jobs, at_once, tell):
        failed = {}
        for job in jobs:
            run.jobs.append(job.name)
            for kind in (MessageHub, MMLogger, SegLocalVisualizer):  # of earlier jobs
                kind._instance_dict.clear()
            module, *words = job.words
            job.log.parent.mkdir(parents=True, exist_ok=True)
            program = main if module == "mmseg_gc" else importlib.import_module(module).main
            with (
                job.log.open("w") as log,
                contextlib.redirect_stdout(log),
                contextlib.redirect_stderr(log),
                pytest.raises(SystemExit) as stopped,
            ):
                program(words)
            if stopped.value.code:
                failed[job.name] = last_words(job.log)
            tell(job.name, failed.get(job.name), 0)
        return failed

    def run(*words):
        run.jobs = []
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            options = ["--work-dir", tmp_path / "work", "--cfg-options", *SCALES]
            compare.main([*map(str, [*words, *options])])
        return stopped.value.code, *capsys.readouterr()

    monkeypatch.setattr(runs, "run_jobs", run_jobs)
    threads = torch.get_num_threads()
    yield run
    torch.set_num_threads(threads)


def score_of(config: str, weights: Path, root: Path) -> float:
    """mIoU in percent of the val images, counted with numpy: 11 is void."""
    model = init_model(config, weights)
    model.cfg.test_dataloader.dataset.pipeline[1].scale = (96, 72)
    found, wanted = [], []
    for path in sorted((root / "val").iterdir()):
        found.append(inference_model(model, str(path)).pred_sem_seg.data[0].numpy().ravel())
        wanted.append(cv2.imread(str(root / "valannot" / path.name), -1).ravel())
    found, wanted = (np.concatenate(parts) for parts in (found, wanted))
    found, wanted = found[wanted != 11], wanted[wanted != 11]
    ratios = []
    for number in range(11):
        union = ((found == number) | (wanted == number)).sum()
        both = ((found == number) & (wanted == number)).sum()
        ratios.append(both / union if union else np.nan)
    return 100 * float(np.nanmean(ratios))


def test_trains_tests_and_finds_again(call, configs, camvid_root, tmp_path):
    status, out, err = call(*configs, *SETTINGS, "--per-class")
    assert status == 0, err
    assert call.jobs == ["fcn", "gcnet"] * 2  # all are trained before the first is tested
    page = tmp_path / "work/compare.html"
    found = json.loads(page.with_suffix(".json").read_text())
    assert found["facts"]["iterations"] == "2" and found["facts"]["seed"] == "0"
    assert found["facts"]["training crops"] == "32 × 48"
    for row, config in zip(found["rows"], configs, strict=True):
        weights = tmp_path / "work" / Path(config).stem / "iter_2.pth"
        plain = init_model(config)
        count = sum(parameter.numel() for parameter in plain.parameters())
        assert row["parameters"] == pytest.approx(count / 1e6)
        assert row["miou"] == pytest.approx(score_of(config, weights, camvid_root), abs=0.006)
        assert f"| {row['name']:<6} |" in out and f"{row['miou']:.2f}" in out
        assert row["ms"] > 0 and row["mib"] > 100
    # The block is all that the two differ in: a convolution to one channel, two of a quarter of
    # the width, and a norm.
    more = found["rows"][1]["parameters"] - found["rows"][0]["parameters"]
    assert round(more * 1e6) == (8 + 1) + (8 * 2 + 2) + 2 * 2 + (2 * 8 + 8)
    assert "Pedestrian" in out
    for suffix in (".html", ".md", ".csv", ".svg"):
        assert "gcnet" in page.with_suffix(suffix).read_text(), suffix

    assert call(*configs, *SETTINGS)[0] == 0
    assert call.jobs == []  # all of that is found
    status, _, err = call(*configs, "iters=3", *SETTINGS[1:])
    assert status == 1 and "was trained with other settings: add --overwrite" in err
    assert call.jobs == []


@pytest.mark.slow
def test_goes_on_and_tests_what_is_given(call, configs, tmp_path):
    assert call(*configs, *SETTINGS)[0] == 0
    folder = tmp_path / "work/gcnet_tiny"
    whole = load_checkpoint(folder / "iter_2.pth")["state_dict"]
    (folder / "iter_2.pth").unlink()
    (folder / "last_checkpoint").write_text(str(folder / "iter_1.pth"))
    assert call(*configs, *SETTINGS)[0] == 0
    assert call.jobs == ["gcnet", "gcnet"]  # trained and tested
    assert "iter 2/2" in (folder / "train.txt").read_text()
    assert "iter 1/2" not in (folder / "train.txt").read_text()
    again = load_checkpoint(folder / "iter_2.pth")["state_dict"]
    assert all(torch.equal(again[key], whole[key]) for key in whole)

    assert call(*configs, *SETTINGS, "--test-only")[0] == 0
    assert call.jobs == []
    assert call(*configs, *SETTINGS, "--test-only", "--precision", "bf16")[0] == 0
    assert call.jobs == ["fcn", "gcnet"]
    weights = [tmp_path / "work" / Path(config).stem / "iter_1.pth" for config in configs]
    page = tmp_path / "first.html"
    assert call(*configs, "workers=0", "--checkpoints", *weights, "-o", page)[0] == 0
    assert call.jobs == ["fcn", "gcnet"]
    assert "iterations" not in json.loads(page.with_suffix(".json").read_text())["facts"]
    assert call(*configs, *SETTINGS, "--precision", "bf16")[0] == 0
    assert call.jobs == []  # which those didn't touch
    status, _, err = call(*configs, *SETTINGS, "--overwrite")
    assert status == 0, err
    assert call.jobs == ["fcn", "gcnet"] * 2


def test_others_go_on_where_one_fails(call, configs, tmp_path):
    with open(configs[0], "a") as config:
        config.write('load_from = "nowhere.pth"\n')
    status, out, err = call(*configs, *SETTINGS)
    assert status == 1
    assert call.jobs == ["fcn", "gcnet", "gcnet"]
    assert "nowhere.pth" in err and "fcn: failed" in err
    [line] = [line for line in out.splitlines() if "| fcn" in line]
    assert "failed" in line
    first, second = json.loads((tmp_path / "work/compare.json").read_text())["rows"]
    assert "nowhere.pth" in first["error"] and second["miou"] is not None
    assert "<b>fcn failed:</b>" in (tmp_path / "work/compare.html").read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["{0}"], "1 config is none to compare: name two or more."),
        (["{0}", "{0}"], "two of the configs are named fcn_tiny: rename one."),
        (["{0}", "{1}", "iter=2"], "'iter=2' is no KEY=VALUE that train takes"),
        (["{0}", "nowhere/x.py"], "config nowhere/x.py doesn't exist"),
        (["{0}", "{1}", "--jobs", "0"], "--jobs 0 is no number"),
        (["{0}", "{1}", "--checkpoints", "a.pth"], "--checkpoints has 1 files for 2 configs."),
        (["{0}", "{1}", "--checkpoints", "a.pth", "b.pth"], "checkpoint a.pth doesn't exist"),
        (["{0}", "{1}", "--test-only"], "has no checkpoint to test: leave out --test-only"),
        (["{0}", "{1}", "-o", "table.csv"], "--out table.csv is no page"),
    ],
)
def test_one_sentence(words, told, call, configs):
    status, out, err = call(*(word.format(*configs) for word in words))
    assert status == 1 and told in err and err.count("\n") == 1
    assert call.jobs == [] and out == ""


@pytest.mark.slow
def test_in_processes_of_their_own(configs, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        words = ["--jobs", "2", "--work-dir", str(tmp_path / "work"), "--cfg-options", *SCALES]
        main(["compare", *configs, *SETTINGS, *words])
    assert stopped.value.code == 0
    assert "gcnet: tested in" in capsys.readouterr().err
    rows = json.loads((tmp_path / "work/compare.json").read_text())["rows"]
    assert all(100 < row["mib"] < 3000 for row in rows)
