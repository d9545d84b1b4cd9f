"""A training that lasts a fraction of a second and yet keeps every kind of state."""

import random
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from torch import nn
from torch.utils.data import Dataset

from mmseg_gc.config import SegConfig
from mmseg_gc.engine import SegRunner
from mmseg_gc.registry import DATASETS, HOOKS, METRICS, MODELS


@DATASETS.register_module(force=True)
class ToyDataset(Dataset):
    """Seven samples, distorted by draws from all three generators."""

    def __len__(self):
        return 7

    def __getitem__(self, index):
        noise = random.random() + np.random.rand() + torch.rand(3, 4, 4)
        sample = SimpleNamespace(img_path=f"image_{index}.png")
        return {"inputs": torch.full((3, 4, 4), float(index)) / 7 + noise, "data_samples": sample}


@MODELS.register_module(force=True)
class ToyModel(BaseModel):
    """Convolution, BN and dropout; ``poison`` names iterations whose loss is NaN."""

    def __init__(self, poison: tuple = (), dropout: float = 0.5):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.SyncBatchNorm(8), nn.Dropout(dropout), nn.Conv2d(8, 1, 1)
        )
        self.poison = poison
        self.calls = 0

    def forward(self, inputs, data_samples=None, mode="tensor"):
        output = self.layers(torch.stack(list(inputs)))
        if mode != "loss":
            return data_samples
        self.calls += 1
        factor = float("nan") if self.calls in self.poison else 1.0
        return {"loss_toy": (output**2).mean() * factor}


@METRICS.register_module(force=True)
class ToyMetric(BaseMetric):
    """Gives ``scores`` one after the other, whichever run asks, by the number of iterations."""

    def __init__(self, scores: tuple = (1.0,), every: int = 2):
        super().__init__()
        self.scores, self.every = scores, every

    def process(self, data_batch, data_samples):
        self.results.append(len(data_samples))

    def compute_metrics(self, results):
        from mmengine.logging import MessageHub

        iteration = MessageHub.get_current_instance().get_info("iter") + 1
        torch.rand(3), random.random(), np.random.rand()  # validation may draw as it likes
        return {"mIoU": self.scores[min(iteration // self.every - 1, len(self.scores) - 1)]}


@HOOKS.register_module(force=True)
class DoHook(Hook):
    """Calls ``action(runner)`` at ``moment``, a hook's method, when ``iteration`` are done."""

    priority = "LOWEST"

    def __init__(self, action, moment: str = "after_train_iter", iteration: int = 3):
        done = -1 if moment == "after_train_iter" else 0  # the loop counts after its hooks

        def method(runner, *args, **kwargs):
            if runner.iter == iteration + done:
                action(runner)

        setattr(self, moment, method)


def build(
    work_dir: Path,
    iterations: int = 8,
    *,
    scores: tuple = (1.0,),
    poison: tuple = (),
    workers: int = 0,
    val_interval: int = 2,
    seed: int | None = 3,
    hooks: list | tuple = (),
    optim_wrapper: dict | None = None,
    batch_size: int = 2,
    **changes,
) -> SegRunner:
    """A runner of the toy training; ``changes`` are merged into its config by dotted keys."""
    loader = dict(batch_size=batch_size, num_workers=workers, persistent_workers=workers > 0)
    cfg = dict(
        default_scope="mmseg_gc",
        experiment_name=f"toy_{work_dir.parent.name}_{work_dir.name}_{time.monotonic_ns()}",
        model=dict(type="ToyModel", poison=poison),
        work_dir=str(work_dir),
        train_dataloader=dict(
            **loader, sampler=dict(type="InfiniteSampler"), dataset=dict(type="ToyDataset")
        ),
        val_dataloader=dict(
            batch_size=1,
            num_workers=0,
            sampler=dict(type="DefaultSampler", shuffle=False),
            dataset=dict(type="ToyDataset"),
        ),
        val_evaluator=dict(type="ToyMetric", scores=scores),
        train_cfg=dict(type="IterBasedTrainLoop", max_iters=iterations, val_interval=val_interval),
        val_cfg=dict(type="ValLoop"),
        optim_wrapper=optim_wrapper
        or dict(optimizer=dict(type="SGD", lr=0.1, momentum=0.9, weight_decay=0.01)),
        param_scheduler=[dict(type="PolyLR", eta_min=0, end=100, by_epoch=False)],
        default_hooks=dict(
            logger=dict(type="LoggerHook", interval=1, log_metric_by_epoch=False),
            checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=2, save_best="mIoU"),
            curves=None,  # whose drawing would take longer than the training
        ),
        custom_hooks=list(hooks),
        log_processor=dict(by_epoch=False),
        randomness=dict(seed=seed),
        resume="auto",
    )
    cfg = SegConfig(cfg)
    cfg.merge_from_dict(changes)
    return SegRunner.from_cfg(cfg)
