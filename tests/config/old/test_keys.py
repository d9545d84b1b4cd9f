import pytest

from mmseg_gc.config.old.keys import is_scale, node_of, refuse_rest
from mmseg_gc.errors import UserError


def test_one_size_or_several():
    assert is_scale((8, 4)) and is_scale([8, 4])
    assert not is_scale([(8, 4), (16, 8)]) and not is_scale([(8, 4)]) and not is_scale(8)


def test_what_is_left_over_is_named_with_the_cure():
    refuse_rest({}, "a", "b")
    with pytest.raises(UserError, match=r"config key a\.x=1 of mmsegmentation 0\.x .*here: do b\."):
        refuse_rest(dict(x=1), "a", "do b")


def test_nodes_are_copies():
    old = dict(data=dict(x=1))
    node_of(old, "data").pop("x")
    assert old == dict(data=dict(x=1)) and node_of(old, "none") == {}
