from mmseg_gc.engine.hooks import (
    CheckpointHook,
    EarlyStoppingHook,
    IterTimerHook,
    NonFiniteLossHook,
    PreemptionHook,
    PrepareModelHook,
    ProgressBarHook,
    SegVisualizationHook,
)
from mmseg_gc.engine.optim_wrapper import AmpOptimWrapper
from mmseg_gc.engine.runner import SegRunner
from mmseg_gc.engine.samplers import InfiniteSampler

__all__ = [
    "AmpOptimWrapper",
    "CheckpointHook",
    "EarlyStoppingHook",
    "InfiniteSampler",
    "IterTimerHook",
    "NonFiniteLossHook",
    "PreemptionHook",
    "PrepareModelHook",
    "ProgressBarHook",
    "SegRunner",
    "SegVisualizationHook",
]
