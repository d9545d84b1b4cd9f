from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mmseg_gc.config import load_config
from mmseg_gc.errors import UserError
from mmseg_gc.registry import MODELS


@pytest.fixture
def cascade_cfg(gcnet_cfg: Callable[..., dict]) -> dict:
    cfg = gcnet_cfg()
    second = dict(cfg["decode_head"], type="OCRHead", ocr_channels=4)
    return dict(
        cfg,
        type="CascadeEncoderDecoder",
        num_stages=2,
        decode_head=[cfg["auxiliary_head"], second],
        auxiliary_head=cfg["auxiliary_head"],
    )


def test_losses_of_all_heads(cascade_cfg: dict, labelled) -> None:
    model = MODELS.build(cascade_cfg).train()
    samples = [labelled(torch.randint(5, (32, 32))) for _ in range(2)]
    losses = model.loss(torch.randn(2, 3, 32, 32), samples)
    prefixes = ("decode_0", "decode_1", "aux")
    assert set(losses) == {f"{p}.{n}" for p in prefixes for n in ("loss_ce", "acc_seg")}
    assert model.align_corners is False and model.num_classes == 5


def test_labels_are_the_last_heads(cascade_cfg: dict) -> None:
    model = MODELS.build(cascade_cfg).eval()
    images = torch.randn(1, 3, 32, 32)
    features = model.extract_feat(images)
    first, second = model.decode_head
    expected = second(features, first(features))
    torch.testing.assert_close(model(images), expected)


@pytest.mark.parametrize("count", [1, 3])
def test_as_many_heads_as_stages(cascade_cfg: dict, count: int) -> None:
    with pytest.raises(UserError, match=rf"num_stages={count} and its decode_head, which has 2"):
        MODELS.build(dict(cascade_cfg, num_stages=count))
    with pytest.raises(UserError, match="which has 1"):
        MODELS.build(dict(cascade_cfg, decode_head=cascade_cfg["decode_head"][0]))


def test_which_of_the_heads_does_not_fit(cascade_cfg: dict) -> None:
    cascade_cfg["decode_head"][1]["in_channels"] = 2048
    with pytest.raises(UserError, match=r"model.decode_head.1.in_channels=2048 .* in_channels=64"):
        MODELS.build(cascade_cfg)


def test_a_config_may_list_heads() -> None:
    path = (
        Path(__file__).parents[3] / "configs/ocrnet/ocrnet_r101-d8_4xb2-40k_cityscapes-512x1024.py"
    )
    heads = load_config(path).model.decode_head
    assert [head.type for head in heads] == ["FCNHead", "OCRHead"]
