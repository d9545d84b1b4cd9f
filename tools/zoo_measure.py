"""Measure one row of the published table on this device: scores, training memory, images/s."""

import gc
import time
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import torch
from measures import memory_peak
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from torch import nn

from mmseg_gc.config import load_config
from mmseg_gc.config.prediction import prepare_test
from mmseg_gc.engine.acceleration import give_back_memory
from mmseg_gc.engine.runner import SegRunner
from mmseg_gc.registry import DATASETS, SCOPE
from mmseg_gc.structures import SegDataSample

GIB = 2**30
WARM_UP_STEPS = 5


class Scores(NamedTuple):
    """mIoU in percent, and the images that the model labels in a second (NaN: too few to tell)."""

    miou: float
    images_per_second: float


def row_config(
    config: Path, *, data_root: Path, work_dir: Path, limit: int | None = None
) -> Config:
    """The row's config, its data below ``data_root`` and cut to the first ``limit`` images."""
    cfg = load_config(config, work_dir=work_dir)
    dataset = cfg.test_dataloader.dataset
    top, *below = Path(dataset.data_root).parts
    if top == "data":
        dataset.data_root = str(data_root.joinpath(*below))
    if limit:
        dataset.indices = limit
    cfg.log_level = "WARNING"
    # The search for the fastest convolution would run again for every new size of an image.
    cfg.env_cfg.cudnn_benchmark = False
    return cfg


def require_data(cfg: Config) -> None:
    """Build the test data set.

    Raises:
        UserError: a folder or file of it does not exist.
    """
    init_default_scope(SCOPE)
    DATASETS.build({**cfg.test_dataloader.dataset, "test_mode": True})


def run_test(cfg: Config, weights: Path, *, aug_test: bool) -> Scores:
    """Test ``weights`` as tools/test.py does."""
    cfg = deepcopy(cfg)
    prepare_test(cfg, weights, aug_test=aug_test)
    runner = SegRunner.from_cfg(cfg)
    clock = StepClock(runner.model)
    return Scores(runner.test()["mIoU"], clock.images_per_second())


class StepClock:
    """Times ``model.test_step``: preprocessing and forward, without loading and scoring."""

    def __init__(self, model: nn.Module) -> None:
        self.steps: list[tuple[int, float]] = []  # images, seconds
        self._step = model.test_step
        model.test_step = self

    def __call__(self, data: dict) -> Sequence[SegDataSample]:
        begin = self._now()
        samples = self._step(data)
        self.steps.append((len(samples), self._now() - begin))
        return samples

    @staticmethod
    def _now() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()

    def images_per_second(self) -> float:
        steps = self.steps[WARM_UP_STEPS:]
        images, seconds = (sum(column) for column in zip(*steps, strict=True)) if steps else (0, 0)
        return images / seconds if images else float("nan")


@DATASETS.register_module()
class RandomScenes:
    """Noise of a training crop's size: it takes the memory of real images and no download."""

    metainfo: dict = {}

    def __init__(self, size: tuple[int, int], num_classes: int, length: int) -> None:
        self.size = tuple(size)
        self.num_classes = num_classes
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict:
        shape = (1, *self.size)
        sample = SegDataSample(metainfo=dict(img_shape=self.size, ori_shape=self.size))
        sample.gt_sem_seg = PixelData(data=torch.randint(self.num_classes, shape))
        image = torch.randint(256, (3, *self.size), dtype=torch.uint8)
        return dict(inputs=image, data_samples=sample)


def training_memory(cfg: Config) -> float:
    """GiB that training takes at its peak, at the row's batch per GPU and crop."""
    cfg = deepcopy(cfg)
    batch_size = cfg.train_dataloader.batch_size
    # The optimizer's momentum is there from the second iteration on.
    cfg.train_cfg.max_iters = iterations = 2
    cfg.train_dataloader = dict(
        batch_size=batch_size,
        num_workers=0,
        sampler=dict(type="DefaultSampler", shuffle=False),
        dataset=dict(
            type="RandomScenes",
            size=cfg.model.data_preprocessor.size,
            num_classes=cfg.model.decode_head.num_classes,
            length=batch_size * iterations,
        ),
    )
    for key in ("val_dataloader", "val_evaluator", "val_cfg"):
        cfg[key] = None
    cfg.model.pretrained = None
    cfg.default_hooks = dict(checkpoint=None)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return memory_peak(lambda: SegRunner.from_cfg(cfg).train(), device).above / GIB


def release_memory() -> None:
    """Give back what earlier rows left, so that the next one starts from the same ground."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    give_back_memory()
