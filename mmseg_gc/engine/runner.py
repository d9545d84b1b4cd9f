"""mmengine's runner with safe reading, atomic writing, and processes that may have no GPU."""

import os
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import mmengine
import torch
from mmengine.device import get_device
from mmengine.dist import broadcast_object_list, is_distributed, is_main_process, master_only
from mmengine.logging import MMLogger
from mmengine.model import MMDistributedDataParallel, is_model_wrapper
from mmengine.optim import BaseOptimWrapper, OptimWrapper, OptimWrapperDict, _ParamScheduler
from mmengine.runner import BaseLoop, Runner
from mmengine.visualization import Visualizer
from torch import nn
from torch.utils.data import DataLoader

from mmseg_gc.build_errors import explain_builds
from mmseg_gc.checkpoint import clean_state_dict, load_checkpoint, load_into, save_checkpoint
from mmseg_gc.checkpoint.http import shown
from mmseg_gc.config import OWN_HOOKS
from mmseg_gc.config.config_of_weights import stored_model, tell_other_config
from mmseg_gc.engine.acceleration import prepare_for_training
from mmseg_gc.engine.averaged_weights import averages_as_weights, require_average_begins
from mmseg_gc.engine.compiling import check_compiler, compile_options, compile_parts
from mmseg_gc.engine.console import is_brief, quiet_screen, tell_file
from mmseg_gc.engine.dataloaders import complete_dataloader, require_batches, require_end_of_epoch
from mmseg_gc.engine.finite_state import require_finite_run
from mmseg_gc.engine.follow_config import follow_config, options, warn_of_schedule
from mmseg_gc.engine.hooks.preemption import PreemptionHook
from mmseg_gc.engine.launchers import join_process_group
from mmseg_gc.engine.names_of_weights import name_by_weights
from mmseg_gc.engine.on_cpu import on_cpu
from mmseg_gc.engine.optim_wrapper import AmpOptimWrapper
from mmseg_gc.engine.optimizers import prepare_optimizer
from mmseg_gc.engine.out_of_memory import explain_memory, test_cfg_of
from mmseg_gc.engine.rank_flags import RankFlags
from mmseg_gc.engine.resume import newest_checkpoint, require_resumable
from mmseg_gc.engine.schedulers import base_among_groups, with_ratios_kept
from mmseg_gc.engine.sync_bn import adapt_sync_bn
from mmseg_gc.engine.tf32 import describe_float32, set_tf32, uses_tf32
from mmseg_gc.engine.tracking import add_trackers
from mmseg_gc.engine.work_dir import hold_work_dir
from mmseg_gc.engine.workers import ending_workers
from mmseg_gc.errors import UserError
from mmseg_gc.finite import spoilt
from mmseg_gc.models.layers.compiled_ops import has_ops
from mmseg_gc.registry import RUNNERS
from mmseg_gc.version import __version__


