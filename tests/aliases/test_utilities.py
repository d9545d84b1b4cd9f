import pytest
from mmengine.registry import DefaultScope

from mmseg_gc.aliases import utilities
from mmseg_gc.datasets import CityscapesDataset


def test_register_all_modules():
    with DefaultScope.overwrite_default_scope("mmengine"):
        utilities.register_all_modules(init_default_scope=False)
        assert DefaultScope.get_current_instance().scope_name == "mmengine"


def test_names_and_colours_of_data_sets():
    facts = CityscapesDataset.METAINFO
    assert utilities.get_classes("cityscapes") == list(facts["classes"])
    assert utilities.get_classes("CityscapesDataset") == list(facts["classes"])
    assert utilities.get_palette("cityscapes")[0] == list(facts["palette"][0])
    with pytest.raises((ValueError, RuntimeError), match="nowhere"):
        utilities.get_classes("nowhere")


def test_add_prefix():
    assert utilities.add_prefix({"loss": 1}, "aux") == {"aux.loss": 1}


def test_all_of_it_exists():
    for name in utilities.__all__:
        assert hasattr(utilities, name)
    assert utilities.get_root_logger().name
