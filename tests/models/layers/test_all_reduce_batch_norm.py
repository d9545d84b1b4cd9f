from collections.abc import Callable

import torch
from torch import nn

from mmseg_gc.engine.sync_bn import adapt_sync_bn
from mmseg_gc.models.layers import AllReduceBatchNorm2d


def results_of(cases: dict, rank: int) -> dict:
    """What the layer gives to each case's part of this rank."""
    results = {}
    for name, case in cases.items():
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
    return results


def test_two_processes_equal_one_big_batch(in_ranks: Callable[..., list]) -> None:
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
                "parts": [x[:3], x[3:]],  # Unequal shares: 3 images and 1.
                "weights": [weights[:3], weights[3:]],
                "state": state,
            }

    def work(rank: int) -> dict:
        adapt_sync_bn(model, device_type="cpu", world_size=2)
        assert type(model[0]) is AllReduceBatchNorm2d
        return results_of(cases, rank)

    model = nn.Sequential(nn.SyncBatchNorm(3))  # built before the processes know of each other
    first, second = in_ranks(work, 2)
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
