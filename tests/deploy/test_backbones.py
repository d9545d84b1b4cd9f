"""Backbones beside ResNet, as an exported program sees them."""

import pytest
import torch

from mmseg_gc.deploy.formats import as_program, example
from mmseg_gc.deploy.network import ExportNetwork
from mmseg_gc.registry import MODELS

BACKBONES = {
    "ResNeSt": (dict(depth=50, stem_channels=8, base_channels=8), 256),
    "MobileNetV2": (dict(widen_factor=0.25), 80),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES)
def test_a_program_says_the_same_at_every_size(name: str) -> None:
    keys, width = BACKBONES[name]
    model = MODELS.build(
        dict(
            type="EncoderDecoder",
            backbone=dict(type=name, norm_cfg=dict(type="BN"), **keys),
            decode_head=dict(type="FCNHead", in_channels=width, channels=8, num_classes=5),
        )
    ).eval()
    torch.nn.init.normal_(model.decode_head.conv_seg.weight)
    network = ExportNetwork(model).eval()
    program = as_program(network, example(network, 3, None), is_static=False).module()
    for size in ((64, 96), (97, 65)):
        image = torch.randn(1, 3, *size)
        with torch.no_grad():
            torch.testing.assert_close(program(image), model(image), rtol=1e-4, atol=1e-5)
