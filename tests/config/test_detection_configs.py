"""Detection without its extra: what is asked for by name, and what the 30 configs are called."""

import csv
import io
from pathlib import Path

import pytest

from mmseg_gc import environment
from mmseg_gc.config import load_config, read
from mmseg_gc.errors import UserError

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs" / "gcnet_det"
# model, backbone, norm, box head, GC ratio (0: none), schedule: the published table, row by row
ROWS = """\
mask,r50,fix,2fc,0,1x
mask,r50,fix,2fc,16,1x
mask,r50,fix,2fc,4,1x
mask,r50,fix,2fc,0,2x
mask,r50,fix,2fc,16,2x
mask,r50,fix,2fc,4,2x
mask,r50,sync,2fc,0,1x
mask,r50,sync,2fc,16,1x
mask,r50,sync,2fc,4,1x
mask,r50,sync,2fc,0,2x
mask,r50,sync,2fc,16,2x
mask,r50,sync,2fc,4,2x
mask,r50,sync,4conv1fc,0,1x
mask,r50,sync,4conv1fc,16,1x
mask,r50,sync,4conv1fc,4,1x
mask,r101,fix,2fc,0,1x
mask,r101,fix,2fc,16,1x
mask,r101,fix,2fc,4,1x
mask,r101,sync,2fc,0,1x
mask,r101,sync,2fc,16,1x
mask,r101,sync,2fc,4,1x
mask,x101-32x4d,sync,2fc,0,1x
mask,x101-32x4d,sync,2fc,16,1x
mask,x101-32x4d,sync,2fc,4,1x
cascade-mask,x101-32x4d,sync,2fc,0,1x
cascade-mask,x101-32x4d,sync,2fc,16,1x
cascade-mask,x101-32x4d,sync,2fc,4,1x
cascade-mask,x101-32x4d,dconv,2fc,0,1x
cascade-mask,x101-32x4d,dconv,2fc,16,1x
cascade-mask,x101-32x4d,dconv,2fc,4,1x
"""


def names() -> list[str]:
    found = []
    for model, backbone, norm, head, ratio, schedule in csv.reader(io.StringIO(ROWS)):
        norm = {"fix": "", "sync": "-syncbn", "dconv": "-syncbn-dconv-c3-c5"}[norm]
        blocks = f"-gcb-r{ratio}-c3-c5" if model == "mask" else f"-r{ratio}-gcb-c3-c5"
        blocks = blocks if ratio != "0" else ""
        head = "_4conv1fc-syncbn" if head == "4conv1fc" else ""
        found.append(f"{model}-rcnn_{backbone}{norm}{blocks}_fpn{head}_{schedule}_coco.py")
    return found


@pytest.fixture
def without_extra(monkeypatch):
    """As if neither mmdetection nor mmcv's ops were there, whatever this environment has."""
    monkeypatch.setattr(environment, "find_spec", lambda name: None)
    monkeypatch.setattr(read, "find_spec", lambda name: None)


def test_every_published_row_has_a_short_config():
    assert len(names()) == len(set(names())) == 30
    assert {path.name for path in CONFIGS.glob("*_coco.py")} == set(names())
    for path in CONFIGS.glob("*.py"):
        assert len(path.read_text().splitlines()) <= 15, path


@pytest.mark.parametrize("name", ["mask-rcnn_r50_fpn_1x_coco.py", names()[-1]])
def test_a_detection_config_without_the_extra(name, without_extra):
    with pytest.raises(UserError) as error:
        load_config(CONFIGS / name)
    assert str(error.value) == (
        f"detection config {CONFIGS / name} needs detection (onedl-mmdetection and mmcv with "
        "compiled ops), which isn't installed here: run `make det` and use .venv-det/bin/python."
    )


def test_a_whole_detection_config_without_the_extra(without_extra, tmp_path):
    path = tmp_path / "dumped.py"
    path.write_text("default_scope = 'mmdet'\nmodel = dict(type='MaskRCNN')\n")
    with pytest.raises(UserError, match=r"detection config .*dumped.py needs .*make det"):
        load_config(path)
