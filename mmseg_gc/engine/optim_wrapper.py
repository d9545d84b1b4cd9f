"""Mixed precision by one config key, on a GPU or on the CPU."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.logging import MessageHub, print_log
from mmengine.optim import AmpOptimWrapper as MMEngineAmpOptimWrapper
from mmengine.optim import OptimWrapper as MMEngineOptimWrapper
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from mmseg_gc.engine.acceleration import give_back_memory, less_kept
from mmseg_gc.engine.late_values import record
from mmseg_gc.environment import cpu_has_bf16, require_bf16
from mmseg_gc.errors import UserError
from mmseg_gc.registry import OPTIM_WRAPPERS

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


class _ClipWithoutWaiting:
    """Log the norm of clipped gradients without making the host wait for it in every step."""

    optimizer: Optimizer
    clip_func: Callable
    clip_grad_kwargs: dict
    message_hub: MessageHub
    grad_name: str

    def _clip_grad(self) -> None:
        held = [param for group in self.optimizer.param_groups for param in group["params"]]
        held = [param for param in held if param.requires_grad and param.grad is not None]
        if held:
            norm = self.clip_func(held, **self.clip_grad_kwargs)
            if norm is not None:
                record(self.message_hub, f"train/{self.grad_name}", norm)


@OPTIM_WRAPPERS.register_module()
class OptimWrapper(_ClipWithoutWaiting, MMEngineOptimWrapper):
    """mmengine's, which logs the norm of clipped gradients when a log line is due."""


@OPTIM_WRAPPERS.register_module()
class AmpOptimWrapper(_ClipWithoutWaiting, MMEngineAmpOptimWrapper):
    """Train under autocast: as mmengine's on a GPU, in bfloat16 on a CPU.

    bfloat16 keeps float32's range, so the loss isn't scaled on the CPU. There weights are cast, and
    batch norms' outputs computed, once more in the backward pass rather than kept for it.

    It goes on from the state of any run: of one without a gradient scaler, its own starts anew.

    Raises:
        UserError: a dtype that this CPU or GPU can't train in.
    """

    def __init__(
        self,
        loss_scale: str | float | dict = "dynamic",
        dtype: str | torch.dtype | None = None,
        use_fsdp: bool = False,
        **kwargs,  # OptimWrapper's own keywords; mmengine builds this class by them
    ):
        dtype = _dtype_of(dtype)
        self.recomputes = False
        if torch.cuda.is_available():
            loss_scale = float(loss_scale) if isinstance(loss_scale, int) else loss_scale
            super().__init__(loss_scale, dtype, use_fsdp, **kwargs)
            return
        MMEngineOptimWrapper.__init__(self, **kwargs)
        self.recomputes = True
        if not cpu_has_bf16():
            print_log(
                "This CPU has no bfloat16 instructions: mixed precision is slower than float32.",
                logger="current",
                level=logging.WARNING,
            )
        self._scale_update_param = None
        self.loss_scaler = GradScaler("cpu", enabled=False)
        self.cast_dtype = torch.bfloat16

    def backward(self, loss: Tensor, **kwargs: object) -> None:
        if not loss.is_cuda:
            # What the forward pass let go lies in pieces that gradients don't fit into.
            give_back_memory()
        super().backward(loss, **kwargs)

    def load_state_dict(self, state_dict: dict) -> None:
        state_dict = dict(state_dict)
        if not state_dict.get("loss_scaler", True):
            del state_dict["loss_scaler"]  # of a run on a CPU
        super().load_state_dict(state_dict)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        if not self.recomputes:
            with super().optim_context(model):
                yield
            return
        with (
            MMEngineOptimWrapper.optim_context(self, model),
            torch.autocast("cpu", self.cast_dtype, cache_enabled=False),
            less_kept(model),
        ):
            yield


def _dtype_of(dtype: Any) -> torch.dtype | None:
    """What ``optim_wrapper.dtype`` names, if this machine can train in it."""
    key = f"config key optim_wrapper.dtype is {dtype!r}"
    found = DTYPES.get(dtype, dtype)
    if found is not None and found not in DTYPES.values():
        raise UserError(f"{key}, which is no dtype to train in; choose {' or '.join(DTYPES)}.")
    if not torch.cuda.is_available():
        if found is torch.float16:
            raise UserError(
                f"{key}, which the CPU can't train in; leave it out or set it to 'bfloat16'."
            )
    elif found is torch.bfloat16:
        require_bf16(key, "leave it out or set it to 'float16'")
    return found
