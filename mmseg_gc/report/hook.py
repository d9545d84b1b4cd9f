"""Collect a report's figures while a test runs, beside the network."""

import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor

from mmseg_gc.errors import UserError
from mmseg_gc.evaluation import IoUMetric
from mmseg_gc.models import EncoderDecoder
from mmseg_gc.registry import HOOKS
from mmseg_gc.report.calibration import CalibrationWatcher
from mmseg_gc.report.figures import ImageFigures, RunFigures, image_score, measure
from mmseg_gc.report.files import write_report
from mmseg_gc.report.gallery import Gallery, draw_layers
from mmseg_gc.report.provenance import describe_run
from mmseg_gc.structures import SegDataSample

WAITING = 16  # images whose figures aren't made yet; what more come wait for one of them


@HOOKS.register_module()
class ReportHook(Hook):
    """Write the report ``path`` (.html) of a test, and its figures beside it.

    The test's own predictions are looked at, by threads that work while the network does: nothing
    is predicted a second time, and of each image small arrays are kept. ``config`` and
    ``checkpoint`` are what the report says was tested.
    """

    def __init__(self, path: str, config: str, checkpoint: str) -> None:
        self.path = Path(path)
        self.config = config
        self.checkpoint = checkpoint
        self.gallery = Gallery()
        self.calibration: CalibrationWatcher | None = None
        self._watched: EncoderDecoder | None = None
        self._waiting: deque[Future[ImageFigures]] = deque()
        self._images: list[ImageFigures] = []

    def before_test_epoch(self, runner: Runner) -> None:
        metrics = [m for m in runner.test_evaluator.metrics if isinstance(m, IoUMetric)]
        if not metrics:
            raise UserError(
                "a report needs labels that are scored: add dict(type='IoUMetric') to "
                "config key test_evaluator."
            )
        self.meta = dict(runner.test_evaluator.dataset_meta or {})
        self.ignore_index = metrics[0].ignore_index
        self._pool = ThreadPoolExecutor(max(2, min(4, os.cpu_count() or 2)), "report")
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        of_views = isinstance(model, BaseTTAModel)
        model = model.module if of_views else model
        if isinstance(model, EncoderDecoder) and not (of_views and model.predicts_its_own_way):
            threshold = getattr(model.decode_head, "threshold", None)
            self.calibration = CalibrationWatcher(self.ignore_index, threshold)
            self._watched = model
            model.watchers.append(self.calibration)
        self._start = time.perf_counter()

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[SegDataSample] | None = None,
    ) -> None:
        assert outputs is not None  # a test's loop hands over what was predicted
        for sample in outputs:
            table = self.calibration.take(sample) if self.calibration is not None else None
            pred, label = (sample.get(key).data[0] for key in ("pred_sem_seg", "gt_sem_seg"))
            self._waiting.append(self._pool.submit(self._look, sample.metainfo, pred, label, table))
        while self._waiting and (self._waiting[0].done() or len(self._waiting) > WAITING):
            self._images.append(self._waiting.popleft().result())

    def _look(
        self, meta: Mapping, pred: Tensor, label: Tensor, table: Tensor | None
    ) -> ImageFigures:
        # This thread waits for the GPU, and not the one that feeds it.
        predicted, true = (_narrow(ids.cpu().numpy()) for ids in (pred, label))
        classes, path = self.meta["classes"], str(meta.get("img_path", ""))
        image = measure(
            path,
            predicted,
            true,
            num_classes=len(classes),
            ignore_index=self.ignore_index,
            calibration=None if table is None else table.cpu().numpy(),
        )
        self.gallery.offer(
            image_score(image, len(classes), self.ignore_index),
            path,
            lambda: draw_layers(
                path,
                predicted,
                true,
                palette=self.meta.get("palette"),
                num_classes=len(classes),
                ignore_index=self.ignore_index,
            ),
        )
        return image

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        self._images += [waiting.result() for waiting in self._waiting]
        self._waiting.clear()
        self._stop()
        seconds = time.perf_counter() - self._start
        gathered = all_gather_object((self._images, self.gallery))
        if not is_main_process():
            return
        images = [image for images, _ in gathered for image in images]
        for _, gallery in gathered[1:]:
            gathered[0][1].take(gallery)
        if len(gathered) > 1:
            images.sort(key=lambda image: image.path)
        run = RunFigures(images, self.meta["classes"], self.ignore_index)
        about = describe_run(
            runner, config=self.config, checkpoint=self.checkpoint, seconds=seconds
        )
        write_report(
            self.path,
            run,
            gathered[0][1],
            about=about,
            palette=self.meta.get("palette"),
            work_dir=Path(self.checkpoint).parent,
        )
        runner.logger.info(f"The report is {self.path}; its figures are beside it.")

    def _stop(self) -> None:
        if self._watched is not None and self.calibration is not None:
            self._watched.watchers.remove(self.calibration)
            self._watched = None
        self._pool.shutdown()


def _narrow(ids: np.ndarray) -> np.ndarray:
    """``ids`` in the type that makes them quick to count, where no id is changed by it."""
    if ids.dtype != np.uint8 and ids.size and ids.min() >= 0 and ids.max() < 256:
        return ids.astype(np.uint8)
    return np.ascontiguousarray(ids)