@RUNNERS.register_module()
class SegRunner(Runner):
    """Train, validate and test a segmentor, or a detector, from a config.

    Differs from mmengine's runner in what follows. Processes without a GPU talk over gloo, and
    ``SyncBN`` works on one device and on CPUs. Validation never sees a sample twice. What a
    training draws at random depends on the seed and the place in the run alone. Weights are read
    and written by `mmseg_gc.checkpoint` alone.

    Config keys beyond mmengine's: ``strict_load=False`` loads what fits; ``resume="auto"`` goes on
    from the newest whole checkpoint of the work dir, or starts from ``load_from`` if there is
    none; ``track`` names what to log to beside the work dir (`mmseg_gc.engine.tracking`);
    ``static_graph=False`` is for models whose graph changes between iterations; ``tf32`` is what
    `mmseg_gc.engine.tf32.set_tf32` takes. ``compile``, mmengine's key, compiles a model's backbone
    and heads. The host waits for a GPU in `late_values` when a log line is due, in `rank_flags`
    before a checkpoint or a validation, and in `NonFiniteLossHook` where a step isn't fused.
    ``screen="brief"`` leaves the log to its file but for warnings; `ScreenHook` tells the rest.
    ``accelerate="none"`` switches off what is done for speed (`mmseg_gc.accelerate`).
    """

    _resume: bool | str
    _load_from: str | None
    trust_pickle = False  # no key of a config, which may be data
    # Names of buffers that hold infinity by design.
    spoilt_as_built: Sequence[str] = ()

    @cached_property
    def rank_flags(self) -> RankFlags:
        return RankFlags()

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        # Classes and files have names that a locale's own encoding may lack.
        handler = dict(type="WatchedFileHandler", encoding="utf-8")
        logger = super().build_logger(*args, **{"file_handler_cfg": handler, **kwargs})
        if is_brief(self.cfg.get("screen")):
            quiet_screen()
        tell_file(logger)
        return logger

    def setup_env(self, env_cfg: dict) -> None:
        compiling = compile_options(self.cfg.get("compile"))
        if compiling is not None:
            check_compiler(compiling, get_device())
        if self.distributed and not is_distributed():
            join_process_group(self.launcher)
        super().setup_env(env_cfg)
        set_tf32(self.cfg.get("tf32"))

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        if is_model_wrapper(model):
            return super().wrap_model(model_wrapper_cfg, model)
        device = get_device()
        model = adapt_sync_bn(model, device_type=device, world_size=self.world_size)
        model = prepare_for_training(
            model,
            device_type=device,
            tensor_cores=self._computes_on_tensor_cores(device),
            accelerate=self.cfg.get("accelerate", "auto"),
        )
        model = model.to(device)
        if not self.distributed:
            return model
        if model_wrapper_cfg is not None:
            return super().wrap_model(model_wrapper_cfg, model)
        find_unused = self.cfg.get("find_unused_parameters", False)
        accumulates = (self.cfg.get("optim_wrapper") or {}).get("accumulative_counts", 1) > 1
        return MMDistributedDataParallel(
            module=model,
            device_ids=None if device == "cpu" else [int(os.environ["LOCAL_RANK"])],
            broadcast_buffers=False,
            find_unused_parameters=find_unused,
            gradient_as_bucket_view=True,
            # Every iteration is the same here, but for those that don't exchange gradients.
            static_graph=self.cfg.get(
                "static_graph",
                not (find_unused or accumulates or self.cfg.get("compile") or has_ops(model)),
            ),
        )

    def _computes_on_tensor_cores(self, device: str) -> bool:
        kind = (self.cfg.get("optim_wrapper") or {}).get("type", "")
        mixed = str(getattr(kind, "__name__", kind)).rsplit(".", 1)[-1] == "AmpOptimWrapper"
        return device == "cuda" and (mixed or uses_tf32())

    def build_optim_wrapper(self, optim_wrapper: dict | BaseOptimWrapper) -> BaseOptimWrapper:
        wrapper = super().build_optim_wrapper(optim_wrapper)
        wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
        for one in wrappers:
            prepare_optimizer(one.optimizer)
        return wrapper

    def _maybe_compile(self, target: str) -> None:
        # mmengine would compile `train_step`, with its data, its losses and the optimizer.
        options = compile_options(self.cfg.get("compile"))
        if options is not None:
            model = self.model.module if is_model_wrapper(self.model) else self.model
            parts = ", ".join(compile_parts(model, options))
            if isinstance(self.optim_wrapper, AmpOptimWrapper):
                self.optim_wrapper.recomputes = False  # the compiler chooses what it keeps
            self.logger.info(f"Compiled: {parts}; the first iterations take minutes.")

    def register_default_hooks(self, hooks: dict | None = None) -> None:
        own = {name: dict(type=kind) for name, kind in OWN_HOOKS.items()}
        # By its full name: detectors have another scope.
        own["runtime_info"] = dict(type="mmseg_gc.RuntimeInfoHook")
        hooks = {**own, **(hooks or {})}
        off = [name for name in OWN_HOOKS if hooks[name] is None]  # mmengine takes out its own
        super().register_default_hooks({k: hook for k, hook in hooks.items() if k not in off})

    def build_visualizer(self, visualizer: dict | None = None) -> Visualizer:
        if self.cfg.get("track"):
            visualizer = add_trackers(visualizer, self.cfg.track, self.work_dir)
        return super().build_visualizer(visualizer)

    @staticmethod
    def build_dataloader(
        dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        if isinstance(dataloader, dict):
            complete_dataloader(dataloader, seed)
        loader = Runner.build_dataloader(dataloader, seed, diff_rank_seed)
        require_batches(loader)
        return loader

    @classmethod
    def from_cfg(cls, cfg: dict) -> "SegRunner":
        with explain_builds(cfg):
            return super().from_cfg(cfg)

    def train(self) -> nn.Module:
        self._describe_float32()
        try:
            with explain_builds(self.cfg), hold_work_dir(self.work_dir), ending_workers(self):
                return super().train()
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise UserError(
                "Batch normalisation met a single value a channel, for of one small crop the "
                "network makes one pixel: enlarge crop_size to 16 or more, or set "
                "train_dataloader.batch_size to 2 or more."
            ) from error
        finally:
            for hook in self.hooks:
                if isinstance(hook, PreemptionHook):
                    hook.release()

    def _describe_float32(self) -> None:
        if torch.cuda.is_available():
            self.logger.info(describe_float32())

    def scale_lr(self, optim_wrapper: OptimWrapper, auto_scale_lr: dict | None = None) -> None:
        with base_among_groups(optim_wrapper):
            super().scale_lr(optim_wrapper, auto_scale_lr)

    def build_param_scheduler(
        self, scheduler: _ParamScheduler | dict | list
    ) -> list[_ParamScheduler] | dict[str, list[_ParamScheduler]]:
        return super().build_param_scheduler(with_ratios_kept(scheduler))

    def val(self) -> dict:
        with explain_builds(self.cfg), ending_workers(self):
            return super().val()

    def test(self) -> dict:
        self._describe_float32()
        too_large = explain_memory(test_cfg_of(self.model))
        with explain_builds(self.cfg), averages_as_weights(self), too_large, ending_workers(self):
            return super().test()

    def load_or_resume(self) -> None:
        if self._resume == "auto" or (self._resume and self._load_from is None):
            # One rank looks, so that all go on from the same file.
            look = newest_checkpoint if is_main_process() else lambda *_: None
            found = [look(self.work_dir, self.trust_pickle)]
            broadcast_object_list(found)
            if found[0] is None:
                self.logger.warning(f"{self.work_dir} has no checkpoint: the run begins anew.")
            self._resume = found[0] is not None
            self._load_from = found[0] or self._load_from
        if not isinstance(self._train_loop, BaseLoop):
            super().load_or_resume()
            return
        require_end_of_epoch(self._train_loop)
        model = self.model.module if is_model_wrapper(self.model) else self.model
        self.spoilt_as_built = spoilt(model.state_dict())
        require_average_begins(self)
        super().load_or_resume()
        warn_of_schedule(self)

    def resume(
        self,
        filename: str,
        resume_optimizer: bool = True,
        resume_param_scheduler: bool = True,
        map_location: str | Callable = "default",
    ) -> None:
        """Go on from ``filename``, with the schedule and the optimizer's options of the config."""
        if map_location == "default":  # a GPU has no room for a second optimizer's state
            map_location = "cpu"
        one = not isinstance(self.optim_wrapper, OptimWrapperDict | dict)
        if not (one and resume_optimizer and resume_param_scheduler):
            super().resume(filename, resume_optimizer, resume_param_scheduler, map_location)
            return
        configured = options(self.optim_wrapper)
        super().resume(filename, True, False, map_location)
        follow_config(self, configured, self._saved_schedulers)

    def load_checkpoint(
        self,
        filename: str,
        map_location: str | torch.device = "cpu",
        strict: bool | None = None,
        revise_keys: list | None = None,
    ) -> dict:
        """Copy the weights of ``filename`` into the model and return the whole checkpoint."""
        if revise_keys:
            raise UserError("revise_keys isn't supported: names are converted by the reader.")
        checkpoint = load_checkpoint(filename, map_location, trust_pickle=self.trust_pickle)
        checkpoint["state_dict"] = clean_state_dict(checkpoint)  # which hooks may read
        if self._resume:
            require_resumable(self, checkpoint, shown(filename))
        self._saved_schedulers = checkpoint.get("param_schedulers")
        if self._resume or not isinstance(self._train_loop, BaseLoop):  # fine-tuning may differ
            tell_other_config(self.cfg.model, stored_model(checkpoint.get("meta", {})))
        # mmengine's resume would run this text as Python.
        checkpoint.get("meta", {}).pop("config", None)
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        strict = self.cfg.get("strict_load", True) if strict is None else strict
        stored = checkpoint.get("meta", {}).get("dataset_meta") or {}
        for loop in (self._val_loop, self._test_loop):
            name_by_weights(loop, stored, self.visualizer)
        load_into(self.model, checkpoint, source=filename, strict=strict)
        self._has_loaded = True
        self.logger.info(f"Load checkpoint from {shown(filename)}")
        return checkpoint

    @master_only
    def save_checkpoint(
        self,
        out_dir: str,
        filename: str,
        file_client_args: dict | None = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        meta: dict | None = None,
        by_epoch: bool = True,
        backend_args: dict | None = None,
    ) -> None:
        """Write the run's state to ``out_dir/filename``, atomically.

        Source: ``mmengine.runner.Runner.save_checkpoint``, of which this has the arguments; those
        for remote storage are refused.

        Raises:
            UserError: the file can't be written, or the training diverged; an older one stays.
        """
        if file_client_args or backend_args:
            raise UserError("checkpoints are written to local folders; leave out backend_args.")
        target = Path(out_dir, filename)
        require_finite_run(
            self, target, as_built=self.spoilt_as_built, save_optimizer=save_optimizer
        )
        done = dict(epoch=self.epoch + by_epoch, iter=self.iter + (not by_epoch))
        model = self.model.module if is_model_wrapper(self.model) else self.model
        checkpoint = {
            "meta": {
                **done,
                **(meta or {}),
                "cfg": self.cfg.pretty_text,
                "seed": self.seed,
                "experiment_name": self.experiment_name,
                "time": time.strftime("%Y%m%d_%H%M%S"),
                "mmseg_gc_version": __version__,
                "mmengine_version": mmengine.__version__,
            },
            "state_dict": model.state_dict(),
            "message_hub": self.message_hub.state_dict(),
        }
        if hasattr(self.train_dataloader.dataset, "metainfo"):
            checkpoint["meta"]["dataset_meta"] = self.train_dataloader.dataset.metainfo
        if save_optimizer:
            checkpoint["optimizer"] = self.optim_wrapper.state_dict()
        if save_param_scheduler and self.param_schedulers is not None:
            checkpoint["param_schedulers"] = [s.state_dict() for s in self.param_schedulers]
        self.call_hook("before_save_checkpoint", checkpoint=checkpoint)
        # Hooks may have put in what is on a GPU, such as averaged weights.
        save_checkpoint(on_cpu(checkpoint), target)
