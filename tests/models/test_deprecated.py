import pytest

from mmseg_gc import accelerate, models


def test_prepare_for_inference_is_found_where_it_was():
    with pytest.warns(DeprecationWarning, match="mmseg_gc.accelerate"):
        assert models.prepare_for_inference is accelerate.prepare_for_inference
    with pytest.raises(AttributeError, match="nothing"):
        _ = models.nothing
