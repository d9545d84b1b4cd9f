"""Validation in the precision of the training."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from mmengine.device import get_device
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner
from mmengine.runner import ValLoop as MMEngineValLoop
from torch.utils.data import DataLoader

from mmseg_gc.engine.compiling import compile_options
from mmseg_gc.engine.hooks.figures import class_scalars
from mmseg_gc.engine.validation_loss import ValidationLoss
from mmseg_gc.registry import LOOPS


@LOOPS.register_module()
class ValLoop(MMEngineValLoop):
    """mmengine's; ``fp16=True`` runs under autocast, in the dtype that the training has.

    ``loss=True`` adds ``val_loss``, the decode head's loss of the logits that were validated anyway
    (`ValidationLoss`). Every figure of `IoUMetric` is added for each class as well, as
    ``IoU.<class>``, where the class occurs: hooks that keep the best weights or stop early may go
    by any of them.

    What the training compiled for its crops isn't compiled anew for every size of image: a
    validation runs without.
    """

    evaluator: "Evaluator | _WithMore"

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        evaluator: Evaluator | dict | list,
        fp16: bool = False,
        loss: bool = False,
    ) -> None:
        super().__init__(runner, dataloader, evaluator, fp16)
        self.with_loss = loss

    def run(self) -> dict:
        dtype = getattr(self.runner.optim_wrapper, "cast_dtype", None)
        compiled = compile_options(self.runner.cfg.get("compile")) is not None
        # Not asked for otherwise: it imports the compiler.
        eager = torch.compiler.set_stance("force_eager") if compiled else nullcontext()
        loss = ValidationLoss(self.runner.model) if self.with_loss else None
        evaluator = self.evaluator
        self.evaluator = _WithMore(evaluator, loss)
        try:
            with _autocast_dtype(dtype), eager, loss or nullcontext():
                return super().run()
        finally:
            self.evaluator = evaluator


class _WithMore:
    """An evaluator whose `evaluate`, after which hooks are called, has further figures."""

    def __init__(self, evaluator: Evaluator, loss: ValidationLoss | None) -> None:
        self.evaluator = evaluator
        self.loss = loss

    def __getattr__(self, name: str) -> object:
        return getattr(self.evaluator, name)

    def evaluate(self, size: int) -> dict[str, float]:
        figures = self.evaluator.evaluate(size)
        losses = self.loss.read() if self.loss is not None else {}
        return {**figures, **losses, **class_scalars(self.evaluator)}


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
