"""`tools/test.py --report` and `mmseg_gc report`: one pass, the metric's own figures, bad input."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmseg_gc.apis import init_model
from mmseg_gc.checkpoint import save_checkpoint
from mmseg_gc.cli.report import main
from mmseg_gc.models import EncoderDecoder

CONFIG = Path(__file__).parents[2] / "configs/gcnet/gcnet_r18-d8_1xb8-20k_camvid-360x480.py"
SPLITS = ("train", "val", "test")
ONE_CHANNEL = [
    *(f"model.{head}.num_classes=2" for head in ("decode_head", "auxiliary_head")),
    *(f"model.{head}.out_channels=1" for head in ("decode_head", "auxiliary_head")),
    *(f"model.{h}.loss_decode.use_sigmoid=True" for h in ("decode_head", "auxiliary_head")),
    *(
        f"{split}_dataloader.dataset.metainfo.classes=[Sky,Road]"
        for split in ("train", "val", "test")
    ),
]


@pytest.fixture
def options(camvid_options, narrow_options) -> list[str]:
    return [*camvid_options, *narrow_options]


@pytest.fixture
def weights(tmp_path, narrow_options):
    def make(*more: str) -> Path:
        pairs = (option.split("=", 1) for option in (*narrow_options, *more))
        cfg = {key: eval(value) for key, value in pairs if key.startswith("model.")}
        if cfg.get("model.decode_head.num_classes") == 2:
            for split in SPLITS:
                cfg[f"{split}_dataloader.dataset.metainfo.classes"] = ["Sky", "Road"]
        path = tmp_path / "weights.pth"
        model = init_model(CONFIG, cfg_options=cfg)
        for name, parameter in model.named_parameters():
            if name.endswith("conv_seg.weight"):
                parameter.data.normal_(std=2)  # else one class is all there is
        save_checkpoint({"state_dict": model.state_dict()}, path)
        return path

    return make


@pytest.mark.parametrize(
    "more",
    [
        pytest.param((), marks=pytest.mark.slow),
        pytest.param(("test_dataloader.dataset.reduce_zero_label=True",), marks=pytest.mark.slow),
        ("test_dataloader.dataset.metainfo.classes=[Road,Sky]", "--tta", *ONE_CHANNEL),
    ],
    ids=["plain", "reduce_zero_label", "label map, one channel, views"],
)
def test_figures_are_the_printed_ones(run_tool, options, weights, tmp_path, more):
    flags = [flag for flag in more if flag.startswith("--")]
    more = [option for option in more if not option.startswith("--")]
    page, checkpoint = tmp_path / "out/report.html", weights(*more)
    finished = run_tool(
        "test.py", CONFIG, checkpoint, "--report", page, "--out", tmp_path / "maps", *flags,
        "--work-dir", tmp_path / "t", "--cfg-options", *options, *more,
    )  # fmt: skip
    assert finished.status == 0, finished.err
    metrics = json.loads((page.parent / "metrics.json").read_text())
    printed = dict(re.findall(r"(aAcc|mIoU|mAcc): ([\d.]+)", finished.out))
    assert len(printed) == 3
    assert finished.out.splitlines()[-1] == f"The report is {page}; its figures are beside it."
    for name, value in printed.items():
        assert metrics["means"][name] == pytest.approx(float(value), abs=0.0051)
    assert metrics["about"]["SHA-256 of the weights"] == (
        hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    )
    pixels = np.load(page.parent / "confusion.npy").sum()
    assert sum(metrics["calibration"]["pixels"]) == pixels > 0
    assert metrics["calibration"]["right"] and "figure" in page.read_text()


def test_counts_by_numpy_and_one_forward(
    options, weights, camvid_root, tmp_path, monkeypatch, capsys
):
    calls = []
    run = EncoderDecoder._run
    monkeypatch.setattr(
        EncoderDecoder, "_run", lambda self, x, metas: calls.append(len(x)) or run(self, x, metas)
    )
    page, maps = tmp_path / "report.html", tmp_path / "maps"
    arguments = [CONFIG, weights(), "-o", page, "--work-dir", tmp_path / "t", "--cfg-options"]
    arguments += [*options, f"test_evaluator.output_dir={maps}"]
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert ended.value.code == 0 and sum(calls) == 2
    told = capsys.readouterr().out  # a few lines and the table of classes, as of `test`
    assert "mIoU" in told and str(page) in told and "mmengine - INFO" not in told
    assert len(told.splitlines()) < 40
    confusion = np.zeros((11, 11), int)
    for path in (camvid_root / "valannot").iterdir():
        label, pred = (cv2.imread(str(p), -1) for p in (path, maps / path.name))
        np.add.at(confusion, (label[label != 11], pred[label != 11]), 1)
    assert np.load(tmp_path / "confusion.npy").tolist() == confusion.tolist()


def one_sentence(call, capsys, *parts: str) -> None:
    with pytest.raises(SystemExit) as ended:
        call()
    err = capsys.readouterr().err
    assert ended.value.code == 1 and err.count("\n") == 1
    assert all(part in err for part in parts), err


def test_bad_input(options, camvid_root, tmp_path, capsys):
    def report(*arguments):
        work_dir = ["--work-dir", str(tmp_path / "t"), "--cfg-options", *options]
        return lambda: main([str(a) for a in arguments] + work_dir)

    page = tmp_path / "report.html"
    one_sentence(report(CONFIG, "w.pth", "-o", tmp_path), capsys, "is no page; name a file")
    one_sentence(report(tmp_path, "x", "-o", page), capsys, "has no metrics.json")
    shutil.copytree(camvid_root / "val", tmp_path / "pictures")
    options += [
        f"test_dataloader.dataset.data_root={tmp_path}",
        "test_dataloader.dataset.data_prefix.img_path=pictures",
        "test_dataloader.dataset.data_prefix.seg_map_path=None",
    ]
    one_sentence(report(CONFIG, "w.pth", "-o", page), capsys, "has no labels to report on")
    assert not page.exists()


def test_help_shows_both_ways(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert "mmseg_gc report own.py" in out and "mmseg_gc report reports/first reports/second" in out
