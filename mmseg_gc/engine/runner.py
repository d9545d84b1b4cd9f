"""mmengine's runner with safe reading, atomic writing, and processes that may have no GPU."""

import os
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.device import get_device
from mmengine.dist import is_distributed
from mmengine.fileio import LocalBackend, register_backend
from mmengine.model import MMDistributedDataParallel, is_model_wrapper
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from mmseg_gc.checkpoint import load_checkpoint, load_into, write_atomically
from mmseg_gc.errors import UserError
from mmseg_gc.models.layers.sync_bn import adapt_sync_bn
from mmseg_gc.models.layers.winograd_training import use_winograd
from mmseg_gc.registry import RUNNERS


class AtomicLocalBackend(LocalBackend):
    """Local files that are the old version or the whole new one at every moment."""

    def put(self, obj: bytes | memoryview, filepath: str | Path) -> None:
        write_atomically(filepath, lambda file: file.write(obj))


register_backend("atomic_local", AtomicLocalBackend, force=True)


@RUNNERS.register_module()
class SegRunner(Runner):
    """Train, validate and test a segmentor from a config.

    Differs from mmengine's runner in four places: processes without a GPU talk over gloo,
    ``SyncBN`` works on one device and on CPUs, validation never sees a sample twice, and weights
    are read and written by `mmseg_gc.checkpoint` alone. ``cfg.strict_load=False`` loads what fits.
    """

    def setup_env(self, env_cfg: dict) -> None:
        if self.distributed and not torch.cuda.is_available() and not is_distributed():
            # mmengine sets a CUDA device before it starts any process group.
            torch.distributed.init_process_group("gloo")
        super().setup_env(env_cfg)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        if is_model_wrapper(model):
            return super().wrap_model(model_wrapper_cfg, model)
        device = get_device()
        model = adapt_sync_bn(model, device_type=device, world_size=self.world_size)
        if device == "cpu":
            # oneDNN's convolutions take this layout as it is and reorder the other one.
            model = model.to(memory_format=torch.channels_last)
            use_winograd(model)
        if not self.distributed:
            return model.to(device)
        if device == "cpu" and model_wrapper_cfg is None:
            return MMDistributedDataParallel(
                module=model,
                broadcast_buffers=False,
                find_unused_parameters=self.cfg.get("find_unused_parameters", False),
            )
        return super().wrap_model(model_wrapper_cfg, model)

    @staticmethod
    def build_dataloader(
        dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        if isinstance(dataloader, dict):
            sampler = dataloader.get("sampler")
            if isinstance(sampler, dict) and not sampler.get("shuffle", True):
                # In order means to be counted: padding the last round would count some twice.
                sampler.setdefault("round_up", False)
            if dataloader.get("num_workers", 0) == 0:
                dataloader["persistent_workers"] = False  # torch refuses it without workers
        return Runner.build_dataloader(dataloader, seed, diff_rank_seed)

    def load_checkpoint(
        self,
        filename: str,
        map_location: str | Callable = "cpu",
        strict: bool | None = None,
        revise_keys: list | None = None,
    ) -> dict:
        """Copy the weights of ``filename`` into the model and return the whole checkpoint."""
        if revise_keys:
            raise UserError("revise_keys isn't supported: names are converted by the reader.")
        checkpoint = load_checkpoint(filename, map_location)
        if self._resume:
            _require_training_state(checkpoint, filename)
        # mmengine's resume would run this text as Python.
        checkpoint.get("meta", {}).pop("config", None)
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        strict = self.cfg.get("strict_load", True) if strict is None else strict
        self._name_classes(checkpoint.get("meta", {}).get("dataset_meta") or {})
        load_into(self.model, checkpoint, source=filename, strict=strict)
        self._has_loaded = True
        self.logger.info(f"Load checkpoint from {filename}")
        return checkpoint

    def _name_classes(self, stored: dict) -> None:
        """Score and draw under the names and colours of the weights where the data has none."""
        for loop in (self._val_loop, self._test_loop):
            evaluator = getattr(loop, "evaluator", None)
            if evaluator is not None and not (evaluator.dataset_meta or {}).get("classes"):
                evaluator.dataset_meta = {**(evaluator.dataset_meta or {}), **stored}
                self.visualizer.dataset_meta = evaluator.dataset_meta

    def save_checkpoint(self, *args, backend_args: dict | None = None, **kwargs) -> None:
        # Positional and keyword arguments are mmengine's.
        backend_args = backend_args or dict(backend="atomic_local")
        super().save_checkpoint(*args, backend_args=backend_args, **kwargs)


def _require_training_state(checkpoint: dict, filename: str) -> None:
    lacking = {"meta", "message_hub", "optimizer"} - checkpoint.keys()
    if lacking:
        raise UserError(
            f"{filename} can't be resumed from: it has no {', '.join(sorted(lacking))}; pass it as "
            "--cfg-options load_from=… to start from its weights."
        )


def check_work_dir(path: str | Path) -> None:
    """Make sure that ``path`` can be written before hours of work depend on it.

    Raises:
        UserError: it can't be made or written.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"work dir {path} can't be written ({error.strerror}); mend its rights or pass another "
            "--work-dir."
        ) from error
