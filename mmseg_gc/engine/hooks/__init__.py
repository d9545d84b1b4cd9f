from mmseg_gc.engine.hooks.checkpoint import CheckpointHook
from mmseg_gc.engine.hooks.cudnn_benchmark import CudnnBenchmarkHook
from mmseg_gc.engine.hooks.curves import CurvesHook
from mmseg_gc.engine.hooks.early_stopping import EarlyStoppingHook
from mmseg_gc.engine.hooks.iter_timer import IterTimerHook
from mmseg_gc.engine.hooks.label_check import LabelCheckHook
from mmseg_gc.engine.hooks.nonfinite_loss import NonFiniteLossHook
from mmseg_gc.engine.hooks.preemption import PreemptionHook
from mmseg_gc.engine.hooks.prepare_model import PrepareModelHook
from mmseg_gc.engine.hooks.progress_bar import ProgressBarHook
from mmseg_gc.engine.hooks.result_names import ResultNamesHook
from mmseg_gc.engine.hooks.runtime_info import RuntimeInfoHook
from mmseg_gc.engine.hooks.screen import ScreenHook
from mmseg_gc.engine.hooks.visualization import SegVisualizationHook

__all__ = [
    "CheckpointHook",
    "CudnnBenchmarkHook",
    "CurvesHook",
    "EarlyStoppingHook",
    "IterTimerHook",
    "LabelCheckHook",
    "NonFiniteLossHook",
    "PreemptionHook",
    "PrepareModelHook",
    "ProgressBarHook",
    "RuntimeInfoHook",
    "ResultNamesHook",
    "ScreenHook",
    "SegVisualizationHook",
]
