import pytest
import torch

from mmseg_gc.models.layers import Upsample, resize


@pytest.mark.parametrize(
    ("align_corners", "row"), [(False, [0.0, 1.0, 3.0, 4.0]), (True, [0.0, 4 / 3, 8 / 3, 4.0])]
)
def test_bilinear_by_hand(align_corners: bool, row: list[float]) -> None:
    x = torch.tensor([[[[0.0, 4.0]]]])
    out = resize(x, size=(1, 4), mode="bilinear", align_corners=align_corners, warning=False)
    torch.testing.assert_close(out.flatten(), torch.tensor(row))


def test_scale_factor() -> None:
    x = torch.tensor([[[[1.0, 2.0]]]])
    assert resize(x, scale_factor=2).tolist() == [[[[1, 1, 2, 2], [1, 1, 2, 2]]]]


def test_own_size_costs_no_copy() -> None:
    x = torch.randn(1, 2, 3, 4)
    assert resize(x, size=torch.Size((3, 4)), mode="bilinear", align_corners=False) is x


def test_warns_where_corners_cannot_align(recwarn: pytest.WarningsRecorder) -> None:
    x = torch.randn(1, 1, 97, 97)
    resize(x, size=(769, 769), mode="bilinear", align_corners=True)
    resize(x, size=(768, 768), mode="bilinear", align_corners=False)
    resize(x, size=(768, 768), mode="bilinear", align_corners=True, warning=False)
    resize(x, size=(50, 50), mode="bilinear", align_corners=True)
    assert not recwarn
    with pytest.warns(UserWarning, match=r"\(97, 97\) with \(768, 768\)"):
        resize(x, size=(768, 768), mode="bilinear", align_corners=True)


def test_upsample_is_a_layer():
    """To a size, or by a factor that is rounded down, as torch's own functions say."""
    maps = torch.randn(1, 2, 5, 7)
    for options in (dict(scale_factor=2), dict(scale_factor=(1.5, 3)), dict(size=(9, 8))):
        size = options.get("size") or {2: (10, 14), (1.5, 3): (7, 21)}[options["scale_factor"]]
        layer = Upsample(**options, mode="bilinear", align_corners=False)
        wanted = torch.nn.functional.interpolate(maps, size, mode="bilinear", align_corners=False)
        torch.testing.assert_close(layer(maps), wanted)
    nearest = Upsample(scale_factor=2)(maps)
    torch.testing.assert_close(nearest, maps.repeat_interleave(2, -1).repeat_interleave(2, -2))


@pytest.mark.parametrize("way", ["export", "trace"])
def test_sizes_stay_free_in_an_exported_network(way: str) -> None:
    """A head of several maps brings them to the size of the first, whatever that is."""

    class Head(torch.nn.Module):
        def forward(self, small: torch.Tensor, large: torch.Tensor) -> torch.Tensor:
            return resize(small, size=large.shape[2:], mode="bilinear", align_corners=False)

    def maps(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.randn(1, 2, height, width), torch.zeros(1, 2, 2 * height, 3 * width)

    if way == "export":
        dim = torch.export.Dim.DYNAMIC
        sizes = ({2: dim, 3: dim}, {2: dim, 3: dim})
        head = torch.export.export(Head(), maps(5, 7), dynamic_shapes=sizes).module()
    else:
        head = torch.jit.trace(Head(), maps(5, 7))
    for size in ((5, 7), (8, 6)):
        torch.testing.assert_close(head(*(given := maps(*size))), Head()(*given))
