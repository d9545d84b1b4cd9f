from mmseg_gc.engine.hooks.prepare_model import PrepareModelHook
from mmseg_gc.engine.hooks.progress_bar import ProgressBarHook
from mmseg_gc.engine.hooks.visualization import SegVisualizationHook

__all__ = ["PrepareModelHook", "ProgressBarHook", "SegVisualizationHook"]
