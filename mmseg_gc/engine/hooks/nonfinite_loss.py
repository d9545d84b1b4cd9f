"""Don't let a loss that is NaN or infinite into the weights."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.optim import Optimizer

from mmseg_gc.engine.rank_flags import Sent
from mmseg_gc.errors import UserError
from mmseg_gc.registry import HOOKS


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Stop when the loss isn't finite, after ``tolerate`` such iterations in the whole run.

    A tolerated iteration changes neither weights nor momenta nor the statistics of BN; with
    gradient accumulation the whole step it belongs to is left out. What a gradient scaler skips
    because its scale was too large has a finite loss and isn't counted.

    A fused optimizer leaves the step out by itself, without asking the host; on a GPU it is
    reported an iteration later, but before anything is saved or validated. Other optimizers make
    the host wait for the loss in every step.

    Raises:
        UserError: names the images of the batch, on whichever rank it was.
    """

    priority = "ABOVE_NORMAL"  # before anything is averaged or saved

    def __init__(self, tolerate: int = 0):
        if tolerate < 0:
            raise UserError(
                f"config key default_hooks.nonfinite_loss.tolerate is {tolerate}; give 0 or more."
            )
        self.tolerate = tolerate
        self._runner: Any = None  # the one that trains
        self._names: list[str] = []
        self._in_iteration: Tensor | None = None
        self._in_step: Tensor | None = None
        self._lent_flag = False
        self._handles: list = []
        self._buffers: list[Tensor] = []
        self._kept: list[Tensor] = []

    def before_train(self, runner: Runner) -> None:
        self._runner = runner
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        optimizer = runner.optim_wrapper.optimizer
        self._handles = [
            model.register_forward_hook(self._look),
            optimizer.register_step_pre_hook(self._leave_out),
            optimizer.register_step_post_hook(self._take_back_flag),
        ]
        if self.tolerate:
            self._buffers = list(model.buffers())
            self._kept = [buffer.clone() for buffer in self._buffers]

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        self._in_iteration = None
        self._names = _file_names(data_batch)
        for kept, buffer in zip(self._kept, self._buffers, strict=True):
            kept.copy_(buffer)

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
        flags = self._runner.rank_flags
        bad = flags.send(self._runner.iter, ~torch.stack(finite).all(), self._names)
        self._in_iteration = bad if self._in_iteration is None else self._in_iteration | bad
        self._in_step = bad if self._in_step is None else self._in_step | bad

    def _leave_out(self, optimizer: Any, args: tuple, kwargs: dict) -> None:
        if self._in_step is None:
            return
        if _skips_by_flag(optimizer):
            scalers = getattr(optimizer, "found_inf", None)
            self._lent_flag = scalers is None
            flag = self._in_step.float()
            optimizer.found_inf = flag if scalers is None else torch.maximum(scalers, flag)
        elif self._in_step.item():
            # An optimizer passes over parameters without a gradient: no decay, no momentum.
            optimizer.zero_grad(set_to_none=True)

    def _take_back_flag(self, optimizer: Any, args: tuple, kwargs: dict) -> None:
        if self._lent_flag:
            del optimizer.found_inf
            self._lent_flag = False

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        if self._in_iteration is not None:
            for kept, buffer in zip(self._kept, self._buffers, strict=True):
                buffer.copy_(torch.where(self._in_iteration, kept, buffer))
        if runner.optim_wrapper.should_update():
            self._in_step = None
        self._report(runner, up_to_now=False)

    def settle(self, runner: Runner) -> None:
        """Report what is known of the iterations so far; every rank has to call it."""
        self._report(runner, up_to_now=True)

    def before_val(self, runner: Runner) -> None:
        self.settle(runner)

    def _report(self, runner: Runner, *, up_to_now: bool) -> None:
        for sent, here in runner.rank_flags.collect(up_to_now=up_to_now):
            self._count(runner, sent, here)

    def _count(self, runner: Runner, sent: Sent, here: bool) -> None:
        own = sent.names if here else []
        names = ", ".join(name for rank in all_gather_object(own) for name in rank)
        # In the hub, which checkpoints hold, so that a resumed run doesn't begin to count anew.
        count = runner.message_hub.runtime_info.get("nonfinite_losses", 0) + 1
        runner.message_hub.update_info("nonfinite_losses", count)
        what = f"the loss isn't finite in iteration {sent.iteration + 1} for {names}"
        if count > self.tolerate:
            raise UserError(
                f"{what}; look at these files, lower optim_wrapper.optimizer.lr, or pass over such "
                f"batches with --cfg-options default_hooks.nonfinite_loss.tolerate={count + 9}."
            )
        runner.logger.warning(f"Left out: {what} ({count} of {self.tolerate} tolerated).")

    def after_train(self, runner: Runner) -> None:
        self.settle(runner)
        for handle in self._handles:
            handle.remove()


def _skips_by_flag(optimizer: Optimizer) -> bool:
    """Whether ``optimizer`` takes a gradient scaler's ``found_inf`` and leaves the step out."""
    fused = all(group.get("fused") for group in optimizer.param_groups)
    return fused and getattr(optimizer, "_step_supports_amp_scaling", False)


def _file_names(batch: dict | None) -> list[str]:
    samples = batch.get("data_samples", []) if isinstance(batch, dict) else []
    return [str(getattr(sample, "img_path", "an image without a name")) for sample in samples]
