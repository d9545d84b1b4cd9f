"""IoU, Dice and F-score of a whole split from one confusion matrix."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.dist import all_reduce
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log
from prettytable import PrettyTable

from mmseg_gc.errors import UserError
from mmseg_gc.evaluation.confusion import (
    FIGURES,
    ConfusionMatrix,
    class_figures,
    overall_accuracy,
)
from mmseg_gc.evaluation.label_files import NUMBERING, LabelFiles, label_file_ids
from mmseg_gc.registry import METRICS


@METRICS.register_module()
class IoUMetric(BaseMetric):
    """Mean and per-class figures in percent, from counts that are exact on any number of processes.

    ``iou_metrics`` chooses among mIoU, mDice and mFscore; a class without pixels is NaN and left
    out of the mean, or counts ``nan_to_num``. Pixels whose label is ``ignore_index`` don't count;
    where that is the id of a class, its figures are NaN and left out of the means, and a pixel of
    another class that is predicted to be of it is an error of that other class. ``output_dir``
    receives each prediction as a PNG of the label files' numbers, as in `label_file_ids`; with
    ``format_only`` nothing is scored.

    After `evaluate`, ``confusion`` is the matrix (C, C), int64, row = true id, ``class_values``
    maps each figure to one percentage a class, and ``table`` is what was printed.

    Raises:
        UserError: An unknown figure, a label of another size than its prediction, ids outside the
            classes, or a sample that was seen twice or never.

    Source: ``mmseg.evaluation.IoUMetric``, which adds up in float32.
    """

    default_prefix = ""  # None would have mmengine warn that there is no prefix

    def __init__(
        self,
        ignore_index: int = 255,
        iou_metrics: str | Sequence[str] = ("mIoU",),
        nan_to_num: float | None = None,
        beta: float = 1,
        collect_device: str = "cpu",
        output_dir: str | None = None,
        format_only: bool = False,
        prefix: str | None = None,
        backend_args: dict | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.metrics = [iou_metrics] if isinstance(iou_metrics, str) else list(iou_metrics)
        unknown = [name for name in self.metrics if name not in FIGURES]
        if unknown:
            raise UserError(
                f"IoUMetric.iou_metrics has {unknown}: choose from {', '.join(FIGURES)}."
            )
        if format_only and not output_dir:
            raise UserError("IoUMetric.format_only needs output_dir: name the folder to write to.")
        self.ignore_index = ignore_index
        self.nan_to_num = nan_to_num
        self.beta = beta
        self.output_dir = output_dir
        self.format_only = format_only
        self.confusion: torch.Tensor | None = None
        self.class_values: dict[str, list[float]] = {}
        self.table = ""
        self._num_samples = 0
        self.files = LabelFiles(output_dir, backend_args) if output_dir else None

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count each sample's ``pred_sem_seg`` against its ``gt_sem_seg``: (1, H, W), integer."""
        for sample in data_samples:
            pred = sample["pred_sem_seg"]["data"].squeeze(0)
            self._num_samples += 1
            if not self.format_only:
                self._count(pred, sample)
            if self.files is not None:
                self._write(self.files, pred, sample)

    def evaluate(self, size: int) -> dict[str, float]:
        """Add up over all processes and compute the figures of a split of ``size`` samples."""
        # `BaseMetric` would gather a list of samples and cut it to ``size``, assuming that what is
        # too much came last; a sum can't be cut, so each sample must be seen once.
        num_classes = len(self.dataset_meta["classes"])
        counts = torch.zeros(num_classes, num_classes, dtype=torch.int64)
        for matrix in self.results:
            with self._explained():
                counts += matrix.counts()
        seen = torch.tensor(self._num_samples)
        all_reduce(counts)
        all_reduce(seen)
        self.results.clear()
        self._num_samples = 0
        if self.files is not None:
            self.files.forget()
        if seen.item() != size:
            raise UserError(
                f"IoUMetric saw {seen.item()} samples of a data set of {size}: set round_up=False "
                "in the sampler and drop_last=False in the val or test dataloader."
            )
        figures = self.compute_metrics([counts])
        return {f"{self.prefix}/{k}" if self.prefix else k: v for k, v in figures.items()}

    def compute_metrics(self, results: list[torch.Tensor]) -> dict[str, float]:
        """The means in percent from a list of confusion matrices; logs the table by class."""
        logger = MMLogger.get_current_instance()
        if self.format_only:
            print_log(f"Predictions are in {self.output_dir}", logger)
            return {}
        confusion = self.confusion = torch.stack(results).sum(0)
        means = {"aAcc": self._percent(overall_accuracy(confusion))}
        self.class_values = {}
        for name in self.metrics:
            for figure, values in class_figures(confusion, name, self.beta).items():
                percent = self._percent(values)
                if 0 <= self.ignore_index < len(percent):
                    percent[self.ignore_index] = np.nan
                means[f"m{figure}"] = percent
                self.class_values[figure] = percent.tolist()
        table = PrettyTable()
        table.add_column("Class", list(self.dataset_meta["classes"]))
        for figure, of_classes in self.class_values.items():
            table.add_column(figure, np.round(of_classes, 2).tolist())
        self.table = table.get_string()
        print_log(f"per class results:\n{self.table}", logger)
        return {key: _mean(values) for key, values in means.items()}

    def _percent(self, ratios: torch.Tensor) -> np.ndarray:
        values = ratios.numpy()
        if self.nan_to_num is not None:
            values = np.nan_to_num(values, nan=self.nan_to_num)
        return values * 100

    def _count(self, pred: torch.Tensor, sample: dict) -> None:
        path = sample.get("seg_map_path") or sample.get("img_path")
        if "gt_sem_seg" not in sample:
            raise UserError(
                f"{path} has no label to score against: load labels in the test pipeline, or set "
                "IoUMetric.format_only and output_dir to write predictions only."
            )
        label = sample["gt_sem_seg"]["data"].squeeze(0)
        if label.shape != pred.shape:
            raise UserError(
                f"{path} has a label of shape {tuple(label.shape)} but a prediction of "
                f"{tuple(pred.shape)}: load the label after Resize in the test pipeline."
            )
        if not self.results:
            num_classes = len(self.dataset_meta["classes"])
            self.results.append(ConfusionMatrix(num_classes, self.ignore_index))
        with self._explained():
            self.results[0].add(pred, label.to(pred.device, non_blocking=True), path)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            raise UserError(
                f"{error}; correct metainfo.classes, the model's num_classes or "
                f"IoUMetric.ignore_index ({self.ignore_index})."
            ) from error

    def _write(self, files: LabelFiles, pred: torch.Tensor, sample: dict) -> None:
        # Several data sets in one may differ.
        own = {key: sample[key] for key in NUMBERING if key in sample}
        meta = {**self.dataset_meta, **own}
        files.write(label_file_ids(meta)[pred.cpu().numpy()], sample["img_path"])


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return round(float(known.mean()), 2) if known.size else float("nan")
