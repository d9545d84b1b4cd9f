"""One side of the timings: this package or mmsegmentation, in a process that stays alive."""

import copy
import gc
import importlib
import logging
import warnings
from collections.abc import Callable

import torch
from measures import arithmetic, median_seconds, memory_peak
from mmengine.model import revert_sync_batchnorm
from side_by_side import serve
from torch import Tensor, nn

from gpu_check import inputs, nets
from gpu_check.speed_rows import Row

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
AMP_DTYPES = {"fp16": "float16", "bf16": "bfloat16"}


class Side:
    """``package`` is mmseg or mmseg_gc."""

    def __init__(self, package: str, device: str) -> None:
        self.package = package
        self.ours = package == "mmseg_gc"
        self.device = torch.device(device)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)

    def measure(self, row: list, repeat: int, warm_up: int) -> dict:
        """Milliseconds, a `measures.Peak`, and in what a `Row` is computed."""
        row = Row(*row)
        work = self._training(row) if row.task == "train" else self._testing(row)
        seconds = median_seconds(work, self.device, repeat, warm_up)
        peak = memory_peak(work, self.device)
        del work
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        computed_in = arithmetic(self.device, DTYPES[row.precision])
        return dict(milliseconds=1000 * seconds, peak=peak, computed_in=computed_in)

    def _training(self, row: Row) -> Callable[[], None]:
        """A step by the package's own engine, from images and labels in the host's memory."""
        cfg = nets.read_config(row.config, package=self.package)
        cfg.model.data_preprocessor.size = tuple(row.size)
        if row.precision != "fp32":
            cfg.optim_wrapper.type = "AmpOptimWrapper"
            cfg.optim_wrapper.dtype = AMP_DTYPES[row.precision]
        if self.ours:
            runner_class = importlib.import_module("mmseg_gc.engine").SegRunner
        else:
            runner_class = importlib.import_module("mmengine.runner").Runner
        runner = runner_class.from_cfg(cfg)
        model = revert_sync_batchnorm(runner.model).train()
        wrapper = runner.build_optim_wrapper(cfg.optim_wrapper)
        classes = model.decode_head.num_classes
        data = inputs.train_batch(row.batch, tuple(row.size), classes, package=self.package)

        def step() -> None:
            samples = [copy.copy(sample) for sample in data["data_samples"]]
            model.train_step(dict(inputs=data["inputs"], data_samples=samples), wrapper)

        return step

    def _testing(self, row: Row) -> Callable[[], object]:
        """An image or its views to labels; mmsegmentation's half precision is autocast."""
        # As test.py of each has it: mmsegmentation searches for the fastest algorithms for every
        # size, this package while all images have one.
        one_size = row.task == "test" and row.ori_shape is None
        torch.backends.cudnn.benchmark = one_size or not self.ours
        model = nets.build(row.config, row.options, device=self.device, package=self.package)
        if self.ours:
            model = nets.prepared(model, row.precision, compile=row.compiled)
        size = tuple(row.size)
        if row.task == "views":
            model = nets.over_views(model, package=self.package)
            data = inputs.views(size, row.scales, package=self.package)
        else:
            of_size = dict(ori_shape=tuple(row.ori_shape)) if row.ori_shape else {}
            data = inputs.test_batch(size, package=self.package, **of_size)
        half = not self.ours and row.precision != "fp32"

        def label() -> object:
            with torch.autocast(self.device.type, DTYPES[row.precision], enabled=half):
                return nets.predict(model, data)

        return label

    def operations(self, row: list) -> int:
        """Floating-point operations of the plain network in a row, of all heads where it trains.

        A training step is taken for three times the forward pass.
        """
        from mmseg_gc.apis.operations import num_operations

        row = Row(*row)
        cfg = nets.read_config(row.config, row.options, package=self.package)
        models = importlib.import_module(f"{self.package}.registry").MODELS
        with torch.device("meta"):
            model = models.build(cfg.model)
        if row.task != "train":
            return num_operations(model, tuple(row.size))
        return 3 * row.batch * num_operations(_AllHeads(model), tuple(row.size))


class _AllHeads(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> list[Tensor]:
        features = self.model.extract_feat(images)
        return [self.model.decode_head(features), self.model.auxiliary_head(features)]


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    sides: list[Side] = []
    serve(
        {
            "start": lambda **options: sides.append(Side(**options)),
            "measure": lambda **options: sides[0].measure(**options),
            "operations": lambda **options: sides[0].operations(**options),
        }
    )


if __name__ == "__main__":
    main()
