"""mmsegmentation's tools by their names and options: what each prints or writes."""

import csv
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_gc.apis import inference_model, init_model
from mmseg_gc.checkpoint import read_checkpoint, save_checkpoint

ROOT = Path(__file__).parents[2]
ANALYSIS = sorted((ROOT / "tools/analysis_tools").glob("*.py"))
CONFIG = ROOT / "configs/gcnet/gcnet_r18-d8_1xb8-20k_camvid-360x480.py"
WRONG = 2  # a class that the first image has
SCRIPTS = [
    *(f"../demo/{path.name}" for path in sorted((ROOT / "demo").glob("*.py"))),
    *(
        f"analysis_tools/{path.name}"
        for path in sorted((ROOT / "tools/analysis_tools").glob("*.py"))
    ),
    *(f"misc/{name}.py" for name in ("browse_dataset", "print_config", "publish_model")),
]


@pytest.mark.parametrize("script", SCRIPTS)
def test_help(run_tool, script):
    finished = run_tool(script, "--help")
    assert finished.status == 0 and finished.out.startswith("usage: ")
    assert Path(script).name in finished.out.split("\n")[0]


def test_flops_of_the_published_model(run_tool):
    """790 GFLOPs and 49.63 M parameters, as the facts of the model have it."""
    name = "gcnet_r50-d8_4xb2-40k_cityscapes-512x1024"
    finished = run_tool("analysis_tools/get_flops.py", name, "--shape", 512, 1024)
    assert finished.status == 0, finished.err
    assert re.search(r"Operations: 790\.\d\d GFLOPs \(395\.\d\d G multiply-adds\)", finished.out)
    assert "Input: 3 x 512 x 1024" in finished.out and "Parameters: 49.63 M" in finished.out


def test_flops_by_shape_and_options(run_tool, narrow_options):
    def count(*flags) -> float:
        flags = (*flags, "--cfg-options", *narrow_options, "model.pretrained=None")
        finished = run_tool("analysis_tools/get_flops.py", CONFIG, *flags)
        assert finished.status == 0, finished.err
        return float(re.search(r"Operations: ([\d.]+)", finished.out)[1])

    assert count("--shape", 128) == count("--shape", 128, 128)
    assert count("--shape", 512, 256) == pytest.approx(8 * count("--shape", 128), rel=0.03)
    finished = run_tool("analysis_tools/get_flops.py", CONFIG, "--shape", 1, 2, 3)
    assert finished.status == 1 and "is no height and width in pixels" in finished.err


@pytest.fixture
def predicted(camvid_root, tmp_path):
    """Maps of the two test images with their true ids, but one class as the next in the first."""
    for number, label in enumerate(sorted((camvid_root / "valannot").iterdir())):
        ids = np.array(Image.open(label))
        ids[ids == 11] = 5  # void: not counted, whatever it is labelled as
        if number == 0:
            ids[ids == WRONG] = WRONG + 1
        Image.fromarray(ids).save(tmp_path / label.name)
    return tmp_path


def test_confusion_matrix(run_tool, camvid_root, predicted, camvid_options):
    out = predicted / "figures"
    options = ["--cfg-options", *camvid_options]
    tool = "analysis_tools/confusion_matrix.py"
    finished = run_tool(tool, CONFIG, predicted, out, *options)
    assert finished.status == 0, finished.err
    counts = np.zeros((11, 11), int)
    for number, label in enumerate(sorted((camvid_root / "valannot").iterdir())):
        true = np.array(Image.open(label)).ravel()
        for class_id in range(11):
            labelled = WRONG + 1 if class_id == WRONG and number == 0 else class_id
            counts[class_id, labelled] += (true == class_id).sum()
    assert counts[WRONG, WRONG + 1] > 0
    with open(out / "confusion_matrix.csv") as file:
        head, *rows = csv.reader(file)
    assert head[1:3] == ["Sky", "Building"] and [row[0] for row in rows[:2]] == head[1:3]
    assert (np.array([row[1:] for row in rows], int) == counts).all()
    image = cv2.imread(str(out / "confusion_matrix.png"))
    other = ["--color-theme", "gray", "--title", "Mine"]
    assert run_tool(tool, CONFIG, predicted, out, *other, *options).status == 0
    assert not np.array_equal(image, cv2.imread(str(out / "confusion_matrix.png")))


def test_what_confusion_matrix_refuses(run_tool, predicted, camvid_options, monkeypatch):
    def told(*flags) -> str:
        words = (CONFIG, predicted, predicted / "f", *flags, "--cfg-options", *camvid_options)
        finished = run_tool("analysis_tools/confusion_matrix.py", *words)
        assert finished.status == 1
        return finished.err

    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert "no screen here to show images on: leave --show out" in told("--show")
    assert "--color-theme wintr is none; did you mean 'winter'?" in told("--color-theme", "wintr")
    first, second = sorted(predicted.glob("*.png"))
    ids = np.array(Image.open(first))
    ids[0, 0] = 77
    Image.fromarray(ids).save(first)
    assert f"{first.name} has 77, which stands for no class" in told()
    ids[0, 0] = 0
    Image.fromarray(ids[:10]).save(first)
    assert "of another size" in told()
    first.unlink()
    assert first.name in told()
    assert not list((predicted / "f").iterdir())


