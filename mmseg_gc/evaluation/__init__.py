"""Metrics that compare predicted labels with the truth, and the files of a submission."""

from mmseg_gc.evaluation.cityscapes_metric import CityscapesMetric
from mmseg_gc.evaluation.iou_metric import IoUMetric
from mmseg_gc.evaluation.submission import SubmissionWriter

__all__ = ["CityscapesMetric", "IoUMetric", "SubmissionWriter"]
