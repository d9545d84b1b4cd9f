import pytest
import torch
from torch import nn

from mmseg_gc import environment
from mmseg_gc.engine.compiling import check_compiler, compile_options, compile_parts
from mmseg_gc.errors import UserError


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


def test_only_inductor_needs_a_compiler(monkeypatch):
    monkeypatch.setattr(environment.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="--compile needs a C"):
        check_compiler({}, "cpu")
    check_compiler({"backend": "eager"}, "cpu")


def test_a_training_stops_before_it_begins(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(environment.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="--compile needs"):
        toy.build(tmp_path, compile=True)
