from mmseg_gc.engine.hooks import PrepareModelHook, ProgressBarHook, SegVisualizationHook
from mmseg_gc.engine.optim_wrapper import AmpOptimWrapper
from mmseg_gc.engine.optimizers import SGD
from mmseg_gc.engine.runner import SegRunner

__all__ = [
    "SGD",
    "AmpOptimWrapper",
    "PrepareModelHook",
    "ProgressBarHook",
    "SegRunner",
    "SegVisualizationHook",
]
