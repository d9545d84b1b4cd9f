"""The registries of this package: children of mmengine's, scope ``mmseg_gc``.

A name that is not found here is looked up in mmengine's root registries, so ``SGD``, ``PolyLR`` or
mmcv's ``Resize`` need no prefix. ``locations`` are imported on the first look-up, which keeps
``import mmseg_gc`` free of torch modules that the caller may never use.
"""

# ruff: noqa: E402 - the check has to come before the imports that it protects
from mmseg_gc.errors import check_environment

check_environment()

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import EVALUATOR as MMENGINE_EVALUATOR
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import INFERENCERS as MMENGINE_INFERENCERS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import RUNNERS as MMENGINE_RUNNERS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISBACKENDS as MMENGINE_VISBACKENDS
from mmengine.registry import VISUALIZERS as MMENGINE_VISUALIZERS
from mmengine.registry import Registry

SCOPE = "mmseg_gc"


def _child(name: str, parent: Registry, location: str) -> Registry:
    return Registry(name, parent=parent, scope=SCOPE, locations=[f"{SCOPE}.{location}"])


MODELS = _child("model", MMENGINE_MODELS, "models")
DATASETS = _child("dataset", MMENGINE_DATASETS, "datasets")
TRANSFORMS = _child("transform", MMENGINE_TRANSFORMS, "datasets.transforms")
DATA_SAMPLERS = _child("data sampler", MMENGINE_DATA_SAMPLERS, "datasets")
METRICS = _child("metric", MMENGINE_METRICS, "evaluation")
EVALUATOR = _child("evaluator", MMENGINE_EVALUATOR, "evaluation")
HOOKS = _child("hook", MMENGINE_HOOKS, "engine")
LOOPS = _child("loop", MMENGINE_LOOPS, "engine")
RUNNERS = _child("runner", MMENGINE_RUNNERS, "engine")
OPTIM_WRAPPERS = _child("optim wrapper", MMENGINE_OPTIM_WRAPPERS, "engine")
VISUALIZERS = _child("visualizer", MMENGINE_VISUALIZERS, "visualization")
VISBACKENDS = _child("vis backend", MMENGINE_VISBACKENDS, "visualization")
INFERENCERS = _child("inferencer", MMENGINE_INFERENCERS, "apis")
