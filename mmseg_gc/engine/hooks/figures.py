"""The figures of a validation, by which a hook keeps the best weights or stops."""

from mmengine.runner import Runner

from mmseg_gc.errors import UserError
from mmseg_gc.evaluation import IoUMetric
from mmseg_gc.evaluation.confusion import FIGURES

# Of a figure whose name holds one of these, more is better; beside those that mmengine knows.
GREATER_KEYS = ("IoU", "Dice", "Acc", "Fscore", "Precision", "Recall", "Score", "AP")


def unknown_rule(config_key: str, figure: str) -> UserError:
    """What to say of a ``figure`` of which nobody knows whether more is better."""
    return UserError(
        f"config key {config_key} is {figure!r}, which may be better when greater or when less: "
        "set `rule` beside it to 'greater' or 'less'."
    )


def require_figure(runner: Runner, figure: str, config_key: str) -> None:
    """Refuse a ``figure`` that the validation to come won't compute.

    Nothing is refused where a metric of another kind than `IoUMetric` is among the evaluators.
    """
    metrics = getattr(getattr(runner.val_loop, "evaluator", None), "metrics", ())
    if not metrics or any(type(metric) is not IoUMetric for metric in metrics):
        return
    known: dict[str, None] = {}
    for metric in metrics:
        means = [f"m{name}" for kind in metric.metrics for name in FIGURES[kind]]
        prefix = f"{metric.prefix}/" if metric.prefix else ""
        known |= dict.fromkeys(f"{prefix}{name}" for name in ("aAcc", *means))
    if figure not in (*known, "auto"):
        raise UserError(
            f"config key {config_key} is {figure!r}, but the validation computes "
            f"{', '.join(known)}: choose one of these, or name {' or '.join(FIGURES)} in "
            "val_evaluator.iou_metrics."
        )
