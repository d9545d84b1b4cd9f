"""Cityscapes' figures by the evaluator of its owners."""

import copy
import os.path as osp
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmseg_gc.errors import UserError
from mmseg_gc.evaluation.label_files import LabelFiles
from mmseg_gc.evaluation.submission import cityscapes_label_ids
from mmseg_gc.registry import METRICS

SCORES = ("averageScoreClasses", "averageScoreCategories")
INSTANCE_SCORES = ("averageScoreInstClasses", "averageScoreInstCategories")
TRAIN_IDS, LABEL_IDS, INSTANCE_IDS = "labelTrainIds.png", "labelIds.png", "instanceIds.png"


@METRICS.register_module()
class CityscapesMetric(BaseMetric):
    """Scores by cityscapesscripts, as ratios, from label maps that it reads in ``output_dir``.

    ``averageScoreClasses`` is the mean IoU; the instance-weighted scores come along where every
    label has its ``*_instanceIds.png``. What was written is removed afterwards unless
    ``keep_results``; with ``format_only`` it stays and nothing is scored. A predicted
    ``ignore_index`` is written as "unlabeled".

    Raises:
        UserError: A class that Cityscapes does not have, or a label without ``*_labelIds.png``.

    Source: ``mmseg.evaluation.CityscapesMetric``, which scores categories only, deletes the whole
    ``output_dir``, and needs NumPy before 2.4.
    """

    default_prefix = ""  # None would have mmengine warn that there is no prefix

    def __init__(
        self,
        output_dir: str,
        ignore_index: int = 255,
        format_only: bool = False,
        keep_results: bool = False,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.ignore_index = ignore_index
        self.format_only = format_only
        self.keep_results = keep_results or format_only
        self.files = LabelFiles(osp.abspath(output_dir))

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Write each sample's ``pred_sem_seg``: (1, H, W), integer, train ids."""
        ids = cityscapes_label_ids(self.dataset_meta["classes"])
        table = np.zeros(256, np.uint8)
        table[: len(ids)] = ids
        for sample in data_samples:
            truth = None if self.format_only else _label_ids_file(sample)
            pred = sample["pred_sem_seg"]["data"].squeeze(0).cpu().numpy()
            if ((pred >= len(ids)) & (pred != self.ignore_index)).any():
                raise UserError(
                    f"{sample['img_path']} has predicted ids up to {pred.max()}, outside the "
                    f"{len(ids)} classes: correct the model's num_classes."
                )
            self.results.append((self.files.write(table[pred], sample["img_path"]), truth))

    def evaluate(self, size: int) -> dict[str, float]:
        """Score all files on the main process; every process then removes its own."""
        scores = super().evaluate(size)
        if self.keep_results:
            self.files.forget()
        else:
            self.files.remove()
        return scores

    def compute_metrics(self, results: list[tuple[str, str]]) -> dict[str, float]:
        """The mean scores of pairs of predicted and true files; prints the tables by class."""
        if self.format_only:
            print_log(f"{len(results)} label maps are in {self.files.folder}", "current")
            return {}
        # Here, since the module reads environment variables and fails on some when imported.
        from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as evaluator

        predicted, true = zip(*results, strict=True)
        instances = all(osp.isfile(path.replace(LABEL_IDS, INSTANCE_IDS)) for path in true)
        if not instances:
            print_log(f"No *_{INSTANCE_IDS} beside the labels: no instance scores.", "current")
        args = copy.copy(evaluator.args)
        args.evalInstLevelScore = instances
        args.JSONOutput = False
        if not hasattr(evaluator.np, "in1d"):
            # Of NumPy before 2.4; the evaluator of 2.3.0 still calls it.
            evaluator.np = SimpleNamespace(**(vars(np) | {"in1d": np.isin}))
        try:
            scores = evaluator.evaluateImgLists(predicted, true, args)
        except SystemExit:  # its manner to fail, after a line that begins with ERROR
            raise UserError(
                f"cityscapesscripts could not score {self.files.folder}: the line that begins with "
                "ERROR names the file; get it again."
            ) from None
        return {name: scores[name] for name in SCORES + INSTANCE_SCORES * instances}


def _label_ids_file(sample: dict) -> str:
    label = sample.get("seg_map_path") or ""
    path = label.replace(TRAIN_IDS, LABEL_IDS)
    if not path.endswith(LABEL_IDS) or not osp.isfile(path):
        raise UserError(
            f"{sample['img_path']} has no *_gtFine_{LABEL_IDS} beside its label {label!r}: unpack "
            "all of gtFine_trainvaltest.zip, or set CityscapesMetric.format_only."
        )
    return path
