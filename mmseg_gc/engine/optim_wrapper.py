"""Mixed precision by one config key, on a GPU or on the CPU."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.logging import print_log
from mmengine.optim import AmpOptimWrapper as GpuAmpOptimWrapper
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.amp import GradScaler

from mmseg_gc.engine.acceleration import give_back_memory, less_kept
from mmseg_gc.errors import UserError
from mmseg_gc.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class AmpOptimWrapper(GpuAmpOptimWrapper):
    """Train under autocast: as mmengine's on a GPU, in bfloat16 on a CPU.

    bfloat16 keeps float32's range, so the loss isn't scaled on the CPU. There weights are cast, and
    batch norms' outputs computed, once more in the backward pass rather than kept for it.

    Raises:
        UserError: another dtype than bfloat16 is asked for on a CPU.
    """

    def __init__(
        self,
        loss_scale: str | float | dict = "dynamic",
        dtype: str | torch.dtype | None = None,
        use_fsdp: bool = False,
        **kwargs,  # OptimWrapper's own keywords; mmengine builds this class by them
    ):
        if torch.cuda.is_available():
            super().__init__(loss_scale, dtype, use_fsdp, **kwargs)
            return
        if dtype not in (None, "bfloat16", torch.bfloat16):
            raise UserError(
                f"config key optim_wrapper.dtype is {dtype!r}, which the CPU can't train in; "
                "leave it out or set it to 'bfloat16'."
            )
        OptimWrapper.__init__(self, **kwargs)
        if not (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()):
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

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        # A compiled model keeps what its compiler chooses.
        if torch.cuda.is_available() or hasattr(model.forward, "_torchdynamo_orig_callable"):
            with super().optim_context(model):
                yield
            return
        with (
            OptimWrapper.optim_context(self, model),
            torch.autocast("cpu", self.cast_dtype, cache_enabled=False),
            less_kept(model),
        ):
            yield
