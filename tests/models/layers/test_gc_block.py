import math

import mmcv.cnn
import pytest
import torch
from torch import nn

from mmseg_gc.errors import UserError
from mmseg_gc.models import ContextBlock


def fill(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


def transform(conv: nn.Sequential, context: list[float]) -> list[float]:
    """1x1 convolution, layer norm, ReLU and 1x1 convolution of one vector, written out."""
    down, norm, _, up = conv
    hidden = [
        sum(w * c for w, c in zip(row, context, strict=True)) + bias
        for row, bias in zip(down.weight.flatten(1).tolist(), down.bias.tolist(), strict=True)
    ]
    mean = sum(hidden) / len(hidden)
    var = sum((h - mean) ** 2 for h in hidden) / len(hidden)
    hidden = [
        max(0.0, (h - mean) / math.sqrt(var + 1e-5) * gamma + beta)
        for h, gamma, beta in zip(
            hidden, norm.weight.flatten().tolist(), norm.bias.flatten().tolist(), strict=True
        )
    ]
    return [
        sum(w * h for w, h in zip(row, hidden, strict=True)) + bias
        for row, bias in zip(up.weight.flatten(1).tolist(), up.bias.tolist(), strict=True)
    ]


def written_out(block: ContextBlock, image: list) -> list:
    """The block's output for one image [C][H][W], in Python floats."""
    channels = [[pixel for row in plane for pixel in row] for plane in image]
    positions = range(len(channels[0]))
    if block.pooling_type == "att":
        mask_weight = block.conv_mask.weight.flatten().tolist()
        scores = [
            sum(w * plane[p] for w, plane in zip(mask_weight, channels, strict=True))
            for p in positions
        ]
        total = sum(math.exp(score) for score in scores)
        shares = [math.exp(score) / total for score in scores]
    else:
        shares = [1 / len(positions) for _ in positions]
    context = [sum(plane[p] * shares[p] for p in positions) for plane in channels]
    factor, summand = [1.0] * len(context), [0.0] * len(context)
    if block.channel_mul_conv is not None:
        factor = [1 / (1 + math.exp(-t)) for t in transform(block.channel_mul_conv, context)]
    if block.channel_add_conv is not None:
        summand = transform(block.channel_add_conv, context)
    return [
        [[pixel * factor[c] + summand[c] for pixel in row] for row in plane]
        for c, plane in enumerate(image)
    ]


CASES = [
    (pooling, fusions)
    for pooling in ("att", "avg")
    for fusions in (("channel_add",), ("channel_mul",), ("channel_mul", "channel_add"))
]


@pytest.mark.parametrize(("pooling", "fusions"), CASES)
def test_equals_the_written_out_loop(pooling: str, fusions: tuple[str, ...]) -> None:
    block = fill(ContextBlock(6, 1 / 2, pooling, fusions)).double()
    x = torch.randn(2, 6, 3, 4, dtype=torch.float64)
    expected = torch.tensor([written_out(block, p) for p in x.tolist()], dtype=torch.float64)
    torch.testing.assert_close(block(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("pooling", "fusions"), CASES)
def test_equals_mmcv(pooling: str, fusions: tuple[str, ...]) -> None:
    # In float64: processors round float32 products in different order.
    ours = fill(ContextBlock(16, 1 / 4, pooling, fusions)).double()
    theirs = mmcv.cnn.ContextBlock(16, 1 / 4, pooling, fusions).double()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    x = torch.randn(2, 16, 5, 7, dtype=torch.float64, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    ours(x).square().sum().backward()
    theirs(y).square().sum().backward()
    torch.testing.assert_close(ours(x), theirs(y))
    torch.testing.assert_close(x.grad, y.grad)
    torch.testing.assert_close(
        [p.grad for p in ours.parameters()], [p.grad for p in theirs.parameters()]
    )


def test_one_seed_gives_mmcv_s_weights() -> None:
    torch.manual_seed(1)
    ours = ContextBlock(16, 1 / 4, "att", ("channel_add", "channel_mul")).state_dict()
    torch.manual_seed(1)
    theirs = mmcv.cnn.ContextBlock(16, 1 / 4, "att", ("channel_add", "channel_mul")).state_dict()
    assert list(ours) == list(theirs)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_keys_and_shapes() -> None:
    shapes = {key: tuple(v.shape) for key, v in ContextBlock(512, 1 / 4).state_dict().items()}
    assert shapes == {
        "conv_mask.weight": (1, 512, 1, 1),
        "conv_mask.bias": (1,),
        "channel_add_conv.0.weight": (128, 512, 1, 1),
        "channel_add_conv.0.bias": (128,),
        "channel_add_conv.1.weight": (128, 1, 1),
        "channel_add_conv.1.bias": (128, 1, 1),
        "channel_add_conv.3.weight": (512, 128, 1, 1),
        "channel_add_conv.3.bias": (512,),
    }


def test_starts_as_identity_or_one_half() -> None:
    x = torch.randn(2, 8, 3, 3)
    assert torch.equal(ContextBlock(8, 1 / 4)(x), x)
    assert torch.equal(ContextBlock(8, 1 / 4, fusion_types=("channel_mul",))(x), x / 2)


def test_stays_identity_inside_a_randomly_drawn_backbone() -> None:
    block = ContextBlock(8, 1 / 4)
    fill(block)
    block.init_weights()
    x = torch.randn(2, 8, 3, 3)
    assert torch.equal(block(x), x)


def test_channels_last_is_kept_and_equal() -> None:
    block = fill(ContextBlock(8, 1 / 4))
    x = torch.randn(2, 8, 5, 6)
    out = block(x.to(memory_format=torch.channels_last))
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out, block(x))


def test_attends_to_the_position_the_mask_prefers() -> None:
    block = ContextBlock(2, 1 / 2)
    nn.init.constant_(block.conv_mask.weight, 50)  # A hard maximum over positions.
    x = torch.zeros(1, 2, 2, 2)
    x[0, :, 1, 0] = torch.tensor([3.0, 4.0])
    torch.testing.assert_close(block.spatial_pool(x).flatten(), torch.tensor([3.0, 4.0]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(pooling_type="max"), "pooling_type='max'.*att, avg"),
        (dict(fusion_types=("add",)), "fusion_types=.*channel_add, channel_mul"),
        (dict(fusion_types=()), "fusion_types=.*one or more"),
        (dict(fusion_types="channel_add"), "give a tuple"),
        (dict(ratio=1 / 64), "ratio=0.015625.*in_channels=32.*1/32"),
    ],
)
def test_wrong_options_name_the_right_ones(options: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        ContextBlock(**{"in_channels": 32, "ratio": 1 / 4, **options})
