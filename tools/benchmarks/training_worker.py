"""One side of compare_training.py: reads samples and trains, by mmsegmentation or this package."""

import importlib
import logging
import random
import time
import warnings

import cv2
import numpy as np
import torch
from measures import memory_peak, wait_for
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import PixelData
from side_by_side import serve

CLASSES = 19
DTYPES = {"bf16": "bfloat16", "fp16": "float16"}


class Side:
    """``package`` is mmseg or mmseg_gc; ``config`` a file that both can read.

    Both engines train on the current GPU where they see one.
    """

    def __init__(self, package: str, config: str, work_dir: str, device: str) -> None:
        self.package = package
        self.device = device
        self.ours = package == "mmseg_gc"
        if self.ours:
            cfg = importlib.import_module("mmseg_gc.config").load_config(config)
        else:
            importlib.import_module("mmseg.utils").register_all_modules(init_default_scope=False)
            cfg = Config.fromfile(config)
        init_default_scope(package)
        cfg.work_dir = work_dir
        cfg.model.pretrained = None
        self.cfg = cfg

    def open_data(self, root: str, packed: str | None = None) -> None:
        cfg = {**self.cfg.train_dataloader.dataset, "data_root": root}
        if packed:
            cfg["packed"] = packed
        datasets = importlib.import_module(f"{self.package}.registry").DATASETS
        self.dataset = datasets.build(cfg)

    def read(self, count: int, seed: int) -> float:
        """Seconds of processor time that one sample takes on average, from file to tensors."""
        random.seed(seed)
        np.random.seed(seed)
        start = time.process_time()
        for index in range(count):
            self.dataset[index % len(self.dataset)]
        return (time.process_time() - start) / count

    def load(self, size: tuple[int, int], batch: int, precision: str) -> None:
        """Build model and optimizer as the package's runner does, and one random batch."""
        self.cfg.model.data_preprocessor.size = tuple(size)
        if precision != "fp32":
            self.cfg.optim_wrapper.type = "AmpOptimWrapper"
            self.cfg.optim_wrapper.dtype = DTYPES[precision]
        runner_class = Runner
        if self.ours:
            runner_class = importlib.import_module("mmseg_gc.engine.runner").SegRunner
        runner = runner_class.from_cfg(self.cfg)
        self.model = revert_sync_batchnorm(runner.model).train()
        self.optim_wrapper = runner.build_optim_wrapper(self.cfg.optim_wrapper)
        draw = np.random.default_rng(0)
        shape = (batch, 3, *size)
        self.images = torch.from_numpy(draw.integers(0, 256, shape, np.uint8))
        coarse = draw.integers(0, CLASSES, (batch, 1, size[0] // 32, size[1] // 32))
        self.labels = torch.from_numpy(coarse.repeat(32, 2).repeat(32, 3))

    def step(self) -> float:
        """Seconds of one training step."""
        sample_class = importlib.import_module(f"{self.package}.structures").SegDataSample
        samples = []
        for label in self.labels:
            shape = tuple(label.shape[1:])
            sample = sample_class(metainfo={"ori_shape": shape, "img_shape": shape})
            sample.gt_sem_seg = PixelData(data=label.clone())
            samples.append(sample)
        wait_for(self.device)
        start = time.perf_counter()
        losses = self.model.train_step(
            {"inputs": list(self.images), "data_samples": samples}, self.optim_wrapper
        )
        wait_for(self.device)
        seconds = time.perf_counter() - start
        assert torch.isfinite(losses["loss"])
        return seconds

    def memory(self, steps: int) -> tuple:
        """A `measures.Peak` of the first steps, beside the loaded model."""
        return memory_peak(lambda: [self.step() for _ in range(steps)], self.device)


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    cv2.setNumThreads(0)
    side: Side | None = None

    def start(package: str, config: str, work_dir: str, threads: int, device: str) -> None:
        nonlocal side
        torch.set_num_threads(threads)
        if device != "cpu":
            torch.cuda.set_device(device)
        side = Side(package, config, work_dir, device)

    serve(
        {
            "start": start,
            "open_data": lambda **arguments: side.open_data(**arguments),
            "read": lambda **arguments: side.read(**arguments),
            "load": lambda **arguments: side.load(**arguments),
            "step": lambda: side.step(),
            "memory": lambda **arguments: side.memory(**arguments),
        }
    )


if __name__ == "__main__":
    main()
