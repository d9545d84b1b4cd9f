from mmseg_gc.engine.hooks import (
    CheckpointHook,
    CudnnBenchmarkHook,
    CurvesHook,
    EarlyStoppingHook,
    IterTimerHook,
    NonFiniteLossHook,
    PreemptionHook,
    PrepareModelHook,
    ProgressBarHook,
    ResultNamesHook,
    RuntimeInfoHook,
    SegVisualizationHook,
)
from mmseg_gc.engine.optim_wrapper import AmpOptimWrapper, OptimWrapper
from mmseg_gc.engine.optimizers import SGD
from mmseg_gc.engine.paramwise import DefaultOptimWrapperConstructor
from mmseg_gc.engine.runner import SegRunner
from mmseg_gc.engine.samplers import InfiniteSampler
from mmseg_gc.engine.schedulers import OneCycleLR
from mmseg_gc.engine.val_loop import ValLoop

__all__ = [
    "SGD",
    "AmpOptimWrapper",
    "CheckpointHook",
    "CudnnBenchmarkHook",
    "CurvesHook",
    "DefaultOptimWrapperConstructor",
    "EarlyStoppingHook",
    "InfiniteSampler",
    "IterTimerHook",
    "NonFiniteLossHook",
    "OptimWrapper",
    "OneCycleLR",
    "PreemptionHook",
    "PrepareModelHook",
    "ProgressBarHook",
    "RuntimeInfoHook",
    "ResultNamesHook",
    "SegRunner",
    "SegVisualizationHook",
    "ValLoop",
]
