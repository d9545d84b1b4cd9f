import mmengine.registry
import pytest
from torch import nn

from mmseg_gc import registry
from mmseg_gc.errors import UserError

OURS = {name: value for name, value in vars(registry).items() if name.isupper() and name != "SCOPE"}


def test_names_of_other_packages_need_no_prefix():
    assert registry.PARAM_SCHEDULERS.get("PolyLR").__name__ == "PolyLR"
    assert registry.TRANSFORMS.get("CenterCrop").__module__.startswith("mmcv.")
    assert registry.MODELS.get("GCHead").__module__.startswith("mmseg_gc.")
    assert registry.METRICS.get("DumpResults").__module__.startswith("mmengine.")


@pytest.mark.parametrize("name", OURS)
def test_each_is_a_child_of_mmengine_s(name):
    child = OURS[name]
    assert child.parent is getattr(mmengine.registry, name)
    assert child.scope == "mmseg_gc" and child.name == child.parent.name


def test_what_can_not_be_built_is_told_by_its_key():
    with pytest.raises(UserError, match=r"model\.backbone.*depht"):
        registry.MODELS.build(
            dict(type="EncoderDecoder", backbone=dict(type="ResNet", depht=50), decode_head={})
        )


def test_a_user_s_own_part_is_found():
    @registry.MODELS.register_module(name="OwnPartOfATest")
    class Own(nn.Module):
        pass

    try:
        assert isinstance(registry.MODELS.build(dict(type="OwnPartOfATest")), Own)
    finally:
        registry.MODELS.module_dict.pop("OwnPartOfATest")
