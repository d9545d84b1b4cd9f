"""Metrics that compare predicted labels with the truth."""

from mmseg_gc.evaluation.iou_metric import IoUMetric

__all__ = ["IoUMetric"]
