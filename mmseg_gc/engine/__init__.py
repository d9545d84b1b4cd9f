from mmseg_gc.engine.hooks import PrepareModelHook, ProgressBarHook, SegVisualizationHook
from mmseg_gc.engine.optim_wrapper import AmpOptimWrapper
from mmseg_gc.engine.runner import SegRunner

__all__ = [
    "AmpOptimWrapper",
    "PrepareModelHook",
    "ProgressBarHook",
    "SegRunner",
    "SegVisualizationHook",
]
