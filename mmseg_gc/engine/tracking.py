"""Experiment trackers by one config key: ``track = "tensorboard"``, or a list of names."""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.visualization import MLflowVisBackend as MMEngineMLflowVisBackend

from mmseg_gc.config import did_you_mean
from mmseg_gc.errors import UserError
from mmseg_gc.registry import VISBACKENDS


@VISBACKENDS.register_module()
class MLflowVisBackend(MMEngineMLflowVisBackend):
    """mmengine's, whose images MLflow refuses because their names have no suffix."""

    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs: Any) -> None:
        # `**kwargs` are the visualizer's, for other backends.
        self.experiment.log_image(image, f"{name}_{step}.png")


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

    W&B and MLflow call the run by its work dir's name. Their own variables say where they write:
    ``WANDB_MODE``, ``WANDB_PROJECT``, ``MLFLOW_TRACKING_URI``; without the last, MLflow keeps
    ``mlflow.db`` in the work dir.

    Raises:
        UserError: a name that isn't in `TRACKERS`, or a package that isn't installed.
    """
    visualizer = dict(visualizer or dict(type="SegLocalVisualizer"))
    backends = list(visualizer.get("vis_backends") or [dict(type="LocalVisBackend")])
    taken = {backend["type"] for backend in backends}
    for name in [names] if isinstance(names, str) else names:
        tracker = _installed(name)
        if tracker.backend["type"] not in taken:
            backends.append({**tracker.backend, **_named(name, Path(work_dir).resolve())})
    visualizer["vis_backends"] = backends
    return visualizer


def _installed(name: str) -> Tracker:
    if name not in TRACKERS:
        hint = did_you_mean(str(name), TRACKERS)
        raise UserError(f"config key track: there is no tracker {name!r}{hint}")
    tracker = TRACKERS[name]
    if find_spec(tracker.package) is None:
        raise UserError(
            f"config key track: {name!r} needs a package that isn't installed: "
            f"pip install {tracker.install}."
        )
    return tracker


def _named(tracker: str, work_dir: Path) -> dict[str, Any]:
    """How ``tracker`` calls the run, and where MLflow keeps it if nothing else is said."""
    name = work_dir.name
    if tracker == "wandb":
        return dict(init_kwargs=dict(name=name))
    if tracker == "mlflow":
        server = os.environ.get("MLFLOW_TRACKING_URI")
        return dict(
            exp_name=os.environ.get("MLFLOW_EXPERIMENT_NAME", name),
            run_name=name,
            # MLflow has given up the plain files that mmengine would choose.
            tracking_uri=server or f"sqlite:///{work_dir}/mlflow.db",
            artifact_location=None if server else f"file://{work_dir}/mlflow",
        )
    return {}
