"""Validation in the precision of the training."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from mmengine.device import get_device
from mmengine.runner import ValLoop as MMEngineValLoop

from mmseg_gc.engine.compiling import compile_options
from mmseg_gc.registry import LOOPS


@LOOPS.register_module()
class ValLoop(MMEngineValLoop):
    """mmengine's; ``fp16=True`` runs under autocast, in the dtype that the training has.

    What the training compiled for its crops isn't compiled anew for every size of image: a
    validation runs without.
    """

    def run(self) -> dict:
        dtype = getattr(self.runner.optim_wrapper, "cast_dtype", None)
        compiled = compile_options(self.runner.cfg.get("compile")) is not None
        # Not asked for otherwise: it imports the compiler.
        eager = torch.compiler.set_stance("force_eager") if compiled else nullcontext()
        with _autocast_dtype(dtype), eager:
            return super().run()


@contextmanager
def _autocast_dtype(dtype: torch.dtype | None) -> Iterator[None]:
    """Let an autocast that names no dtype compute in ``dtype``; None changes nothing."""
    device = get_device()
    before = torch.get_autocast_dtype(device)
    torch.set_autocast_dtype(device, dtype or before)
    try:
        yield
    finally:
        torch.set_autocast_dtype(device, before)
