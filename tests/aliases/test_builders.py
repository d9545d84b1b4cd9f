import pytest
from mmengine.runner import Runner

from mmseg_gc.aliases import builders
from mmseg_gc.models import build
from mmseg_gc.registry import MODELS, TRANSFORMS


def test_the_registries_of_each_kind_are_one():
    assert builders.HEADS is MODELS
    assert builders.PIPELINES is TRANSFORMS


def test_functions_that_build():
    assert builders.build_segmentor is build.build_segmentor
    assert builders.build_dataloader == Runner.build_dataloader
    with pytest.raises(AttributeError, match="no attribute 'build_x'"):
        _ = builders.build_x


def test_a_data_set_with_defaults(camvid_root):
    cfg = dict(type="CamVidDataset", data_root=str(camvid_root), data_prefix=dict(img_path="val"))
    dataset = builders.build_dataset(cfg, dict(lazy_init=True, data_root="elsewhere"))
    assert dataset.data_root == str(camvid_root)
