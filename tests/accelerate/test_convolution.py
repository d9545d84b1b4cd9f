import pytest
import torch
from torch import nn
from torch._subclasses import FakeTensorMode

from mmseg_gc.accelerate import convolution
from mmseg_gc.accelerate.convolution import conv_norm_act
from mmseg_gc.accelerate.cpu import operators, winograd
from mmseg_gc.accelerate.kernels import Kernels

CASES = [
    dict(in_channels=8, out_channels=24, kernel_size=1),
    dict(in_channels=8, out_channels=16, kernel_size=1, stride=2, bias=False),
    dict(in_channels=8, out_channels=16, kernel_size=3, stride=2, padding=1, groups=4),
    dict(in_channels=128, out_channels=128, kernel_size=3, padding=2, dilation=2),
    dict(in_channels=8, out_channels=8, kernel_size=3, padding="same"),
    dict(in_channels=8, out_channels=8, kernel_size=3, padding=1, padding_mode="reflect"),
]


def norm_of(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels).eval()
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("residual", [None, "kept", "overwritten"])
@pytest.mark.parametrize("options", CASES)
def test_does_what_its_parts_do(
    options: dict,
    residual: str | None,
    relu: bool,
    fused: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if fused and not operators.available():
        pytest.skip("this build of torch has no fused convolutions")
    if not fused:
        monkeypatch.setattr(operators, "available", lambda: False)
    monkeypatch.setattr(winograd, "pays", lambda *of: True)  # on few tiles too
    conv = nn.Conv2d(**options)
    norm, act = norm_of(conv.out_channels), nn.ReLU() if relu else None
    x = torch.randn(2, conv.in_channels, 26, 31).to(memory_format=torch.channels_last)
    with torch.no_grad():
        expected = norm(conv(x))
        other = None if residual is None else torch.randn_like(expected)
        if other is not None:
            expected = expected + other
        before = None if other is None else other.clone()
        expected = expected.relu() if relu else expected
        out = conv_norm_act(x, conv, norm, act, other, overwrite=residual == "overwritten")
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-4)
    assert residual != "kept" or torch.equal(other, before)


def test_winograd_is_for_many_channels_and_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = winograd.convolve
    monkeypatch.setattr(winograd, "convolve", lambda *a, **k: calls.append(0) or original(*a, **k))
    with torch.no_grad():
        conv_norm_act(torch.randn(1, 256, 48, 48), nn.Conv2d(256, 256, 3, padding=1))
        assert len(calls) == 1
        conv_norm_act(torch.randn(1, 128, 8, 8), nn.Conv2d(128, 128, 3, padding=1))
        conv_norm_act(torch.randn(1, 64, 24, 24), nn.Conv2d(64, 128, 3, padding=1))
    assert len(calls) == 1


def test_filters_that_see_one_input_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(winograd, "pays", lambda x, *of: bool(asked.append(of)))
    convs = [nn.Conv2d(128, count, 3, padding=1) for count in (128, 192)]
    with torch.no_grad():
        out = convolution.convolve(
            torch.randn(1, 128, 8, 8), [Kernels(conv) for conv in convs], relu=False
        )
    assert asked == [(1, 320)] and out.shape == (1, 320, 8, 8)


def test_winograd_is_for_cpus_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its scratch and threads are a CPU's; ``meta`` stands for any other device."""
    monkeypatch.setattr(winograd, "pays", lambda *of: True)
    monkeypatch.setattr(winograd, "convolve", lambda *args, **kwargs: pytest.fail("on meta"))
    conv = nn.Conv2d(128, 128, 3, padding=1, device="meta")
    with torch.no_grad():
        out = conv_norm_act(torch.empty(1, 128, 48, 48, device="meta"), conv)
    assert out.device.type == "meta" and out.shape == (1, 128, 48, 48)


def hooked(conv: nn.Conv2d) -> nn.Conv2d:
    conv.register_forward_hook(lambda module, args, out: out + 1)
    return conv


def patched(conv: nn.Conv2d) -> nn.Conv2d:
    conv.forward = lambda x: nn.Conv2d.forward(conv, x) + 1
    return conv


@pytest.mark.parametrize(
    "conv",
    [
        hooked(nn.Conv2d(4, 4, 1)),
        patched(nn.Conv2d(4, 4, 1)),
        type("Own", (nn.Conv2d,), {"forward": lambda self, x: x + 1})(4, 4, 1),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 1)),
        nn.Identity(),
    ],
)
def test_what_is_not_plain_is_called(conv: nn.Module) -> None:
    norm, x = norm_of(4), torch.randn(1, 4, 5, 5)
    with torch.no_grad():
        expected = norm(conv(x)).relu()
        assert torch.equal(conv_norm_act(x, conv, norm, nn.ReLU()), expected)


