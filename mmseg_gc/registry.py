"""The registries of this package: children of mmengine's, scope ``mmseg_gc``.

A name that is not found here is looked up in mmengine's root registries, so ``SGD``, ``PolyLR`` or
mmcv's ``Resize`` need no prefix. ``locations`` are imported on the first look-up, which keeps
``import mmseg_gc`` free of torch modules that the caller may never use.
"""

# ruff: noqa: E402 - the check has to come before the imports that it protects
from mmseg_gc.environment import check_environment

check_environment()

import importlib
import pkgutil
from collections.abc import Iterable
from typing import Any

from mmengine import registry as root
from mmengine.registry import Registry

from mmseg_gc.build_errors import explain_builds

SCOPE = "mmseg_gc"


class SegRegistry(Registry):
    """A registry that names the key of the config when what it describes can't be built."""

    def build(self, cfg: dict, *args: Any, **kwargs: Any) -> Any:
        # Both are the build function's own.
        with explain_builds(cfg, root=self.name if self.name == "model" else ""):
            return super().build(cfg, *args, **kwargs)


def _child(parent: Registry, *parts: str) -> Registry:
    return SegRegistry(
        parent.name, parent=parent, scope=SCOPE, locations=[f"{SCOPE}.{part}" for part in parts]
    )


def registered_in(package: str, path: Iterable[str]) -> dict[str, type]:
    """What the files of a ``package`` at ``path`` put into `MODELS`, by name; it imports them."""
    for file in pkgutil.iter_modules(path, f"{package}."):
        importlib.import_module(file.name)
    entries = MODELS.module_dict.items()
    return {name: kind for name, kind in entries if kind.__module__.startswith(f"{package}.")}


MODELS = _child(root.MODELS, "models")
DATASETS = _child(root.DATASETS, "datasets")
TRANSFORMS = _child(root.TRANSFORMS, "datasets.transforms")
METRICS = _child(root.METRICS, "evaluation")
HOOKS = _child(root.HOOKS, "engine")
RUNNERS = _child(root.RUNNERS, "engine")
OPTIMIZERS = _child(root.OPTIMIZERS, "engine")
OPTIM_WRAPPERS = _child(root.OPTIM_WRAPPERS, "engine")
LOOPS = _child(root.LOOPS, "engine")
OPTIM_WRAPPER_CONSTRUCTORS = _child(root.OPTIM_WRAPPER_CONSTRUCTORS, "engine")
PARAM_SCHEDULERS = _child(root.PARAM_SCHEDULERS, "engine")
DATA_SAMPLERS = _child(root.DATA_SAMPLERS, "engine")
VISUALIZERS = _child(root.VISUALIZERS, "visualization")
INFERENCERS = _child(root.INFERENCERS, "apis")
TASK_UTILS = _child(root.TASK_UTILS, "models")

# Nothing of this package's own is in these; a user's code may register here, as in mmsegmentation,
# and mmengine warns on every build under a scope that lacks one.
EVALUATOR = _child(root.EVALUATOR)
FUNCTIONS = _child(root.FUNCTIONS)
LOG_PROCESSORS = _child(root.LOG_PROCESSORS)
MODEL_WRAPPERS = _child(root.MODEL_WRAPPERS)
RUNNER_CONSTRUCTORS = _child(root.RUNNER_CONSTRUCTORS)
VISBACKENDS = _child(root.VISBACKENDS)
WEIGHT_INITIALIZERS = _child(root.WEIGHT_INITIALIZERS)
