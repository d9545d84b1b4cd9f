"""What chooses the pixels that a head learns from."""

from mmseg_gc.models.samplers.ohem_pixel_sampler import BasePixelSampler, OHEMPixelSampler

__all__ = ["BasePixelSampler", "OHEMPixelSampler"]
