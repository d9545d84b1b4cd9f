from mmseg_gc.engine.hooks import ProgressBarHook, SegVisualizationHook
from mmseg_gc.engine.optim_wrapper import AmpOptimWrapper
from mmseg_gc.engine.runner import SegRunner

__all__ = ["AmpOptimWrapper", "ProgressBarHook", "SegRunner", "SegVisualizationHook"]
