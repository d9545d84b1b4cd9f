import argparse

import pytest
from mmengine.config import Config

from mmseg_gc.config.prediction import prepare_test
from mmseg_gc.engine.detector_options import apply_test_options, choose_metrics, put_in_place
from mmseg_gc.errors import UserError


@pytest.fixture
def cfg():
    return Config(
        dict(
            default_scope="mmdet",
            model=dict(type="MaskRCNN", backbone=dict(type="mmseg_gc.ResNet")),
            default_hooks=dict(),
            test_evaluator=dict(type="CocoMetric", metric=["bbox", "segm"]),
        ),
        cfg_text=" ",
        filename="c.py",
    )


def options(**given):
    none = dict(out=None, show=False, show_dir=None, wait_time=2, format_only=False)
    return argparse.Namespace(**{**none, **given})


def test_out_dumps_beside_the_scores(cfg, tmp_path):
    apply_test_options(cfg, options(out=str(tmp_path / "r.pkl")))
    assert [evaluator.type for evaluator in cfg.test_evaluator] == ["CocoMetric", "DumpDetResults"]
    # mmdetection's own writer writes in place, so that it gets another name.
    unfinished = cfg.test_evaluator[1].out_file_path
    assert unfinished == str(tmp_path / ".r.unfinished.pkl")
    (tmp_path / "r.pkl").write_text("old")
    with open(unfinished, "w") as file:
        file.write("new")
    assert (tmp_path / "r.pkl").read_text() == "old"
    put_in_place(str(tmp_path / "r.pkl"))
    assert [path.name for path in tmp_path.iterdir()] == ["r.pkl"]
    assert (tmp_path / "r.pkl").read_text() == "new"
    choose_metrics(cfg, ["bbox"])
    assert cfg.test_evaluator[0].metric == ["bbox"]


def test_images_go_where_they_were_asked_for(cfg, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    apply_test_options(cfg, options(show_dir="show"))
    hook = cfg.default_hooks.visualization
    assert (hook.type, hook.draw, hook.test_out_dir) == (
        "DetVisualizationHook", True, str(tmp_path / "show"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(out="folder"), "--out folder: .* name it FILE.pkl"),
        (dict(out="nowhere/r.pkl"), "there is no folder nowhere; name a file in"),
        (dict(format_only=True), "--format-only is for segmentors; .*outfile_prefix"),
    ],
)
def test_what_a_detector_cannot_do(cfg, given, message):
    with pytest.raises(UserError, match=message):
        apply_test_options(cfg, options(**given))


def test_metrics(cfg):
    choose_metrics(cfg, None)
    assert cfg.test_evaluator.metric == ["bbox", "segm"]
    with pytest.raises(UserError, match="--eval mIoU: a detector is scored by bbox, segm"):
        choose_metrics(cfg, ["mIoU"])
    cfg.default_scope = "mmseg_gc"
    choose_metrics(cfg, ["mIoU"])
    with pytest.raises(UserError, match="--eval bbox: c.py is scored by mIoU alone"):
        choose_metrics(cfg, ["bbox"])


def test_a_detector_is_prepared_without_keys_of_segmentors(cfg):
    prepare_test(cfg, "w.pth")
    assert "pretrained" not in cfg.model
    assert [hook.type for hook in cfg.custom_hooks] == ["mmseg_gc.ProgressBarHook"]
    with pytest.raises(UserError, match="--precision and --compile are for segmentors"):
        prepare_test(cfg, "w.pth", precision="bf16")
