"""Whole models."""

from mmseg_gc.models.segmentors.base import BaseSegmentor
from mmseg_gc.models.segmentors.cascade_encoder_decoder import CascadeEncoderDecoder
from mmseg_gc.models.segmentors.encoder_decoder import EncoderDecoder
from mmseg_gc.models.segmentors.tta import SegTTAModel

__all__ = ["BaseSegmentor", "CascadeEncoderDecoder", "EncoderDecoder", "SegTTAModel"]
