from mmseg_gc.apis.drawing import show_result_pyplot
from mmseg_gc.apis.inference import inference_model, init_model
from mmseg_gc.apis.inferencer import MMSegInferencer
from mmseg_gc.apis.predict import predict
from mmseg_gc.apis.prediction import Prediction
from mmseg_gc.config import load_config
from mmseg_gc.engine import SegRunner

__all__ = [
    "MMSegInferencer",
    "Prediction",
    "SegRunner",
    "inference_model",
    "init_model",
    "load_config",
    "predict",
    "show_result_pyplot",
]
