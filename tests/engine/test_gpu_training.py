"""What a training does for a GPU, seen on a machine without one."""

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import nn

from mmseg_gc.accelerate import training
from mmseg_gc.engine import SGD, launchers
from mmseg_gc.engine import runner as running
from mmseg_gc.engine.runner import SegRunner


@pytest.fixture
def bare(monkeypatch):
    """A runner of one process that has nothing but its config; its models stay on the CPU."""
    monkeypatch.setattr(SegRunner, "distributed", False)
    monkeypatch.setattr(nn.Module, "to", _keep_device(nn.Module.to))

    def make(**cfg):
        runner = SegRunner.__new__(SegRunner)
        runner.cfg, runner._world_size = Config(cfg), 1
        return runner

    return make


def _keep_device(to):
    def stay(self, *args, **kwargs):
        return to(self, **kwargs) if kwargs else self

    return stay


AMP = dict(type="mmseg_gc.AmpOptimWrapper")


@pytest.mark.parametrize(
    ("device", "tf32", "wrapper", "ops", "expected"),
    [
        ("cuda", False, AMP, False, True),
        ("cuda", False, dict(type="AmpOptimWrapper"), False, True),
        ("cuda", True, dict(type="OptimWrapper"), False, True),
        ("cuda", False, dict(type="OptimWrapper"), False, False),
        ("cuda", True, AMP, True, False),
        ("cpu", False, None, False, True),
    ],
)
def test_channels_last_where_tensor_cores_want_it(
    bare, monkeypatch, device, tf32, wrapper, ops, expected
):
    monkeypatch.setattr(running, "get_device", lambda: device)
    monkeypatch.setattr(running, "uses_tf32", lambda: tf32)
    monkeypatch.setattr(training, "has_ops", lambda model: ops)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    wrapped = bare(optim_wrapper=wrapper).wrap_model(None, model)
    last = wrapped[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert last is expected
    after = wrapped.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], before[key]) for key in before)


@pytest.mark.parametrize("gpu", [True, False])
def test_every_process_group_is_left_at_the_end(bare, monkeypatch, gpu):
    """After an error too: the interpreter calls it on its way out."""
    done = []
    monkeypatch.setattr(SegRunner, "distributed", True)
    monkeypatch.setattr(SegRunner, "launcher", "pytorch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(running, "get_device", lambda: "cuda" if gpu else "cpu")
    monkeypatch.setattr(running, "is_distributed", lambda: False)
    monkeypatch.setattr(launchers.atexit, "register", done.append)
    monkeypatch.setattr(
        torch.distributed, "init_process_group", lambda backend: done.append(backend)
    )
    monkeypatch.setattr(Runner, "setup_env", lambda self, env_cfg: done.append("env"))
    bare().setup_env({})
    assert done == [*([] if gpu else ["gloo"]), launchers.leave_process_group, "env"]

    left = []
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: left.append(1))
    launchers.leave_process_group()
    assert left == [1]


def test_keys_of_the_environment_are_read(bare, monkeypatch):
    asked = []
    monkeypatch.setattr(Runner, "setup_env", lambda self, env_cfg: None)
    monkeypatch.setattr(running, "set_tf32", asked.append)
    monkeypatch.setattr(running, "check_compiler", lambda *args: asked.append(args))
    bare(tf32=False).setup_env({})
    bare(compile=True).setup_env({})
    assert asked == [False, ({}, "cpu"), None]


def test_a_checkpoint_is_on_the_cpu(toy, tmp_path, monkeypatch):
    """Averaged weights and what any hook puts in are asked for as the rest is."""
    moved, saved = set(), []

    def cpu(tensor):
        copy = tensor.clone()
        moved.add(id(copy))
        saved.append(copy)  # keeps its id
        return copy

    def check(checkpoint, path):
        if path.name != "iter_2.pth":
            return
        tensors = list(_tensors({k: v for k, v in checkpoint.items() if k != "message_hub"}))
        assert len(tensors) > 20 and all(id(tensor) in moved for tensor in tensors)
        assert {"ema_state_dict", "state_dict", "optimizer", "resume_state"} <= checkpoint.keys()
        assert hasattr(checkpoint["state_dict"], "_metadata")
        saved.append(path.name)

    monkeypatch.setattr(torch.Tensor, "cpu", cpu)
    monkeypatch.setattr(running, "save_checkpoint", check)
    toy.build(tmp_path, 2, hooks=[dict(type="EMAHook")]).train()
    assert "iter_2.pth" in saved


def _tensors(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors(part)


def test_the_optimizer_of_any_wrapper_is_prepared(toy, tmp_path):
    runner = toy.build(tmp_path, 1, optim_wrapper=dict(optimizer=dict(type="Adam", fused=True)))
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    state = wrapper.optimizer.state_dict()
    state["param_groups"][0]["fused"] = None
    wrapper.load_state_dict(state)
    assert wrapper.optimizer.param_groups[0]["fused"] is True
    assert type(toy.build(tmp_path, 1).build_optim_wrapper(dict(
        type="OptimWrapper", optimizer=dict(type="SGD", lr=0.1)
    )).optimizer) is SGD  # fmt: skip


def test_a_training_compiles_parts_and_validates_without(toy, tmp_path, monkeypatch):
    """One graph: images of a validation come one by one, and would take another."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    class Layers(nn.Sequential):  # torch compiles no frame of its own classes
        def forward(self, x):
            return super().forward(x)

    def forward(self, inputs, data_samples=None, mode="tensor"):
        output = self.backbone(torch.stack(list(inputs)))
        return {"loss": (output**2).mean()} if mode == "loss" else data_samples

    monkeypatch.setattr(toy.ToyModel, "forward", forward)
    ends = []
    for compiled in (False, dict(backend=backend)):
        keys = {"model.dropout": 0.0, "compile": compiled}
        runner = toy.build(tmp_path / str(bool(compiled)), 3, **keys)
        runner.model.backbone = Layers(*runner.model.layers)
        del runner.model.layers
        runner.train()
        ends.append(runner.model.state_dict())
    assert len(graphs) == 1
    assert list(ends[0]) == list(ends[1])
    for key, value in ends[0].items():
        torch.testing.assert_close(ends[1][key], value)
