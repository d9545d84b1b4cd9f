"""Don't let a loss that is NaN or infinite into the weights."""

from collections.abc import Sequence

import torch
from mmengine.dist import all_gather_object, all_reduce
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from mmseg_gc.errors import UserError
from mmseg_gc.registry import HOOKS


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Stop when the loss isn't finite, after ``tolerate`` such iterations in the whole run.

    A tolerated iteration changes neither weights nor momenta nor the statistics of BN; with
    gradient accumulation the whole step it belongs to is left out. What a gradient scaler skips
    because its scale was too large has a finite loss and isn't counted.

    Raises:
        UserError: names the pictures of the batch, on whichever rank it was.
    """

    priority = "ABOVE_NORMAL"  # before anything is averaged or saved

    def __init__(self, tolerate: int = 0):
        if tolerate < 0:
            raise UserError(
                f"config key default_hooks.nonfinite_loss.tolerate is {tolerate}; give 0 or more."
            )
        self.tolerate = tolerate
        self._here: torch.Tensor | None = None
        self._anywhere: torch.Tensor | None = None
        self._in_step = False
        self._handles: list = []
        self._buffers: list[torch.Tensor] = []
        self._kept: list[torch.Tensor] = []

    def before_train(self, runner: Runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self._handles = [
            model.register_forward_hook(self._look),
            runner.optim_wrapper.optimizer.register_step_pre_hook(self._leave_out),
        ]
        if self.tolerate:
            self._buffers = list(model.buffers())
            self._kept = [buffer.clone() for buffer in self._buffers]

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        self._copy(self._buffers, self._kept)

    def _look(self, model: nn.Module, inputs: tuple, output: object) -> None:
        """Find out from the losses, before the backward pass, whether any rank's isn't finite."""
        if not (model.training and isinstance(output, dict)):
            return
        finite = [
            part.detach().isfinite().all()
            for name, value in output.items()
            if "loss" in name
            for part in (value if isinstance(value, Sequence) else [value])
        ]
        self._here = ~torch.stack(finite).all()
        self._anywhere = self._here.to(torch.int32)
        all_reduce(self._anywhere, "max")

    def _leave_out(self, optimizer: torch.optim.Optimizer, args: tuple, kwargs: dict) -> None:
        # An optimizer passes over parameters without a gradient: no decay, no momentum.
        if self._in_step or self._anywhere.item():
            optimizer.zero_grad(set_to_none=True)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        bad = bool(self._anywhere.item())
        self._in_step = (self._in_step or bad) and not runner.optim_wrapper.should_update()
        if not bad:
            return
        self._copy(self._kept, self._buffers)
        own = _file_names(data_batch) if self._here.item() else []
        names = ", ".join(name for rank in all_gather_object(own) for name in rank)
        # In the hub, which checkpoints hold, so that a resumed run doesn't begin to count anew.
        count = runner.message_hub.runtime_info.get("nonfinite_losses", 0) + 1
        runner.message_hub.update_info("nonfinite_losses", count)
        what = f"the loss isn't finite in iteration {runner.iter + 1} for {names}"
        if count > self.tolerate:
            raise UserError(
                f"{what}; look at these files, lower optim_wrapper.optimizer.lr, or pass over such "
                f"batches with --cfg-options default_hooks.nonfinite_loss.tolerate={count + 9}."
            )
        runner.logger.warning(f"Left out: {what} ({count} of {self.tolerate} tolerated).")

    @staticmethod
    def _copy(sources: list[torch.Tensor], targets: list[torch.Tensor]) -> None:
        with torch.no_grad():
            for source, target in zip(sources, targets, strict=True):
                target.copy_(source)

    def after_train(self, runner: Runner) -> None:
        for handle in self._handles:
            handle.remove()


def _file_names(batch: dict | None) -> list[str]:
    samples = batch.get("data_samples", []) if isinstance(batch, dict) else []
    return [str(getattr(sample, "img_path", "a picture without a name")) for sample in samples]
