"""What the options of ``tools/test.py`` mean for a detector."""

import argparse
import os
from pathlib import Path

from mmengine.config import Config

from mmseg_gc.config import is_detection
from mmseg_gc.engine.work_dir import check_work_dir
from mmseg_gc.errors import UserError

METRICS = ("bbox", "segm", "proposal", "proposal_fast")


def apply_test_options(cfg: Config, args: argparse.Namespace) -> None:
    """Let ``cfg`` do what ``--out``, ``--show`` and ``--show-dir`` ask of a detector.

    ``--out FILE.pkl`` gets boxes and run-length masks, beside the scores, by `put_in_place`.

    Raises:
        UserError: an option has no meaning for detectors, or ``--out`` is no writable pickle.
    """
    if args.format_only:
        raise UserError(
            "--format-only is for segmentors; for COCO's server pass --cfg-options "
            "test_evaluator.format_only=True test_evaluator.outfile_prefix=DIR/NAME."
        )
    if args.show or args.show_dir:
        # mmdetection puts a relative folder below the work dir.
        folder = str(Path(args.show_dir).resolve()) if args.show_dir else None
        hook = cfg.default_hooks.get("visualization", dict(type="DetVisualizationHook"))
        drawing = dict(draw=True, show=args.show, wait_time=args.wait_time, test_out_dir=folder)
        cfg.default_hooks.visualization = {**hook, **drawing}
    if args.out:
        path = Path(args.out)
        if path.suffix not in (".pkl", ".pickle"):
            raise UserError(f"--out {path}: a detector's results are one file; name it FILE.pkl.")
        if path.is_dir() or not path.parent.is_dir():
            what = "is a folder" if path.is_dir() else f"there is no folder {path.parent}"
            raise UserError(f"--out {path}: {what}; name a file in a folder that is there.")
        check_work_dir(path.parent, "--out")
        dump = dict(type="DumpDetResults", out_file_path=str(_unfinished(path)))
        cfg.test_evaluator = [*_evaluators(cfg, "test_evaluator"), dump]


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.stem}.unfinished{path.suffix}")


def put_in_place(out: str) -> None:
    """Give what was dumped, now that it is whole, the name ``out``."""
    os.replace(_unfinished(Path(out)), out)


def choose_metrics(cfg: Config, metrics: list[str] | None) -> None:
    """Score by ``metrics``, as ``--eval`` names them, whatever ``cfg`` says; None changes nothing.

    Raises:
        UserError: ``cfg`` is of a segmentor, which has mIoU alone, or a metric is unknown.
    """
    if not metrics or (metrics == ["mIoU"] and not is_detection(cfg)):
        return
    if not is_detection(cfg):
        raise UserError(f"--eval {' '.join(metrics)}: {cfg.filename} is scored by mIoU alone.")
    if unknown := sorted(set(metrics) - {*METRICS}):
        raise UserError(
            f"--eval {' '.join(unknown)}: a detector is scored by {', '.join(METRICS)}."
        )
    for evaluator in _evaluators(cfg, "test_evaluator"):
        if evaluator.type == "CocoMetric":
            evaluator.metric = list(metrics)


def _evaluators(cfg: Config, name: str) -> list:
    evaluators = cfg.get(name) or []
    return list(evaluators) if isinstance(evaluators, list | tuple) else [evaluators]
