"""Label maps of a test set in the form in which its benchmark takes them."""

from collections.abc import Mapping, Sequence

import numpy as np
from cityscapesscripts.helpers.labels import name2label
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmseg_gc.errors import UserError
from mmseg_gc.evaluation.label_files import NUMBERING, LabelFiles, label_file_ids
from mmseg_gc.registry import METRICS

DIFFERING = "differing"  # of a `ConcatDataset` whose parts have several


def cityscapes_label_ids(classes: Sequence[str]) -> np.ndarray:
    """Cityscapes' own id of each class: (C,), uint8.

    Raises:
        UserError: A class is not one of Cityscapes'.
    """
    unknown = [name for name in classes if name not in name2label]
    if unknown:
        raise UserError(
            f"metainfo.classes names {unknown}, which Cityscapes does not have: use its names, or "
            "IoUMetric in place of CityscapesMetric."
        )
    return np.array([name2label[name].id for name in classes], np.uint8)


def file_ids(meta: Mapping) -> np.ndarray:
    """The id that stands for each class in the files that a benchmark takes: (C,), uint8 or uint16.

    ``meta`` is the data set's ``metainfo``. Cityscapes counts all its labels. Elsewhere the files
    have the numbers of the label files, as in `label_file_ids`.
    """
    if meta.get("submission") == DIFFERING:
        raise UserError(
            "the parts of test_dataloader.dataset are for benchmarks that take different files: "
            "test one after the other."
        )
    if meta.get("submission") == "cityscapes":
        return cityscapes_label_ids(meta["classes"])
    return label_file_ids(meta)[: len(meta["classes"])]


@METRICS.register_module()
class SubmissionWriter(BaseMetric):
    """Write each prediction to ``output_dir/NAME.png`` for the benchmark's server; score nothing.

    ``metainfo["submission"]`` of the data set chooses the form: ``"cityscapes"`` has Cityscapes'
    label ids, ``"palette"`` a PNG with the classes' colours (VOC). Every other data set's files
    have the ids of its label files, for ADE20K from 1.

    Raises:
        UserError: Two images have the same name.
    """

    default_prefix = ""  # None would have mmengine warn that there is no prefix

    def __init__(
        self,
        output_dir: str,
        ignore_index: int = 255,  # taken as from every metric; a prediction never has it
        collect_device: str = "cpu",
        prefix: str | None = None,
        backend_args: dict | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.files = LabelFiles(output_dir, backend_args)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Write each sample's ``pred_sem_seg``: (1, H, W), integer."""
        for sample in data_samples:
            # Several data sets in one may differ.
            meta = {**self.dataset_meta, **{k: sample[k] for k in NUMBERING if k in sample}}
            ids = file_ids(meta)
            palette: np.ndarray | None = None
            if meta.get("submission") == "palette":
                palette = np.zeros((256, 3), int)
                palette[ids] = meta["palette"]
            pred = sample["pred_sem_seg"]["data"].squeeze(0).cpu().numpy()
            self.files.write(ids[pred], sample["img_path"], palette)

    def evaluate(self, size: int) -> dict[str, float]:
        self.files.forget()
        print_log(f"{size} label maps for submission are in {self.files.folder}", "current")
        return {}

    def compute_metrics(self, results: list) -> dict[str, float]:
        return {}
