"""Flags of the other tools that a run of theirs could do without: what each changes."""

import importlib
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs/gcnet/gcnet_r18-d8_1xb8-20k_camvid-360x480.py"
ROW = "gcnet_r50-d8_4xb2-40k_cityscapes-512x1024"  # published: 77.69


@pytest.mark.parametrize(
    ("flags", "made"),
    [
        ([], {"data/packed/train.pack"}),
        (["--split", "val"], {"data/packed/val.pack"}),
        (["--split", "train,val"], {"data/packed/train.pack", "data/packed/val.pack"}),
        (["--out-dir", "elsewhere"], {"elsewhere/train.pack"}),
    ],
)
def test_where_packed_copies_go(run_tool, camvid_root, tmp_path, monkeypatch, flags, made):
    (tmp_path / "data").mkdir()
    for part in camvid_root.iterdir():
        (tmp_path / "data" / part.name).symlink_to(part)
    monkeypatch.chdir(tmp_path)
    splits = ("train", "val", "test")
    options = [f"{split}_dataloader.dataset.data_root=data" for split in splits]
    finished = run_tool("pack_dataset.py", CONFIG, *flags, "--cfg-options", *options)
    assert finished.status in (0, None), finished.err
    found = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.pack")}
    assert found - {f"data/{p.name}" for p in camvid_root.iterdir()} == made


def test_what_curves_are_called(run_tool, tmp_path):
    log = tmp_path / "run" / "scalars.json"
    log.parent.mkdir()
    log.write_text('{"loss": 3.0, "lr": 0.1, "step": 1}\n{"loss": 2.0, "lr": 0.2, "step": 2}\n')

    def written(*flags) -> str:
        """The words in the image, which an SVG holds as comments beside their outlines."""
        out = tmp_path / "c.svg"
        finished = run_tool("analysis_tools/analyze_logs.py", log, "--out", out, *flags)
        assert finished.status in (0, None), finished.err
        return " ".join(re.findall(r"<!-- (.*?) -->", out.read_text()))

    plain = written("--keys", "loss")
    assert "Two runs" not in plain and "lr" not in plain.split()
    assert "Two runs" in written("--keys", "loss", "--title", "Two runs")
    assert {"lr", "loss"} <= set(written("--keys", "loss", "lr").split())
    assert "mine" in written("--keys", "loss", "--legend", "mine") and "mine" not in plain


@pytest.fixture
def measured(run_tool, monkeypatch):
    """What the inference benchmark prints, how often it ran, and what the model was made with."""
    monkeypatch.syspath_prepend(str(ROOT / "tools/benchmarks"))
    measures = importlib.import_module("measures")
    accelerate = importlib.import_module("mmseg_gc.accelerate")
    prepare = accelerate.prepare_for_inference

    def run(*flags):
        repeats, prepared = set(), []

        def seconds(work, *, device, repeat):
            work()
            repeats.add(repeat)
            return 1.0

        def keep(model, **options):
            prepared.append(options)
            return prepare(model, **{**options, "compile": False})

        monkeypatch.setattr(measures, "median_seconds", seconds)
        monkeypatch.setattr(measures, "matrix_rates", lambda *a, **k: {"fp32": 1e9, "bf16": 1e9})
        monkeypatch.setattr(accelerate, "prepare_for_inference", keep)
        finished = run_tool(
            "analysis_tools/benchmark.py", CONFIG, "--size", 32, 64, "--device", "cpu", *flags
        )
        assert finished.status in (0, None), finished.err
        return finished.out, repeats, prepared

    return run


def test_benchmark(measured):
    """Other values than the defaults: 5 times in fp32, not compiled."""
    out, repeats, prepared = measured("--repeat", 2, "--precision", "bf16", "--compile")
    assert repeats == {2} and prepared == [dict(precision="bf16", compile=True)]
    assert "reached by the network, in bf16" in out


@pytest.mark.parametrize(("flags", "status"), [([], 1), (["--tolerance", "3"], 0)])
def test_tolerance_of_the_published_scores(run_tool, monkeypatch, tmp_path, flags, status):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    zoo = importlib.import_module("zoo_measure")
    score = SimpleNamespace(miou=80.0, images_per_second=float("nan"))
    monkeypatch.setattr(zoo, "require_data", lambda cfg: None)
    monkeypatch.setattr(zoo, "training_memory", lambda cfg: 1.0)
    monkeypatch.setattr(zoo, "run_test", lambda *args, **kwargs: score)
    monkeypatch.setattr("mmseg_gc.checkpoint.download.download", lambda *args: "w.pth")
    finished = run_tool(
        "verify_zoo.py", "--rows", ROW, "--skip-aug", "--device", "cpu", "--work-dir", tmp_path,
        *flags,
    )  # fmt: skip
    assert finished.status == status, finished.err
    assert ("mIoU differs by +2.31" in finished.out) == (status == 1)
