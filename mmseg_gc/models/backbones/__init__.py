"""Encoders."""

from mmseg_gc.models.backbones.resnet import ResNet, ResNetV1c, ResNetV1d
from mmseg_gc.models.backbones.resnext import ResNeXt

__all__ = ["ResNeXt", "ResNet", "ResNetV1c", "ResNetV1d"]
