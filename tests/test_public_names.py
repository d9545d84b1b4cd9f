"""Names stand at mmsegmentation 1.x's dotted paths."""

import importlib

import pytest

from mmseg_gc import models
from mmseg_gc.registry import MODELS

NAMES = {
    "apis": "MMSegInferencer SegRunner inference_model init_model load_config show_result_pyplot",
    "datasets": "ADE20KDataset BaseSegDataset CityscapesDataset LoadAnnotations PackSegInputs "
    "PascalVOCDataset PhotoMetricDistortion RandomCrop",
    "datasets.transforms": "LoadAnnotations PackSegInputs PhotoMetricDistortion RandomCrop",
    "engine": "SegVisualizationHook",
    "engine.hooks": "SegVisualizationHook",
    "evaluation": "IoUMetric",
    "models": "BACKBONES HEADS LOSSES SEGMENTORS build_backbone build_head build_loss "
    "build_segmentor CrossEntropyLoss EncoderDecoder FCNHead GCHead ResNeXt ResNet ResNetV1c "
    "ResNetV1d SegDataPreProcessor SegTTAModel accuracy",
    "models.backbones.resnet": "BasicBlock Bottleneck ResNet ResNetV1c ResNetV1d",
    "models.backbones.resnext": "Bottleneck ResNeXt",
    "models.data_preprocessor": "SegDataPreProcessor",
    "models.layers": "ResLayer Upsample resize",
    "models.losses": "Accuracy BoundaryLoss CrossEntropyLoss DiceLoss FocalLoss "
    "HuasdorffDisstanceLoss LovaszLoss OhemCrossEntropy TverskyLoss accuracy binary_cross_entropy "
    "cross_entropy reduce_loss weight_reduce_loss weighted_loss",
    "models.losses.dice_loss": "DiceLoss",
    "models.losses.focal_loss": "FocalLoss",
    "models.losses.lovasz_loss": "LovaszLoss",
    "models.losses.tversky_loss": "TverskyLoss",
    "models.losses.utils": "get_class_weight weight_reduce_loss weighted_loss",
    "models.decode_heads.sep_aspp_head": "DepthwiseSeparableASPPHead",
    "models.segmentors": "BaseSegmentor CascadeEncoderDecoder EncoderDecoder SegTTAModel",
    "registry": "DATASETS HOOKS METRICS MODELS RUNNERS TRANSFORMS VISUALIZERS",
    "structures": "BasePixelSampler OHEMPixelSampler SegDataSample",
    "visualization": "SegLocalVisualizer",
}


@pytest.mark.parametrize("module", NAMES)
def test_names(module):
    found = importlib.import_module(f"mmseg_gc.{module}")
    for name in NAMES[module].split():
        assert hasattr(found, name), f"mmseg_gc.{module}.{name}"


@pytest.mark.parametrize("folder", ["backbones", "necks", "decode_heads"])
def test_what_a_file_registers_has_its_name_above(folder):
    """Of the folder's own files, so that a new part is a matter of its own file."""
    package = importlib.import_module(f"mmseg_gc.models.{folder}")
    prefix = f"{package.__name__}."
    kinds = [k for k in MODELS.module_dict.values() if k.__module__.startswith(prefix)]
    assert len(kinds) >= {"backbones": 4, "necks": 2, "decode_heads": 18}[folder]
    for kind in kinds:
        name = kind.__name__
        assert getattr(package, name) is getattr(models, name) is kind
        assert name in package.__all__ and name in models.__all__
    assert len(set(models.__all__)) == len(models.__all__)
