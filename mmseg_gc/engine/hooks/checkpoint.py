"""Checkpoints from which a run goes on as if it had never stopped."""

import logging
import os
import re
from collections import deque
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook
from mmengine.logging import MessageHub
from mmengine.runner import Runner

from mmseg_gc.atomic import write_atomically
from mmseg_gc.engine.hooks.figures import GREATER_KEYS, require_figure, require_sense, unknown_rule
from mmseg_gc.engine.hooks.own_checkpoints import own_file, own_steps, step_of
from mmseg_gc.engine.random_state import (
    capture_random_state,
    gather_random_states,
    restore_own_random_state,
    restore_random_state,
)
from mmseg_gc.engine.samplers import InfiniteSampler
from mmseg_gc.registry import HOOKS

SAVE_BEST = "default_hooks.checkpoint.save_best"


@HOOKS.register_module()
class CheckpointHook(MMEngineCheckpointHook):
    """Save every ``interval`` iterations, at the end, and the best by ``save_best``.

    Differs from mmengine's hook in what a kill can find. A file is written whole before an older
    one is removed, and ``last_checkpoint`` is replaced, not rewritten. Every checkpoint holds the
    random states of all ranks and the sampler's seed, so that the rest of the run is, on a CPU,
    bit for bit what it would have been. A validation that was cut short is made up for on resume.
    Between two steps of gradient accumulation nothing is saved: the next step is waited for.

    Of checkpoints with equal scores the first stays the best. The keys are mmengine's, except
    those for remote storage.

    Raises:
        UserError: ``save_best`` names a figure that the validation doesn't compute.
    """

    out_dir: str
    _default_greater_keys = [*MMEngineCheckpointHook._default_greater_keys, *GREATER_KEYS]

    def __init__(
        self,
        interval: int = -1,
        by_epoch: bool = True,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        out_dir: str | Path | None = None,
        max_keep_ckpts: int = -1,
        save_last: bool = True,
        save_best: str | list[str] | None = None,
        rule: str | list[str] | None = None,
        greater_keys: list[str] | None = None,
        less_keys: list[str] | None = None,
        filename_tmpl: str | None = None,
        published_keys: str | list[str] | None = None,
        save_begin: int = 0,
    ):
        super().__init__(
            interval=interval,
            by_epoch=by_epoch,
            save_optimizer=save_optimizer,
            save_param_scheduler=save_param_scheduler,
            out_dir=out_dir,
            max_keep_ckpts=max_keep_ckpts,
            save_last=save_last,
            save_best=save_best,
            rule=rule,
            greater_keys=greater_keys,
            less_keys=less_keys,
            filename_tmpl=filename_tmpl,
            published_keys=published_keys,
            save_begin=save_begin,
        )
        self._training = False
        self._due = False
        self._saved_step: int | None = None
        self._validated_step: int | None = None
        self._random_states: list[dict] = []
        self._before_val: dict | None = None
        self._scores: dict = {}
        self._resumed: dict | None = None
        self._superseded: list[str] = []

    def _init_rule(self, rules: list, key_indicators: list[str]) -> None:
        try:
            super()._init_rule(rules, key_indicators)
        except ValueError as error:
            figures = ", ".join(key_indicators)
            raise unknown_rule(SAVE_BEST, figures) from error
        for figure, rule in zip(key_indicators, self.rules, strict=True):
            require_sense(figure, rule, SAVE_BEST)

    # Resuming

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if runner._resume:
            self._resumed = checkpoint.get("resume_state", {})

    def before_train(self, runner: Runner) -> None:
        self.out_dir = str(self.out_dir or runner.work_dir)
        if self.out_dir != runner.work_dir:
            self.out_dir = os.path.join(self.out_dir, Path(runner.work_dir).name)
        runner.logger.info(f"Checkpoints will be saved to {self.out_dir}.")
        hub = runner.message_hub
        for figure in self.key_indicators if self.save_best else ():
            require_figure(runner, figure, SAVE_BEST)
        if self.save_best is not None and len(self.key_indicators) == 1:
            self.best_ckpt_path = self._own_file(hub, "best_ckpt", self.key_indicators[0])
        elif self.save_best is not None:
            self.best_ckpt_path_dict = {
                key: self._own_file(hub, f"best_ckpt_{key}", key) for key in self.key_indicators
            }
        self.last_ckpt = self._own_file(hub, "last_ckpt")
        self.keep_ckpt_ids = deque(own_steps(hub.runtime_info.get("keep_ckpt_ids")))
        if is_main_process():
            self._clean_up()
        self._training = True
        if self._resumed is not None:
            self._saved_step = runner.epoch if self.by_epoch else runner.iter
            self._take_up_sampler(runner)

    def _own_file(self, hub: MessageHub, info: str, best_of: str | None = None) -> str | None:
        stored = hub.runtime_info.get(info)
        own = own_file(self.out_dir, stored, self.filename_tmpl, best_of)
        if stored is not None:
            hub.update_info(info, own)
        return own

    def _clean_up(self) -> None:
        """Remove what a killed run was about to remove or had not finished writing."""
        folder = Path(self.out_dir)
        for pattern in (".*.pth.????????", ".last_checkpoint.????????"):
            for half_written in folder.glob(pattern):
                half_written.unlink(missing_ok=True)
        self._remove_surplus()
        for best in self._best_paths():
            step = step_of(best)
            for path in folder.glob(re.sub(r"_\d+\.pth$", "_*.pth", Path(best).name)):
                if path.name != Path(best).name and step > step_of(path) >= 0:
                    path.unlink()

    def _best_paths(self) -> list[str]:
        if self.save_best is None:
            return []
        if len(self.key_indicators) == 1:
            return [self.best_ckpt_path] if self.best_ckpt_path else []
        return [path for path in self.best_ckpt_path_dict.values() if path]

    def _take_up_sampler(self, runner: Runner) -> None:
        assert self._resumed is not None
        sampler = runner.train_dataloader.sampler
        if "sampler_seed" not in self._resumed:
            runner.logger.warning(
                "The checkpoint has no random states: the run goes on with other samples and "
                "masks than it would have had."
            )
        elif isinstance(sampler, InfiniteSampler):
            # The loader was built before the checkpoint could tell its seed.
            sampler.seed = self._resumed["sampler_seed"]

    def before_train_epoch(self, runner: Runner) -> None:
        if not self._resumed or self._resumed.get("validated", True) or runner.val_loop is None:
            return
        loop = runner.train_loop
        loop._decide_current_val_interval()
        done, last = (loop.epoch, loop.max_epochs) if self.by_epoch else (loop.iter, loop.max_iters)
        if done >= loop.val_begin and (done % loop.val_interval == 0 or done == last):
            runner.logger.info(f"Validating iteration {runner.iter}, as the stopped run had not.")
            runner.val_loop.run()

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        if not self._resumed:
            return
        # Not earlier: the start of the data loader and a validation made up for draw as well.
        states = self._resumed.get("random_states")
        if states and not restore_own_random_state(states):
            runner.logger.warning(
                f"The checkpoint was saved by {len(states)} processes and not by "
                f"{runner.world_size}: random states start anew."
            )
        self._resumed = None

    # Saving

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        if self.by_epoch:
            return
        self._due |= self.every_n_train_iters(runner, self.interval, self.save_begin) or (
            self.save_last and self.is_last_train_iter(runner)
        )
        if self._due and runner.optim_wrapper.should_update():
            self.save_iteration(runner, runner.iter + 1)

    def save_iteration(self, runner: Runner, step: int) -> None:
        """Save the run after ``step`` iterations; every rank has to call it."""
        if self._saved_step == step or self.by_epoch:
            return
        runner.call_hook("settle")  # what a hook reads late from the device
        runner.logger.info(f"Saving checkpoint at {step} iterations")
        self._random_states = gather_random_states()
        self._save_checkpoint_with_step(runner, step, dict(epoch=runner.epoch, iter=step))

    def save_during_validation(self, runner: Runner) -> None:
        """Save the state before the validation that is running; no other rank has to call it."""
        if is_main_process() and self._saved_step != runner.iter and not self.by_epoch:
            runner.logger.info(f"Saving checkpoint at {runner.iter} iterations")
            meta = dict(epoch=runner.epoch, iter=runner.iter)
            self._save_checkpoint_with_step(runner, runner.iter, meta)

    def _save_checkpoint(self, runner: Runner) -> None:
        # mmengine calls this at the end of an epoch.
        runner.call_hook("settle")
        self._random_states = gather_random_states()
        super()._save_checkpoint(runner)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        self._due = False
        hub = runner.message_hub
        if self.max_keep_ckpts > 0:
            if step not in self.keep_ckpt_ids:
                self.keep_ckpt_ids.append(step)
            # With those that are about to go: a kill may come before they do.
            hub.update_info("keep_ckpt_ids", list(self.keep_ckpt_ids))
        self.last_ckpt = os.path.join(self.out_dir, self.filename_tmpl.format(step))
        hub.update_info("last_ckpt", self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            self.filename_tmpl.format(step),
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
        )
        if is_main_process():
            pointer = Path(runner.work_dir) / "last_checkpoint"
            write_atomically(pointer, lambda file: file.write(str(self.last_ckpt).encode()))
            self._remove_surplus()
        self._saved_step = step

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if "optimizer" not in checkpoint:
            return  # weights alone, which nothing goes on from
        sampler = runner.train_dataloader.sampler
        checkpoint["resume_state"] = {
            "random_states": self._random_states,
            "sampler_seed": getattr(sampler, "seed", None),
            "validated": self._validated_step == checkpoint["meta"]["iter"],
        }

    def _remove_surplus(self) -> None:
        while 0 < self.max_keep_ckpts < len(self.keep_ckpt_ids):
            name = self.filename_tmpl.format(self.keep_ckpt_ids.popleft())
            Path(self.out_dir, name).unlink(missing_ok=True)

    def after_train(self, runner: Runner) -> None:
        # An early stop can come between two saved iterations.
        if self.save_last and runner.optim_wrapper.should_update():
            self.save_iteration(runner, runner.iter)
        self._training = False
        super().after_train(runner)

    # Validation

    def before_val(self, runner: Runner) -> None:
        if self._training:
            self._before_val = capture_random_state()
            # A validation made up for comes before the resumed states are restored.
            waiting = (self._resumed or {}).get("random_states")
            self._random_states = waiting or gather_random_states()

    def after_val_epoch(self, runner: Runner, metrics: dict) -> None:
        self._scores = metrics or {}

    def after_val(self, runner: Runner) -> None:
        """Keep the best and note that this iteration is validated.

        Here and not after the epoch: schedulers and early stopping have taken the score by now.
        """
        if not self._training:
            return
        if self._before_val is not None:
            restore_random_state(self._before_val)
        self._validated_step = runner.iter
        self._superseded = []
        if self._scores:
            self._save_best_checkpoint(runner, self._scores)
        step = runner.epoch if self.by_epoch else runner.iter
        if self._saved_step == step:
            meta = dict(epoch=runner.epoch, iter=runner.iter)
            self._save_checkpoint_with_step(runner, step, meta)
        if is_main_process():
            for path in self._superseded:
                Path(path).unlink(missing_ok=True)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        if not self.save_best:
            return
        if "auto" in self.key_indicators:
            self._init_rule(self.rules, [next(iter(metrics))])
        hub = runner.message_hub
        step = runner.epoch if self.by_epoch else runner.iter
        single = len(self.key_indicators) == 1
        for key, rule in zip(self.key_indicators, self.rules, strict=True):
            if key not in metrics:
                runner.logger.log(
                    logging.WARNING, f"save_best: validation gives no {key!r}, only {list(metrics)}"
                )
                continue
            suffix = "" if single else f"_{key}"
            best = hub.runtime_info.get(f"best_score{suffix}", self.init_value_map[rule])
            if not self.is_better_than[key](metrics[key], best):
                continue
            name = f"best_{key}_{self.filename_tmpl.format(step)}".replace("/", "_")
            path = os.path.join(self.out_dir, name)
            before = self.best_ckpt_path if single else self.best_ckpt_path_dict.get(key)
            if before and before != path:
                self._superseded.append(before)
            hub.update_info(f"best_score{suffix}", metrics[key])
            hub.update_info(f"best_ckpt{suffix}", path)
            if single:
                self.best_ckpt_path = path
            else:
                self.best_ckpt_path_dict[key] = path
            runner.save_checkpoint(
                self.out_dir,
                name,
                save_optimizer=False,
                save_param_scheduler=False,
                meta=dict(epoch=runner.epoch, iter=runner.iter),
                by_epoch=False,
            )
            runner.logger.info(f"The best {key} so far, {metrics[key]:.4f}, is saved as {name}.")
