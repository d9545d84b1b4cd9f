"""Detectors on this package's backbone are mmdetection's own, number by number; a step trains."""

import copy
import importlib
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools" / "benchmarks"
pytestmark = pytest.mark.det


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    return importlib.import_module("check_detection")


@pytest.mark.parametrize(
    ("name", "params", "source"),
    [
        # 44.40 M is Mask R-CNN R50-FPN with COCO's 80 classes; a GC block of ratio r in a stage of
        # C channels adds 2C^2/r + C + 1 + C + 3C/r.
        ("mask-rcnn_r50_fpn_1x_coco.py", 44.4, "its backbone"),
        ("mask-rcnn_r50-gcb-r16-c3-c5_fpn_1x_coco.py", 46.9, "its file"),
        ("mask-rcnn_r50-syncbn-gcb-r4-c3-c5_fpn_4conv1fc-syncbn_1x_coco.py", None, "its backbone"),
        (
            "cascade-mask-rcnn_x101-32x4d-syncbn-dconv-c3-c5-r4-gcb-c3-c5_fpn_1x_coco.py",
            None,
            "its file",
        ),
    ],
)
def test_row(tool, name, params, source, tmp_path):
    tool.draw_coco(tmp_path)
    row = tool.check(tool.CONFIGS / name, tmp_path)
    assert row["ok"], row
    assert row["source"] == source
    if params:
        assert row["params"] == pytest.approx(params, abs=0.05)


def test_a_difference_is_seen(tool):
    from mmengine.registry import DefaultScope

    from mmseg_gc.config import load_config
    from mmseg_gc.registry import MODELS

    model = load_config(tool.CONFIGS / "mask-rcnn_r50-gcb-r16-c3-c5_fpn_1x_coco.py").model
    model.backbone.init_cfg = None
    other = copy.deepcopy(model)
    other.backbone.type = "ResNet"
    other.backbone.style = "caffe"
    assert tool.differing_keys(model.to_dict(), other.to_dict()) == {
        "model.backbone.type",
        "model.backbone.style",
    }
    with DefaultScope.overwrite_default_scope("mmdet"), MODELS.switch_scope_and_registry(None) as m:
        row = tool.compare(m.build(model), m.build(other))
    assert row["same_params"] and row["same_keys"]
    assert min(row["differences"].values()) > max(tool.TOLERANCES.values())
