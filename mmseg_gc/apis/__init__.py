from mmseg_gc.apis.inference import inference_model, init_model, show_result_pyplot
from mmseg_gc.apis.inferencer import MMSegInferencer

__all__ = ["MMSegInferencer", "inference_model", "init_model", "show_result_pyplot"]
