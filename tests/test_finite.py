import pytest
import torch

from mmseg_gc.finite import listed, spoilt


def weights(**changes):
    """Weights and statistics of a layer, one number of each changed by its name."""
    tensors = {
        "conv.weight": torch.ones(4, 3, 3, 3),
        "bn.running_mean": -torch.ones(4),
        "bn.running_var": torch.tensor([0.0, 1.0, 2.0, 3.0]),
        "bn.num_batches_tracked": torch.tensor(7),
        "empty": torch.empty(0),
        "_extra_state": b"anything",
    }
    for name, value in changes.items():
        tensors[name.replace("__", ".")].flatten()[-1] = value
    return tensors


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("conv__weight", float("nan")),
        ("conv__weight", float("inf")),
        ("conv__weight", float("-inf")),
        ("bn__running_mean", float("inf")),
        ("bn__running_var", float("inf")),
        ("bn__running_var", float("nan")),
        ("bn__running_var", -1e-30),
    ],
)
def test_the_tensor_is_named(name, value):
    assert spoilt(weights(**{name: value})) == [name.replace("__", ".")]


def test_numbers_are_fine():
    assert spoilt(weights()) == spoilt({}) == []
    assert spoilt({"mean": torch.tensor([-3.0])}) == []
    # The norm of these overflows, in their own type.
    assert spoilt({"a": torch.full((9,), 3e38), "b": torch.full((9,), 6e4).half()}) == []
    mixed = {"a": torch.ones(2).double(), "b": torch.ones(2).bfloat16(), "n": torch.ones(2).long()}
    assert spoilt(mixed) == []


def test_one_wait_for_the_device_if_nothing_is_wrong(monkeypatch):
    waits = []
    for name in ("item", "tolist", "cpu", "__bool__", "__float__"):
        original = getattr(torch.Tensor, name)

        def counted(self, *args, original=original):
            waits.append(original)
            return original(self, *args)

        monkeypatch.setattr(torch.Tensor, name, counted)
    assert spoilt(weights()) == [] and len(waits) == 1


def test_three_are_listed():
    assert listed(["a", "b"]) == "a, b"
    assert listed(list("abcde")) == "a, b, c and 2 more"
