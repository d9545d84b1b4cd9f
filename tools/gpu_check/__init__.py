"""Checks and measurements on a GPU: `python tools/gpu_check`, or `make gpu-check`."""
