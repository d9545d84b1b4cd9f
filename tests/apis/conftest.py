"""A small trained model and images for it."""

from pathlib import Path

import pytest
import torch

from mmseg_gc.apis import init_model
from mmseg_gc.checkpoint import save_checkpoint

CONFIG = Path(__file__).parents[2] / "configs/gcnet/gcnet_r18-d8_1xb8-20k_camvid-360x480.py"
TINY = """
model = dict(
    pretrained=None,
    backbone=dict(base_channels=8),
    decode_head=dict(in_channels=64, channels=8),
    auxiliary_head=dict(in_channels=32, channels=8),
)
"""


@pytest.fixture(scope="session")
def tiny_files(tmp_path_factory) -> tuple[Path, Path]:
    """The paths of a small config, which reads images as they are, and of weights for it."""
    folder = tmp_path_factory.mktemp("tiny")
    pipeline = [dict(type="LoadImageFromFile"), dict(type="PackSegInputs")]
    loader = f"test_dataloader = dict(dataset=dict(pipeline={pipeline}))\n"
    config = folder / "tiny.py"
    config.write_text(f"_base_ = {str(CONFIG)!r}\n{TINY}{loader}")
    torch.manual_seed(0)
    model = init_model(config)
    head = model.decode_head.conv_seg
    torch.nn.init.normal_(head.weight, std=1.0)
    with torch.no_grad():  # of themselves, random weights give one class everywhere
        logits = model(torch.randn(4, 3, 48, 64, generator=torch.Generator().manual_seed(0)))
        head.bias -= logits.mean(dim=(0, 2, 3))
    save_checkpoint(dict(state_dict=model.state_dict()), folder / "w.pth")
    return config, folder / "w.pth"


@pytest.fixture(scope="session")
def tiny_model(tiny_files):
    return init_model(*tiny_files)
