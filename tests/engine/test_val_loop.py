import pytest
import torch

from mmseg_gc.engine import ValLoop
from mmseg_gc.engine.val_loop import _autocast_dtype


class Watch(torch.nn.Module):
    """Notes whether it runs under autocast."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append((self.training, torch.is_autocast_enabled("cpu")))
        return x


@pytest.fixture
def watched(toy):
    def run(work_dir, **keys):
        runner = toy.build(work_dir, 2, **keys)
        watch = runner.model.layers[2] = Watch()
        runner.train()
        assert isinstance(runner.val_loop, ValLoop)
        return {mode: {on for training, on in watch.seen if training == mode} for mode in (0, 1)}

    return run


AMP = dict(type="AmpOptimWrapper", optimizer=dict(type="SGD", lr=0.1))


def test_it_runs_under_autocast_where_it_is_asked_for(watched, toy, tmp_path, monkeypatch):
    monkeypatch.setattr(toy.ToyModel, "val_step", lambda self, batch: self(**batch))
    if torch.cuda.is_available():
        pytest.skip("the CPU's autocast is what this looks at")
    for fp16 in (True, False):
        seen = watched(tmp_path / str(fp16), optim_wrapper=AMP, **{"val_cfg.fp16": fp16})
        assert seen == {0: {fp16}, 1: {True}}


def test_its_dtype_is_the_training_s():
    device = "cuda" if torch.cuda.is_available() else "cpu"
    before = torch.get_autocast_dtype(device)
    with _autocast_dtype(torch.float16):
        assert torch.get_autocast_dtype(device) == torch.float16
    assert torch.get_autocast_dtype(device) == before
    with _autocast_dtype(None):
        assert torch.get_autocast_dtype(device) == before


def test_a_wrapper_s_dtype_is_passed_on(toy, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "mmseg_gc.engine.val_loop._autocast_dtype",
        lambda dtype: asked.append(dtype) or _autocast_dtype(None),
    )
    if not torch.cuda.is_available():
        toy.build(tmp_path / "amp", 2, optim_wrapper=AMP).train()
        assert asked == [torch.bfloat16]
    toy.build(tmp_path / "plain", 2).train()
    assert asked[-1] is None
