"""Say it when labels are mostly ignored or lack a class, before the score flatters."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmseg_gc.datasets.concat import leaves
from mmseg_gc.datasets.transforms.labels import count_ids
from mmseg_gc.registry import HOOKS

SHOWN_CLASSES = 5
NOTABLE = 0.1  # share of ignored pixels, from which on one batch is enough to speak
HINT = (
    "mmseg_gc check shows the ids in the label files, and label_map={255: 1} in the data "
    "sets makes one that is ignored a class"
)

ADD = "add images that show it, or drop the class"


@HOOKS.register_module()
class LabelCheckHook(Hook):
    """Warn once of ignored pixels and absent classes in training, validation and testing.

    Of the first ``num_batches`` of training it warns where more than ``max_ignored`` of the pixels
    are ignored, or some are and all others are of one class. Of the first validation, and of a
    test, it warns where more than ``max_ignored`` are ignored or a class never occurs. Labels are
    counted before they leave the CPU, so nothing waits for a GPU.
    """

    priority = "VERY_LOW"

    def __init__(self, max_ignored: float = 0.5, num_batches: int = 10) -> None:
        self.max_ignored = max_ignored
        self.num_batches = num_batches
        self._train_counts: np.ndarray | None = np.zeros(256, np.int64)
        self._num_seen = 0
        self._counts: dict[str, np.ndarray | None] = {"val": None, "test": None}
        self._is_done = {"val": False, "test": False}

    # Training

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        if self._train_counts is None:
            return
        self._train_counts += counts_of(data_batch)
        self._num_seen += 1
        names, ignore_index = _classes_of(runner.train_dataloader.dataset)
        share = _ignored_share(self._train_counts, ignore_index)
        absent = _absent(self._train_counts, names, ignore_index)
        # A rare class may miss a batch; all but one, beside ignored pixels, hardly do.
        is_single = share > 0 and len(names) > 1 and len(absent) >= len(names) - 1
        is_first, is_last = self._num_seen == 1, self._num_seen >= self.num_batches
        if share > self.max_ignored or is_single and (share > NOTABLE or is_last):
            which = "first training batch" if is_first else f"first {self._num_seen} batches"
            runner.logger.warning(
                f"{share:.0%} of the pixels in the {which} are ignore_index ({ignore_index})"
                f"{_and_none_of(absent)}: {HINT}."
            )
            is_last = True
        if is_last:
            self._train_counts = None

    # Validation and testing

    def before_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        self._count("val", data_batch)

    def before_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        self._count("test", data_batch)

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        self._judge("val", "validation", runner.val_dataloader.dataset, runner)

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        self._judge("test", "test", runner.test_dataloader.dataset, runner)

    def _count(self, phase: str, data_batch: dict | None) -> None:
        if self._is_done[phase]:
            return
        counts = counts_of(data_batch)
        before = self._counts[phase]
        self._counts[phase] = counts if before is None else before + counts

    def _judge(self, phase: str, title: str, dataset: object, runner: Runner) -> None:
        if self._is_done[phase]:
            return
        self._is_done[phase] = True
        counts = self._counts[phase]
        total = torch.from_numpy(np.zeros(256, np.int64) if counts is None else counts)
        all_reduce(total)
        counts = total.numpy()
        names, ignore_index = _classes_of(dataset)
        if not counts.any() or not names:
            return
        share, absent = _ignored_share(counts, ignore_index), _absent(counts, names, ignore_index)
        if share > self.max_ignored:
            runner.logger.warning(
                f"{share:.0%} of the pixels of the {title} are ignore_index ({ignore_index})"
                f"{_and_none_of(absent)}, so the scores are of the rest: {HINT}."
            )
        elif absent:
            ignored = f", where {share:.0%} of the pixels are ignore_index ({ignore_index})"
            runner.logger.warning(
                f"No pixel in the labels of the {title} is of class {_shown(absent)}"
                f"{ignored if share else ''}, so no score is of it: {HINT if share else ADD}."
            )


def counts_of(data_batch: dict | None) -> np.ndarray:
    """How many pixels of a batch's labels on the CPU have each id: (256,), int64."""
    counts = np.zeros(256, np.int64)
    samples = data_batch.get("data_samples") if isinstance(data_batch, dict) else None
    for sample in _first_views(samples):
        label = sample.gt_sem_seg.data if "gt_sem_seg" in sample else None
        if label is not None and label.is_cpu and label.dtype == torch.uint8:
            counts += count_ids(label.numpy().reshape(label.shape[-2:]))
    return counts


def _first_views(samples: Iterable | None) -> Iterator:
    """Each sample of a batch, or the first of its views where it is augmented for a test."""
    for sample in samples or ():
        if isinstance(sample, Sequence):
            sample = sample[0]
        if hasattr(sample, "gt_sem_seg") or hasattr(sample, "metainfo"):
            yield sample


def _classes_of(dataset: object) -> tuple[Sequence[str], int]:
    """The classes and the ignored id of a data set, also inside of wrappers."""
    names = getattr(dataset, "metainfo", {}).get("classes") or ()
    ignored = (getattr(one, "ignore_index", None) for one in (dataset, *leaves(dataset)))
    return names, next((number for number in ignored if number is not None), 255)


def _ignored_share(counts: np.ndarray, ignore_index: int) -> float:
    return float(counts[ignore_index] / max(counts.sum(), 1))


def _absent(counts: np.ndarray, names: Sequence[str], ignore_index: int) -> list[str]:
    return [
        name.strip()
        for number, name in enumerate(names)
        if not counts[number] and number != ignore_index
    ]


def _and_none_of(absent: list[str]) -> str:
    return f", and class {_shown(absent)} has none" if absent else ""


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_CLASSES} more" if len(names) > SHOWN_CLASSES else ""
    return ", ".join(names[:SHOWN_CLASSES]) + more
