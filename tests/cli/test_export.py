"""The command `export`, as people type it."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest
import torch

from mmseg_gc.cli import export
from mmseg_gc.deploy import exporting
from mmseg_gc.deploy.formats import SUFFIXES

OTHER = ["--cfg-options", "model.decode_head.channels=16"]  # than the weights have


def run(*words, capsys) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        export.main([str(word) for word in words])
    return stopped.value.code, *capsys.readouterr()


def test_what_is_printed_of_a_file_that_passed(exported):
    """The three sizes are those of synthetic images: the config's data isn't here."""
    assert exported.status == 0 and exported.path.is_file()
    lines = exported.out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["192×256", "96×128", "145×193"]
    assert all(float(line.split()[1]) < 1e-4 for line in lines[1:4])
    assert "compared with torch on 1 synthetic images, by onnxruntime" in lines[4]
    assert "trtexec --onnx=" in lines[5] and "--minShapes=image:1x3x64x64" in lines[5]
    assert [path.name for path in exported.path.parent.iterdir() if "tiny" in path.name] == [
        "tiny.onnx"
    ]


def test_what_differs_is_called_failed(tiny_files, tmp_path, capsys, monkeypatch):
    honest = exporting.own_function
    monkeypatch.setattr(exporting, "own_function", lambda path: lambda x: honest(path)(x) + 1)
    out = tmp_path / "t.torchscript"
    status, _, err = run(*tiny_files, "--to", "torchscript", "-o", out, capsys=capsys)
    failed = tmp_path / "t.FAILED.torchscript"
    assert status == 1 and not out.exists() and failed.is_file()
    assert f"Error: {failed} compared with torch" in err and "logits differ by" in err
    extra = {"mmseg_gc.json": ""}
    function = torch.jit.load(str(failed), _extra_files=extra)
    meta = json.loads(extra["mmseg_gc.json"])
    assert meta["gate"]["passed"] is False and "logits differ" in meta["gate"]["reason"]
    assert function(torch.zeros(3, 3, 41, 64)).shape == (3, 11, 6, 8)  # any size and batch


def test_a_signal_leaves_nothing_half_written(tiny_files, tmp_path, capsys, monkeypatch):
    def compare(*args, **kwargs) -> None:
        assert [path.suffix for path in tmp_path.glob(".t.*/*")] == [".torchscript"]
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(exporting, "compare", compare)
    before = signal.getsignal(signal.SIGTERM)
    try:
        status, *_ = run(
            *tiny_files, "--to", "torchscript", "-o", tmp_path / "t.torchscript", capsys=capsys
        )
    finally:
        signal.signal(signal.SIGTERM, before)
    assert status == 143 and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["-o", "a.xml"], "a.xml: a file of onnx ends in .onnx; name it so"),
        (["--opset", "9", "--gate-images", "1"], "opset 9 can't be written; give one from 18 to"),
        (["--to", "pt2", "--int8"], "--int8 is for onnx and openvino, not for pt2"),
        (["--to", "pt2", "--half"], "--half is for onnx and openvino, not for pt2"),
        (["--gate-images", "0"], "--gate-images 0: give 1 or more"),
        (["--shape", "8", "8"], "--shape (8, 8): give a height and a width of 32 or more"),
        (["--int8", "--calibrate", "0"], "--calibrate 0 is no number of images"),
        (["--images", "nowhere.png"], "nowhere.png"),
        (["-o", "new/a.onnx", *OTHER], "Use its own config"),
    ],
)
def test_what_can_not_be_exported(tiny_files, tmp_path, capsys, monkeypatch, words, sentence):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="needs the export extra: pip install '.[export]'")
    monkeypatch.chdir(tmp_path)
    status, _, err = run(*tiny_files, *words, capsys=capsys)
    assert status == 1 and sentence in err.splitlines()[-1] and err.count("Error: ") == 1
    assert list(tmp_path.iterdir()) == []


def test_exported_files_are_not_exported_again(tiny_files, capsys):
    for words in ([tiny_files[0], "own.onnx"], ["own.xml", tiny_files[1]]):
        status, _, err = run(*words, capsys=capsys)
        assert status == 1 and "is an exported file: give the config and checkpoint that" in err


def test_suffixes_of_the_help_are_those_of_the_formats():
    assert export.EXPORTED == SUFFIXES


def test_missing_packages_are_named(tiny_files, capsys, monkeypatch):
    monkeypatch.setattr("mmseg_gc.deploy.formats.find_spec", lambda name: None)
    status, _, err = run(*tiny_files, capsys=capsys)
    assert status == 1
    assert "export to onnx needs onnx, onnxscript, onnxruntime, not installed here: pip" in err
    assert "'mmseg_gc[export]'" in err


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["--to", "pt2"],
        ["--to", "openvino"],
        ["--to", "openvino", "--bake", "--output", "labels"],
        ["--to", "onnx", "--bake", "--output", "probabilities"],
        ["--to", "onnx", "--shape", "64", "96", "--opset", "20"],
        ["--to", "torchscript", "--bake", "--output", "labels"],
    ],
)
def test_every_format_passes(tiny_files, tmp_path, capsys, words):
    pytest.importorskip("openvino", reason="needs the export extra: pip install '.[export]'")
    out = tmp_path / f"t{export.EXPORTED[words[1]]}"
    status, said, err = run(*tiny_files, *words, "-o", out, "--gate-images", 1, capsys=capsys)
    assert status == 0 and "passed." in said, err
    assert out.is_file()


@pytest.mark.parametrize(
    ("name", "suffix"), [("pytorch2onnx", ".onnx"), ("pytorch2torchscript", ".torchscript")]
)
def test_the_names_that_people_type(name, suffix, tiny_files, tmp_path, monkeypatch):
    """Their options mean what they meant there."""
    import runpy

    asked = []
    monkeypatch.setattr(export, "export", lambda args: asked.append(args) or 0)
    script = Path(__file__).parents[2] / "tools/deployment" / f"{name}.py"
    config, weights = map(str, tiny_files)
    words = [config, "--checkpoint", weights, "--output-file", f"a{suffix}", "--shape", "64"]
    monkeypatch.setattr(sys, "argv", [str(script), *words, "--verify"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(script), run_name="__main__")
    [args] = asked
    assert stopped.value.code == 0 and args.to == name.removeprefix("pytorch2")
    assert (args.config, args.checkpoint, args.out) == (config, weights, f"a{suffix}")
    assert args.shape == [64, 64]
