import sysconfig

import pytest
import torch
from torch import nn

from mmseg_gc.engine import compiling
from mmseg_gc.engine.compiling import check_compiler, compile_options, compile_parts
from mmseg_gc.errors import UserError


@pytest.fixture
def machine(monkeypatch):
    """Lets a machine have a compiler, Triton and Python's headers, or not."""

    def have(compiler=True, triton=True, headers=True):
        monkeypatch.delenv("CXX", raising=False)
        monkeypatch.setattr(compiling.shutil, "which", lambda name: name if compiler else None)
        monkeypatch.setattr(compiling, "find_spec", lambda name: object() if triton else None)
        if not headers:
            monkeypatch.setattr(sysconfig, "get_path", lambda name: "/nowhere")

    return have


@pytest.mark.parametrize(
    ("device", "lacking", "said"),
    [
        ("cpu", "compiler", r"needs a C\+\+ compiler \(g\+\+\), not found here: install g\+\+"),
        ("cuda", "compiler", r"needs a C\+\+ compiler"),
        ("cuda", "triton", "needs Triton, not found here: pip install triton, or leave it out"),
        ("cpu", "headers", "needs Python's headers, not found here: install python3-dev"),
    ],
)
def test_what_is_lacking_is_said_before(machine, device, lacking, said):
    machine(**{lacking: False})
    with pytest.raises(UserError, match=said):
        check_compiler({}, device)
    check_compiler({"backend": "eager"}, device)


def test_a_cpu_needs_no_triton(machine, monkeypatch, tmp_path):
    machine(triton=False)
    (tmp_path / "Python.h").touch()
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    check_compiler({}, "cpu")


def test_the_key():
    assert compile_options(None) is compile_options(False) is None
    assert compile_options(True) == {}
    assert compile_options(dict(backend="eager")) == {"backend": "eager"}
    with pytest.raises(UserError, match="config key compile is 'inductor'; give True, False"):
        compile_options("inductor")


class Part(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        return self.layer(x).relu()


def test_parts_are_compiled_in_place():
    model = nn.Module()
    model.backbone, model.neck, model.other = Part(), None, Part()
    model.auxiliary_head = nn.ModuleList([Part(), Part()])
    keys = list(model.state_dict())
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    found = compile_parts(model, dict(backend=backend))
    assert found == ["backbone", "auxiliary_head", "auxiliary_head"]
    assert list(model.state_dict()) == keys
    x = torch.ones(1, 2)
    parts = [model.backbone, *model.auxiliary_head, model.other]
    found = [part(x) for part in parts]
    assert 1 <= len(graphs) <= 3
    for part, output in zip(parts, found, strict=True):
        assert torch.allclose(output, part.forward(x))
    count = len(graphs)
    model.other(x + 1)
    assert len(graphs) == count


def test_a_training_stops_before_it_begins(toy, tmp_path, machine):
    machine(compiler=False)
    with pytest.raises(UserError, match="--compile needs"):
        toy.build(tmp_path, compile=True)
