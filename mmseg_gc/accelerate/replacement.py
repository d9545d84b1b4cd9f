"""Put modules of a subclass into the places of those that are known by their exact class."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from mmseg_gc.accelerate.convolution import unhooked


def as_subclass(module: nn.Module, kind: type[nn.Module]) -> nn.Module:
    """A ``kind``, a subclass of ``module``'s class, with the very parts and options of ``module``.

    Parameters and buffers are the same; another child, or a hook, can be given to one of the two.
    """
    new = kind.__new__(kind)
    for name, value in module.__dict__.items():
        apart = isinstance(value, dict) and name not in ("_parameters", "_buffers")
        new.__dict__[name] = value.copy() if apart else value
    return new


@dataclass
class Replacement:
    """``new`` in the place of ``old``: the child ``name`` of ``parent``, called ``path`` in all."""

    parent: nn.Module
    name: str
    path: str
    old: nn.Module
    new: nn.Module

    def undo(self) -> None:
        self.parent._modules[self.name] = self.old


def replace(
    root: nn.Module,
    kinds: Mapping[type[nn.Module], type[nn.Module]],
    parts: Collection[str] | None = None,
    where: Callable[[Any], bool] = unhooked,
) -> list[Replacement]:
    """Put the subclass that ``kinds`` names into the place of each module below ``root``.

    Below those of its ``parts`` only, if they are given, and only where ``where`` is true of it. A
    module whose class isn't exactly one of those, or which was given hooks or a forward of its own,
    stays. In the list outer ones come first.
    """
    done: list[Replacement] = []
    known: dict[nn.Module, nn.Module] = {}  # one that stands in two places stays one
    names = root._modules if parts is None else parts
    for name in list(names):
        _replace(root, name, name, kinds, lambda old: unhooked(old) and where(old), done, known)
    return done


def _replace(
    parent: nn.Module,
    name: str,
    path: str,
    kinds: Mapping[type[nn.Module], type[nn.Module]],
    where: Callable[[nn.Module], bool],
    done: list[Replacement],
    known: dict[nn.Module, nn.Module],
) -> None:
    old = parent._modules.get(name)
    if old is None:
        return
    seen = old in known
    if seen:
        new = known[old]
    else:
        kind = kinds.get(type(old))
        new = as_subclass(old, kind) if kind is not None and where(old) else old
        known[old] = new
    if new is not old:
        parent._modules[name] = new
        done.append(Replacement(parent, name, path, old, new))
    if not seen:
        for child in list(new._modules):
            _replace(new, child, f"{path}.{child}", kinds, where, done, known)
