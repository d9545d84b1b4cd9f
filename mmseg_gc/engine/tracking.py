"""Experiment trackers by one config key: ``track = "tensorboard"``, or a list of names."""

import difflib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from mmseg_gc.errors import UserError


class Tracker(NamedTuple):
    """The package that a tracker needs, what to install for it, and mmengine's backend."""

    package: str
    install: str
    backend: dict


TRACKERS = {
    "tensorboard": Tracker("tensorboard", "tensorboard", dict(type="TensorboardVisBackend")),
    "wandb": Tracker("wandb", "wandb", dict(type="WandbVisBackend")),
    "mlflow": Tracker("mlflow", "mlflow", dict(type="MLflowVisBackend")),
}


def add_trackers(visualizer: dict | None, names: str | Sequence[str], work_dir: str) -> dict:
    """``visualizer`` with the backends of ``names`` beside those that it has.

    W&B and MLflow call the run by its work dir's name. Where they write is theirs to decide:
    ``WANDB_MODE``, ``WANDB_PROJECT`` and ``MLFLOW_TRACKING_URI`` in the environment count.

    Raises:
        UserError: a name that isn't in `TRACKERS`, or a package that isn't installed.
    """
    visualizer = dict(visualizer or dict(type="SegLocalVisualizer"))
    backends = list(visualizer.get("vis_backends") or [dict(type="LocalVisBackend")])
    taken = {backend["type"] for backend in backends}
    for name in [names] if isinstance(names, str) else names:
        tracker = _installed(name)
        if tracker.backend["type"] not in taken:
            backends.append({**tracker.backend, **_run_name(name, Path(work_dir).name)})
    visualizer["vis_backends"] = backends
    return visualizer


def _installed(name: str) -> Tracker:
    if name not in TRACKERS:
        near = difflib.get_close_matches(str(name), TRACKERS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(TRACKERS)}."
        raise UserError(f"config key track: there is no tracker {name!r}; {hint}")
    tracker = TRACKERS[name]
    if find_spec(tracker.package) is None:
        raise UserError(
            f"config key track: {name!r} needs a package that isn't installed: "
            f"pip install {tracker.install}."
        )
    return tracker


def _run_name(tracker: str, name: str) -> dict[str, Any]:
    if tracker == "wandb":
        return dict(init_kwargs=dict(name=name))
    if tracker == "mlflow":
        return dict(run_name=name)
    return {}
