import pytest
from torch import nn

from mmseg_gc.models.layers.compiled_ops import has_ops


@pytest.mark.parametrize(
    ("module", "found"), [("mmcv.ops.deform_conv", True), ("mmcv.cnn.bricks.wrappers", False)]
)
def test_it_is_the_module_of_a_layer_s_class_that_tells(module, found):
    layer = type("Layer", (nn.Conv2d,), {"__module__": module})
    assert has_ops(nn.Sequential(nn.ReLU(), nn.Sequential(layer(1, 1, 1)))) == found
    assert not has_ops(nn.Conv2d(1, 1, 1))
