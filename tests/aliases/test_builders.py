import pytest
from mmengine.runner import Runner

from mmseg_gc.aliases import builders
from mmseg_gc.models import CrossEntropyLoss, EncoderDecoder
from mmseg_gc.registry import MODELS, TRANSFORMS


def test_the_registries_of_each_kind_are_one():
    for name in ("BACKBONES", "NECKS", "HEADS", "LOSSES", "SEGMENTORS"):
        assert getattr(builders, name) is MODELS
    assert builders.PIPELINES is TRANSFORMS


def test_functions_that_build(gcnet_cfg):
    loss = builders.build_loss(dict(type="CrossEntropyLoss", loss_weight=0.5))
    assert isinstance(loss, CrossEntropyLoss) and loss.loss_weight == 0.5
    model = builders.build_segmentor(gcnet_cfg(), test_cfg=dict(mode="whole"))
    assert isinstance(model, EncoderDecoder) and model.test_cfg == dict(mode="whole")
    assert builders.build_dataloader == Runner.build_dataloader
    with pytest.raises(AttributeError, match="no attribute 'build_x'"):
        _ = builders.build_x


def test_a_data_set_with_defaults(camvid_root):
    cfg = dict(type="CamVidDataset", data_root=str(camvid_root), data_prefix=dict(img_path="val"))
    dataset = builders.build_dataset(cfg, dict(lazy_init=True, data_root="elsewhere"))
    assert dataset.data_root == str(camvid_root)
