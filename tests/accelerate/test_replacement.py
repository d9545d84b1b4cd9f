import torch
from torch import nn

from mmseg_gc.accelerate.replacement import as_subclass, replace


class Double(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


class Other(nn.Linear):
    """Of the user's: none that is known by its exact class."""


KINDS = {nn.Linear: Double}


def model() -> nn.Module:
    made = nn.Module()
    made.body = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), Other(2, 2), nn.Linear(2, 2))
    made.head = nn.Linear(2, 2)
    return made


def paths(done) -> list[str]:
    return [one.path for one in done]


def test_parameters_are_shared_and_hooks_are_not() -> None:
    plain = nn.Linear(2, 3)
    new = as_subclass(plain, Double)
    assert type(new) is Double and new.weight is plain.weight and new.out_features == 3
    x = torch.randn(4, 2)
    torch.testing.assert_close(new(x), 2 * plain(x))
    new.register_forward_hook(lambda *call: None)
    new.weight.data.zero_()
    assert not plain._forward_hooks and not plain.weight.any()


def test_exact_classes_in_their_places() -> None:
    root = model()
    done = replace(root, KINDS)
    assert paths(done) == ["body.0", "body.3", "head"]
    assert [type(m) for m in root.body] == [Double, nn.ReLU, Other, Double]
    for one in done:
        one.undo()
    assert [type(m) for m in root.body] == [nn.Linear, nn.ReLU, Other, nn.Linear]
    assert type(root.head) is nn.Linear


def test_some_parts_and_some_modules_only() -> None:
    root = model()
    assert paths(replace(root, KINDS, parts=["head", "neck"])) == ["head"]
    root = model()
    last = root.body[3]
    assert paths(replace(root, KINDS, where=lambda old: old is last)) == ["body.3"]


def test_a_module_with_a_hook_stays() -> None:
    root = model()
    root.body[0].register_forward_hook(lambda *call: None)
    root.head.forward = lambda x: x
    assert paths(replace(root, KINDS)) == ["body.3"]


def test_one_that_stands_in_two_places_stays_one() -> None:
    root = nn.Module()
    root.a = root.b = nn.Linear(2, 2)
    assert paths(replace(root, KINDS)) == ["a", "b"]
    assert root.a is root.b and type(root.a) is Double
