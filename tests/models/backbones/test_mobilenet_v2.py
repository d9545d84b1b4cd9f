import pytest
import torch

from mmseg_gc.errors import UserError
from mmseg_gc.models import MobileNetV2

D8 = dict(strides=(1, 2, 2, 1, 1, 1, 1), dilations=(1, 1, 1, 2, 2, 4, 4))


def test_d8_widths_strides_and_dilations() -> None:
    model = MobileNetV2(**D8)
    maps = model.eval()(torch.randn(1, 3, 64, 96))
    assert [tuple(x.shape[1:]) for x in maps] == [
        (24, 16, 24),
        (32, 8, 12),
        (96, 8, 12),
        (320, 8, 12),
    ]
    depthwise = model.layer6[0].conv[1].conv
    assert depthwise.dilation == (4, 4) and depthwise.groups == depthwise.in_channels == 96 * 6
    assert model.layer6[1].conv[1].conv.dilation == (1, 1)  # of the first block alone, as in mmseg
    # The paper's 3.4 M parameters, less the classifier's 1280 x 1000 and the convolution before it.
    assert sum(p.numel() for p in model.parameters()) == 1811712


@pytest.mark.parametrize(("factor", "widths"), [(0.25, [8, 8, 24, 80]), (1.4, [32, 48, 136, 448])])
def test_widths_are_multiples_of_eight(factor: float, widths: list[int]) -> None:
    model = MobileNetV2(factor).eval()
    assert [x.shape[1] for x in model(torch.randn(1, 3, 64, 64))] == widths


def test_input_is_added_where_shapes_agree() -> None:
    model = MobileNetV2(0.25).eval()
    first, second = model.layer3[0], model.layer3[1]
    x = torch.randn(1, 8, 6, 6)
    with torch.no_grad():
        torch.testing.assert_close(second(x), x + second.conv(x))
        assert first(x).shape == (1, 8, 3, 3)


def test_bad_input() -> None:
    with pytest.raises(UserError, match=r"strides=\(1, 2\) must have one entry a stage, 7"):
        MobileNetV2(strides=(1, 2))
    with pytest.raises(UserError, match=r"strides=\(1, 2, 2, 4, 1, 2, 1\) must be 1 or 2"):
        MobileNetV2(strides=(1, 2, 2, 4, 1, 2, 1))
    with pytest.raises(UserError, match=r"out_indices=\(7,\) must lie in 0 to 6"):
        MobileNetV2(out_indices=(7,))
