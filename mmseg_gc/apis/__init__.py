from mmseg_gc.apis.inference import inference_model, init_model, show_result_pyplot
from mmseg_gc.apis.inferencer import MMSegInferencer
from mmseg_gc.apis.predict import predict
from mmseg_gc.apis.prediction import Prediction

__all__ = [
    "MMSegInferencer",
    "Prediction",
    "inference_model",
    "init_model",
    "predict",
    "show_result_pyplot",
]
