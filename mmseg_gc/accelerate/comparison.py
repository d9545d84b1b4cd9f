"""Hold a model to its word: what it says on one small input before and after it was changed."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mmseg_gc.accelerate.replacement import Replacement

SIZE = (64, 64)
# Largest difference as a share of the largest logit. In sixteen bits every layer rounds in another
# way: what adds up over a hundred of them stays below this, a layer in the wrong place doesn't.
BOUNDS = {torch.float32: 1e-3, torch.float64: 1e-3, torch.bfloat16: 0.1, torch.float16: 0.02}
TF32_BOUND = 1e-2  # ten bits of a GPU's float32 convolutions, which a folded weight rounds anew


def small_image(model: nn.Module) -> Tensor | None:
    """Random numbers (1, C, 64, 64) for ``model``; None if its tensors hold no numbers at all.

    torch's random state stays as it is.
    """
    weight = next(model.parameters())
    if type(weight.data) is not Tensor or weight.is_meta:
        return None
    convs = (m for m in model.modules() if isinstance(m, nn.Conv2d))
    channels = next((conv.in_channels for conv in convs), 3)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, channels, *SIZE, generator=generator).to(weight)


def logits(model: nn.Module, image: Tensor) -> list[Tensor]:
    """What ``model``, in eval mode, says of ``image``; nothing of it changes, nor does any seed."""
    with _as_it_was(model), torch.no_grad():
        torch.manual_seed(0)  # for what is drawn at random even in eval mode
        return [tensor.detach().clone() for tensor in _tensors(model(image))]


def differs(found: list[Tensor], expected: list[Tensor], dtype: torch.dtype) -> bool:
    """Whether two answers are further apart than rounding in ``dtype`` can bring them."""
    if [one.shape for one in found] != [one.shape for one in expected]:
        return True
    return any(
        relative_difference(one, other) > _bound(dtype, one.device)
        for one, other in zip(found, expected, strict=True)
    )


def relative_difference(found: Tensor, expected: Tensor) -> float:
    """Largest difference as a share of the largest number; infinite where one has no number."""
    if not expected.numel():
        return 0.0
    found, expected = found.double(), expected.double()
    alike = (found == expected) | (found.isnan() & expected.isnan())  # infinite ones too
    apart = torch.where(alike, 0, (found - expected).abs()).nan_to_num(torch.inf, torch.inf)
    largest = torch.where(expected.isfinite(), expected.abs(), 0).max()
    return (apart.max() / largest.clamp_min(torch.finfo(torch.float32).tiny)).item()


def first_that_differs(
    model: nn.Module, image: Tensor, replaced: list[Replacement], dtype: torch.dtype
) -> str:
    """Name of the innermost of ``replaced`` that answers its own input in another way.

    ``model`` has the modules that were there before.
    """
    found: list[str] = []
    hooks = []
    for one in replaced:

        def compare(
            module: nn.Module, args: tuple, kwargs: dict, out: object, one: Replacement = one
        ) -> None:
            if found:
                return
            try:
                wrong = differs(_tensors(one.new(*args, **kwargs)), _tensors(out), dtype)
            except Exception:  # whatever it is, the old one did not raise it
                wrong = True
            if wrong:
                found.append(one.path)

        hooks.append(one.old.register_forward_hook(compare, with_kwargs=True))
    try:
        logits(model, image)
    finally:
        for hook in hooks:
            hook.remove()
    return found[0] if found else "the whole"


def _bound(dtype: torch.dtype, device: torch.device) -> float:
    if device.type == "cuda" and dtype is torch.float32 and torch.backends.cudnn.allow_tf32:
        return TF32_BOUND
    return BOUNDS[dtype]


def _tensors(answer: object) -> list[Tensor]:
    if isinstance(answer, Tensor):
        return [answer]
    if isinstance(answer, dict):
        answer = list(answer.values())
    if isinstance(answer, list | tuple):
        return [tensor for one in answer for tensor in _tensors(one)]
    return []


@contextmanager
def _as_it_was(model: nn.Module) -> Iterator[None]:
    """Take back what a forward writes into ``model``'s buffers, and into torch's random state."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    modes = {module: module.training for module in model.modules()}
    devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(devices):
        yield
    with torch.no_grad():
        for buffer, before in buffers:
            buffer.copy_(before)
    for module, mode in modes.items():
        module.training = mode
