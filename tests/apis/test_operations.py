"""The count of a network's arithmetic."""

from pathlib import Path

from mmseg_gc.apis import init_model
from mmseg_gc.apis.operations import num_operations

CONFIGS = Path(__file__).parents[2] / "configs"


def test_operations_of_the_published_model():
    """790 GFLOP for R50-D8 on 512x1024, without the auxiliary head."""
    model = init_model(CONFIGS / "gcnet/gcnet_r50-d8_4xb2-40k_cityscapes-512x1024.py")
    assert round(num_operations(model, (512, 1024)) / 1e9) == 790