def test_visualization_cam(run_tool, tiny_files, camvid_root, tmp_path):
    image = str(sorted((camvid_root / "val").iterdir())[0])
    labels = inference_model(init_model(*tiny_files), image).pred_sem_seg.data[0]
    ids, areas = labels.unique(return_counts=True)
    common = int(ids[areas.argmax()])
    files = {name: tmp_path / f"{name}.png" for name in ("labels", "a", "b", "c")}

    def draw(cam, *flags):
        named = ["--out-file", files["labels"], "--cam-file", files[cam], "--device", "cpu"]
        words = (image, *tiny_files, *named, "--category-index", common, *flags)
        finished = run_tool("analysis_tools/visualization_cam.py", *words)
        return finished

    for cam, flags in (
        ("a", ["--target-layers", "backbone.layer4[1]"]),
        ("b", ["--target-layers", "backbone.layer4.1"]),
        ("c", ["--target-layers", "decode_head.conv_cat"]),
    ):
        finished = draw(cam, *flags)
        assert finished.status == 0, finished.err
    maps = {name: cv2.imread(str(path)) for name, path in files.items()}
    assert {drawn.shape for drawn in maps.values()} == {(72, 96, 3)}
    assert np.array_equal(maps["a"], maps["b"]) and not np.array_equal(maps["a"], maps["c"])
    finished = draw("a")  # layer4[2], which R18 has not
    assert finished.status == 1 and "the model has no such layer; did you mean" in finished.err
    for flags, told in (
        (["--category-index", "99"], "--category-index 99 is no class; there are 0 Sky, 1 Build"),
        (["--target-layers", "backbone.layer4.1", "--category-index"], "is labelled"),
    ):
        absent = next(number for number in range(11) if number not in ids.tolist())
        words = [*flags, absent] if flags[-1] == "--category-index" else flags
        finished = draw("a", *words)
        assert finished.status == 1 and told in finished.err


def test_print_config(run_tool):
    for name in ("--cfg-options", "--options"):
        finished = run_tool("misc/print_config.py", CONFIG, name, "train_cfg.max_iters=7")
        assert finished.status == 0 and "'max_iters': 7" in finished.out
        assert "default_scope = 'mmseg_gc'" in finished.out and "_base_" not in finished.out


def test_the_graph_of_a_config(run_tool, narrow_options):
    finished = run_tool("misc/print_config.py", CONFIG, "--graph", "--cfg-options", *narrow_options)
    assert finished.status == 0, finished.err
    assert finished.out.startswith("EncoderDecoder(") and "(gc_block): ContextBlock" in finished.out


def test_publish_model(run_tool, tmp_path):
    import hashlib

    weights = {"decode_head.conv_seg.weight": torch.arange(6.0)}
    meta = {"dataset_meta": {"classes": ["a"]}}
    content = dict(state_dict=weights, meta=meta, optimizer={"state": {0: torch.ones(1000)}})
    save_checkpoint(content, tmp_path / "iter_2.pth")
    before = (tmp_path / "iter_2.pth").read_bytes()
    for target in ("out/named.pth", "iter_2.pth"):  # and beside the file itself
        finished = run_tool("misc/publish_model.py", tmp_path / "iter_2.pth", tmp_path / target)
        assert finished.status == 0, finished.err
        [path] = (tmp_path / target).parent.glob(f"{Path(target).stem}-*.pth")
        assert str(path) in finished.out
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert path.stem == f"{Path(target).stem}-{digest[:8]}"
        published = read_checkpoint(path)
        assert set(published) == {"meta", "state_dict"} and published["meta"] == meta
        assert torch.equal(
            published["state_dict"]["decode_head.conv_seg.weight"], torch.arange(6.0)
        )
    assert (tmp_path / "iter_2.pth").read_bytes() == before
    assert not [path for path in tmp_path.rglob("*") if "unnamed" in path.name]
    refused = run_tool("misc/publish_model.py", tmp_path / "iter_2.pth", tmp_path / "x.onnx")
    assert refused.status == 1 and "name the file NAME.pth" in refused.err


def test_browse_dataset_as_it_was_called(run_tool, camvid_options, tmp_path, monkeypatch):
    def browse(*flags):
        words = (CONFIG, "--number", 2, *flags, "--cfg-options", *camvid_options)
        return run_tool("misc/browse_dataset.py", *words)

    assert browse("--output-dir", tmp_path / "a", "--not-show").status == 0
    assert len(list((tmp_path / "a").iterdir())) == 2
    assert "2 of 4 images were drawn" in browse("--not-show").out
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert "no screen here to show images on: name a folder by --out" in browse().err
    monkeypatch.setenv("DISPLAY", ":0")
    shown = []
    monkeypatch.setattr(
        "mmseg_gc.visualization.window.show", lambda image, title, seconds: shown.append(seconds)
    )
    assert browse("--show-interval", 0.5).status == 0 and shown == [0.5, 0.5]
