"""Detection without its extra: what is asked for by name."""

from pathlib import Path

import pytest

from mmseg_gc import environment
from mmseg_gc.config import load_config, read
from mmseg_gc.errors import UserError

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs" / "gcnet_det"


@pytest.fixture
def without_extra(monkeypatch):
    """As if neither mmdetection nor mmcv's ops were there, whatever this environment has."""
    monkeypatch.setattr(environment, "find_spec", lambda name: None)
    monkeypatch.setattr(read, "find_spec", lambda name: None)


@pytest.mark.parametrize(
    "name",
    [
        "mask-rcnn_r50_fpn_1x_coco.py",
        "cascade-mask-rcnn_x101-32x4d-syncbn-dconv-c3-c5-r4-gcb-c3-c5_fpn_1x_coco.py",
    ],
)
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
