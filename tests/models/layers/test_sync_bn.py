import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from mmseg_gc.models import ResNet
from mmseg_gc.models.layers import AllReduceBatchNorm2d, adapt_sync_bn

# Run as a script of its own: two processes meet at a file.
WORKER = """
import sys
import torch
import torch.distributed as dist
from torch import nn
from mmseg_gc.models.layers import AllReduceBatchNorm2d, adapt_sync_bn

rank, folder = int(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
model = nn.Sequential(nn.SyncBatchNorm(3))  # Built before the processes know of each other.
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
adapt_sync_bn(model, device_type="cpu", world_size=2)
assert type(model[0]) is AllReduceBatchNorm2d
results = {}
for name, case in torch.load(f"{folder}/cases.pt").items():
    layer = AllReduceBatchNorm2d(3, **case["options"]).to(case["parts"][0].dtype)
    layer.load_state_dict(case["state"])
    outs, grads = [], []
    for _ in range(2):  # Running statistics need more than one batch to be wrong.
        x = case["parts"][rank].clone().requires_grad_()
        out = layer(x)
        (out * case["weights"][rank]).sum().backward()
        outs.append(out.detach())
        grads.append(x.grad)
    results[name] = {
        "out": outs,
        "grad": grads,
        "params": [p.grad for p in layer.parameters()],
        "state": layer.state_dict(),
        "eval": layer.eval()(case["parts"][rank]).detach(),
    }
torch.save(results, f"{folder}/{rank}.pt")
dist.destroy_process_group()
"""


def test_two_processes_equal_one_big_batch(tmp_path: Path) -> None:
    cases, options_of = {}, {"plain": {}, "cumulative": {"momentum": None}}
    options_of["bare"] = {"affine": False, "track_running_stats": False}
    for dtype in (torch.float64, torch.float32):
        for name, options in options_of.items():
            x = torch.randn(4, 3, 5, 6, dtype=dtype) * 3 + 100  # A mean that makes E[x^2] cancel.
            weights = torch.randn_like(x)
            state = nn.BatchNorm2d(3, **options).state_dict()
            for key in ("weight", "bias"):
                if key in state:
                    state[key] = torch.randn(3)
            cases[f"{name} {dtype}"] = {
                "options": options,
                "parts": [x[:3], x[3:]],  # Unequal shares: 3 pictures and 1.
                "weights": [weights[:3], weights[3:]],
                "state": state,
            }
    torch.save(cases, tmp_path / "cases.pt")
    (tmp_path / "worker.py").write_text(WORKER)
    root = Path(__file__).parents[3]
    processes = [
        subprocess.Popen(
            [sys.executable, str(tmp_path / "worker.py"), str(rank), str(tmp_path)],
            env={"PYTHONPATH": str(root), "PATH": "", "GLOO_SOCKET_IFNAME": "lo"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=100)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))

    for name, case in cases.items():
        tolerance = (
            dict(rtol=1e-10, atol=1e-10) if "float64" in name else dict(rtol=1e-5, atol=2e-5)
        )
        layer = nn.BatchNorm2d(3, **case["options"]).to(case["parts"][0].dtype)
        layer.load_state_dict(case["state"])
        for step in range(2):
            x = torch.cat(case["parts"]).requires_grad_()
            out = layer(x)
            (out * torch.cat(case["weights"])).sum().backward()
            for key, expected in (("out", out.detach()), ("grad", x.grad)):
                got = torch.cat([first[name][key][step], second[name][key][step]])
                torch.testing.assert_close(got, expected, **tolerance)
        for mine, other, whole in zip(
            first[name]["params"], second[name]["params"], layer.parameters(), strict=True
        ):
            torch.testing.assert_close(mine + other, whole.grad, **tolerance)
        for result in (first[name], second[name]):
            torch.testing.assert_close(result["state"], layer.state_dict(), **tolerance)
        whole = layer.eval()(torch.cat(case["parts"])).detach()
        if case["options"].get("track_running_stats", True):
            got = torch.cat([first[name]["eval"], second[name]["eval"]])
            torch.testing.assert_close(got, whole, **tolerance)


def model_with_sync_bn() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.SyncBatchNorm(4), nn.Sequential())
    model[2].add_module("again", model[1])  # One layer in two places.
    model[2].add_module("other", nn.SyncBatchNorm(4, eps=1e-3, momentum=0.01))
    return model


def test_one_process_gets_plain_batch_norm() -> None:
    model = model_with_sync_bn()
    model[2].other.eval()
    before = dict(model.named_parameters())
    keys = list(model.state_dict())
    assert adapt_sync_bn(model, device_type="cpu", world_size=1) is model
    assert type(model[1]) is nn.BatchNorm2d
    assert model[2].again is model[1]
    assert (model[2].other.eps, model[2].other.momentum) == (1e-3, 0.01)
    assert model[1].training and not model[2].other.training
    assert list(model.state_dict()) == keys
    after = dict(model.named_parameters())
    assert all(after[name] is parameter for name, parameter in before.items())
    model(torch.randn(2, 3, 4, 4)).sum().backward()
    assert model[1].num_batches_tracked == 2


def test_says_so_in_exactly_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = []
    monkeypatch.setattr(
        "mmseg_gc.models.layers.sync_bn.print_log", lambda text, **_: lines.append(text)
    )
    adapt_sync_bn(model_with_sync_bn(), device_type="cuda", world_size=1)
    assert lines == ["2 SyncBN layers run as BatchNorm2d: there is one process."]
    adapt_sync_bn(nn.Sequential(nn.BatchNorm2d(3)), device_type="cpu", world_size=1)
    assert len(lines) == 1


def test_several_processes() -> None:
    model = adapt_sync_bn(model_with_sync_bn(), device_type="cuda", world_size=2)
    assert type(model[1]) is nn.SyncBatchNorm
    model = adapt_sync_bn(model_with_sync_bn(), device_type="cpu", world_size=2)
    assert type(model[1]) is AllReduceBatchNorm2d


def test_a_bare_layer_is_returned_anew() -> None:
    layer = nn.SyncBatchNorm(2, affine=False)
    assert type(adapt_sync_bn(layer, device_type="cpu", world_size=1)) is nn.BatchNorm2d


def test_frozen_norms_stay_frozen_in_a_backbone() -> None:
    model = ResNet(
        18, base_channels=4, stem_channels=4, norm_cfg=dict(type="SyncBN"), norm_eval=True
    )
    model.layer1[0].bn1.requires_grad_(False)
    adapt_sync_bn(model, device_type="cpu", world_size=1).train()
    assert type(model.layer1[0].bn1) is nn.BatchNorm2d
    assert not model.layer1[0].bn1.weight.requires_grad
    assert not model.layer1[0].bn1.training
