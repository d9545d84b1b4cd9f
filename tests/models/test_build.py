"""Parts are built by mmsegmentation's names, also from the package itself."""

import mmseg_gc.models
from mmseg_gc.models import CrossEntropyLoss, EncoderDecoder, GCHead, ResNetV1c, build
from mmseg_gc.registry import MODELS


def test_the_registries_of_each_kind_are_one():
    for name in ("BACKBONES", "NECKS", "HEADS", "LOSSES", "SEGMENTORS"):
        assert getattr(build, name) is MODELS


def test_functions_that_build(gcnet_cfg):
    cfg = gcnet_cfg()
    loss = build.build_loss(dict(type="CrossEntropyLoss", loss_weight=0.5))
    assert isinstance(loss, CrossEntropyLoss) and loss.loss_weight == 0.5
    assert isinstance(build.build_head(cfg["decode_head"]), GCHead)
    assert isinstance(build.build_backbone(cfg["backbone"]), ResNetV1c)
    model = mmseg_gc.models.build_segmentor(cfg, test_cfg=dict(mode="whole"))
    assert isinstance(model, EncoderDecoder) and model.test_cfg == dict(mode="whole")
    assert "test_cfg" not in cfg