def test_norms_in_training_and_of_batches_are_called() -> None:
    conv, x = nn.Conv2d(4, 4, 1), torch.randn(2, 4, 5, 5)
    for norm in (nn.BatchNorm2d(4), nn.BatchNorm2d(4, track_running_stats=False).eval()):
        with torch.no_grad():
            out = conv_norm_act(x, conv, norm)
        torch.testing.assert_close(out.mean((0, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)


def test_gradients_autocast_and_single_images_go_the_plain_way() -> None:
    conv, norm = nn.Conv2d(4, 4, 1), norm_of(4)
    x = torch.randn(2, 4, 5, 5)
    conv_norm_act(x, conv, norm).sum().backward()
    assert conv.weight.grad.abs().sum() > 0
    conv.requires_grad_(False), norm.requires_grad_(False)
    leaf = x.clone().requires_grad_()
    conv_norm_act(leaf, conv, norm).sum().backward()
    assert leaf.grad.abs().sum() > 0
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert conv_norm_act(x, conv).dtype == torch.bfloat16
    with torch.no_grad():
        torch.testing.assert_close(conv_norm_act(x[0], conv), conv(x[0]))


def test_private_operators_are_there() -> None:
    """If this fails, torch took some away: mmseg_gc/accelerate/cpu/operators.py has to follow."""
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this build of torch has no oneDNN")
    assert operators.missing() == (), f"this torch lacks {', '.join(operators.missing())}"


def test_missing_operators_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "PRIVATE", ("mkldnn._nonesuch", *operators.PRIVATE))
    operators.missing.cache_clear()
    try:
        assert operators.missing() == ("mkldnn._nonesuch",) and not operators.available()
    finally:
        operators.missing.cache_clear()
    assert convolution.operators is operators


class OnAGpu(nn.Parameter):
    """Numbers on a CPU that say that they are on a GPU."""

    device = torch.device("cuda", 0)


def test_a_gpu_keeps_folded_weights_until_they_change() -> None:
    conv, norm = nn.Conv2d(6, 4, 3), norm_of(4)
    conv.weight = OnAGpu(conv.weight.detach())
    kernels = [Kernels(conv, norm)]
    first = convolution._folded(kernels)[0]
    assert convolution._folded(kernels)[0] is first
    with torch.no_grad():
        conv.weight.mul_(2)
    assert torch.equal(convolution._folded(kernels)[0], 2 * first)


@pytest.mark.skipif(not operators.available(), reason="this torch has no fused convolutions")
@pytest.mark.parametrize(
    ("dtype", "options", "is_kept"),
    [
        (torch.bfloat16, dict(kernel_size=1), True),
        (torch.bfloat16, dict(kernel_size=3, padding=1, stride=2), True),
        (torch.bfloat16, dict(kernel_size=3, padding=1), False),  # Winograd's, on larger maps
        (torch.float32, dict(kernel_size=1), False),
    ],
)
def test_a_cpu_keeps_weights_in_sixteen_bits(
    dtype: torch.dtype, options: dict, is_kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    folds, folded = [], convolution.folded
    assert operators.available()  # asks what torch has, and packs once for that
    packs, packed = [], operators.packed
    monkeypatch.setattr(convolution, "folded", lambda kernels: folds.append(0) or folded(kernels))
    monkeypatch.setattr(
        operators, "packed", lambda *of, **how: packs.append(0) or packed(*of, **how)
    )
    conv, norm = nn.Conv2d(128, 128, **options), norm_of(128)
    conv.to(dtype).to(memory_format=torch.channels_last)

    def outputs(size: tuple[int, int]) -> list[torch.Tensor]:
        x = torch.randn(2, 128, *size).to(dtype).to(memory_format=torch.channels_last)
        weight, bias = folded([Kernels(conv, norm)])
        plain = torch.nn.functional.conv2d(x, weight, bias, conv.stride, conv.padding)
        return [plain, conv_norm_act(x, conv, norm)]

    with torch.inference_mode():
        for size in ((6, 7), (6, 7), (9, 4)):  # kept ones do for other sizes too
            plain, found = outputs(size)
            torch.testing.assert_close(found, plain, atol=0.02, rtol=0.02)
        assert (len(folds), len(packs)) == ((1, 1) if is_kept else (3, 0))
        conv.weight.data.mul_(-3)
        plain, found = outputs((6, 7))
        torch.testing.assert_close(found, plain, atol=0.06, rtol=0.02)


def test_tensors_without_numbers_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "packed", lambda *of, **how: pytest.fail("a fake was packed"))
    with FakeTensorMode(), torch.no_grad():
        conv, x = nn.Conv2d(8, 4, 1, dtype=torch.bfloat16), torch.randn(1, 8, 5, 5).bfloat16()
        assert conv_norm_act(x, conv).shape == (1, 4, 5, 5)
