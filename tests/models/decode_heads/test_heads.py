"""What holds for every head, in the small models that tools/benchmarks/parity.py compares."""

import copy
import importlib.util
import math
from pathlib import Path

import pytest
import torch

from mmseg_gc.accelerate import prepare_for_inference, prepare_for_training
from mmseg_gc.checkpoint import load_into
from mmseg_gc.checkpoint.names import head_of
from mmseg_gc.errors import UserError
from mmseg_gc.registry import MODELS

CASES = Path(__file__).parents[3] / "tools/benchmarks/parity_checks/head_cases.py"
spec = importlib.util.spec_from_file_location("head_cases", CASES)
head_cases = importlib.util.module_from_spec(spec)
spec.loader.exec_module(head_cases)
SIZE = (65, 73)


def shaken(model: torch.nn.Module) -> torch.nn.Module:
    """``model`` with statistics, norms and starts from zero that are none any more."""
    with torch.no_grad():
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2)
            elif tensor.is_floating_point() and (tensor.dim() < 2 or not tensor.any()):
                tensor.add_(0.2 * torch.randn_like(tensor))
            elif "conv_seg" in name:
                tensor.normal_()
    return model.eval()


@pytest.mark.parametrize("name", head_cases.HEADS)
def test_it_learns_and_a_prepared_model_says_the_same(name: str, labelled) -> None:
    model = shaken(MODELS.build(head_cases.model_cfg(name, align_corners=len(name) % 2 == 0)))
    images = torch.randn(1, 3, *SIZE)
    with torch.no_grad():
        expected = model(images)
    for precision, bound in (("fp32", 1e-4), ("bf16", 0.1)):
        prepared = prepare_for_inference(copy.deepcopy(model), precision=precision)
        with torch.no_grad():
            found = prepared(images.to(prepared.compute_dtype))
        scale = expected.abs().max()
        assert (found.float() - expected).abs().max() <= bound * scale, precision
    assert expected.shape[:2] == (1, 19)

    model = prepare_for_training(model.train(), device_type="cpu")
    labels = [labelled(torch.randint(19, SIZE)) for _ in range(2)]
    losses = model.loss(torch.randn(2, 3, *SIZE), labels)
    total, _ = model.parse_losses(losses)
    total.backward()
    assert math.isfinite(total.detach())
    for key, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, key
        assert parameter.requires_grad or "ema_mid_conv" in key


def test_weights_of_another_head_name_both() -> None:
    psp, nl = (MODELS.build(head_cases.model_cfg(name, False)) for name in ("PSPHead", "NLHead"))
    with pytest.raises(UserError, match="its decode_head is PSPHead, this config's NLHead"):
        load_into(nl, {"state_dict": psp.state_dict()}, source="psp.pth")


@pytest.mark.parametrize("name", head_cases.HEADS)
def test_each_head_is_known_by_its_weights(name: str) -> None:
    model = MODELS.build(head_cases.model_cfg(name, False))
    head = model.decode_head[-1] if "Cascade" in type(model).__name__ else model.decode_head
    known = type(head).__name__.replace("DepthwiseSeparableFCN", "FCN")
    assert head_of(model.state_dict()) == known
