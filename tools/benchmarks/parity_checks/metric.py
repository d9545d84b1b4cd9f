"""``IoUMetric`` on random label maps."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from parity_checks.side import NUM_CLASSES, Results, Side

# One at a time: mIoU and mDice both report Acc.
RUNS = (
    dict(iou_metrics=["mIoU"]),
    dict(iou_metrics=["mDice"]),
    dict(iou_metrics=["mFscore"]),
    dict(iou_metrics=["mIoU"], nan_to_num=0),
    dict(iou_metrics=["mFscore"], beta=2),
)
IMAGES, SIZE = 4, (90, 120)


def metric(side: Side) -> Results:
    """Figures by class before rounding, their means as printed, and the files written."""
    side.say("metric")
    classes, means, files = {}, {}, {}
    for dataset, count in NUM_CLASSES.items():
        for options in RUNS:
            chosen = [v[0] if k == "iou_metrics" else f"{k}={v}" for k, v in options.items()]
            title = ", ".join(["IoUMetric", f"{count} classes", *chosen])
            out = side.folder / f"{side.name}_{dataset}"
            means[f"{title}: means as printed"], classes[f"{title}: by class"] = _evaluate(
                side, count, reduce_zero_label=dataset == "ade20k", out=out, options=options
            )
            files[f"IoUMetric, {count} classes: files of output_dir"] = {
                path.name: torch.from_numpy(np.array(Image.open(path)))
                for path in sorted(out.iterdir())
            }
    return {"figures": classes, "printed figures": means, "exact": files}


def _evaluate(
    side: Side, count: int, reduce_zero_label: bool, out: Path, options: dict
) -> tuple[dict, dict]:
    metric = side.registry.METRICS.build(dict(type="IoUMetric", output_dir=str(out), **options))
    metric.dataset_meta = dict(classes=[str(i) for i in range(count)])
    # The reference leaves classes that are never right out of its mean Fscore and Precision.
    never_right = "mFscore" not in options["iou_metrics"]
    for index, (label, pred) in enumerate(_maps(count, never_right)):
        if side.name == "ours":
            pred = pred.to(torch.uint8)  # what each side's segmentor hands over
        sample = dict(
            gt_sem_seg=dict(data=label[None]),
            pred_sem_seg=dict(data=pred[None]),
            img_path=f"{index}.jpg",
            reduce_zero_label=reduce_zero_label,
        )
        metric.process({}, [sample])
    by_class = _by_class_of_reference(metric) if side.name == "reference" else None
    printed = metric.evaluate(IMAGES)
    if by_class is None:
        by_class = {
            name: torch.tensor(v, dtype=torch.float64) for name, v in metric.class_values.items()
        }
    # The reference's are float32 rounded to two digits: round again what is not representable.
    means = {name: torch.tensor(round(float(value), 2)) for name, value in printed.items()}
    return means, by_class


def _by_class_of_reference(metric) -> dict[str, Tensor]:
    """What the reference rounds for its table, in percent."""
    sums = [sum(areas) for areas in zip(*metric.results, strict=True)]
    ratios = metric.total_area_to_metrics(
        *sums, metrics=metric.metrics, nan_to_num=metric.nan_to_num, beta=metric.beta
    )
    ratios.pop("aAcc")
    return {name: torch.from_numpy(values).double() * 100 for name, values in ratios.items()}


def _maps(count: int, never_right: bool) -> list[tuple[Tensor, Tensor]]:
    """Labels and predictions (h, w), int64: mostly right, 10 % ignored.

    The last class is nowhere (NaN). With ``never_right`` the one before is in predictions only, the
    third last in labels only.
    """
    draw = torch.Generator().manual_seed(count)
    maps = []
    for _ in range(IMAGES):
        label = torch.randint(count - 3, SIZE, generator=draw)
        noise = torch.rand(SIZE, generator=draw)
        wrong = torch.randint(count - 3, SIZE, generator=draw)
        pred = torch.where(noise < 0.3, wrong, label)
        if never_right:
            pred[noise > 0.98] = count - 2
            label[(noise > 0.9) & (noise < 0.93)] = count - 3
        label[(noise > 0.5) & (noise < 0.6)] = 255
        maps.append((label, pred))
    return maps
