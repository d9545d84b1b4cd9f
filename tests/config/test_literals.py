import pytest

from mmseg_gc.config.literals import parse_options
from mmseg_gc.errors import UserError


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["a.b=1"], 1),
        (["a.b=1,2"], [1, 2]),
        (["a.b=(1,2)"], (1, 2)),
        (["a.b=[x,y]"], ["x", "y"]),
        (["a.b=None"], None),
        (["a.b=dict(mode='slide',crop_size=(4,4))"], dict(mode="slide", crop_size=(4, 4))),
        (["a.b={'classes': ['a', 'b']}"], dict(classes=["a", "b"])),
        (["a.b=[dict(type=PolyLR,eta_min=-1e-4),{}]"], [dict(type="PolyLR", eta_min=-1e-4), {}]),
        (["a.b=dict(x=true,y=None,z=[])"], dict(x=True, y=None, z=[])),
        # A shell without quotes splits at spaces.
        (["a.b=[dict(x=1,", "y=2),", "dict(z=3)]"], [dict(x=1, y=2), dict(z=3)]),
    ],
)
def test_values(words, value):
    assert parse_options(words) == {"a.b": value}


@pytest.mark.parametrize(
    "text", ["dict(x=1", "{'a': f()}", "{**x}", "dict(**x)", "[(1,2]", "dict(1)", "[(1,2"]
)
def test_what_is_no_value(text):
    with pytest.raises(UserError, match=r"--cfg-options a=.* is no value"):
        parse_options([f"a={text}"])


def test_words_without_a_key():
    with pytest.raises(UserError, match="--cfg-options a: write KEY=VALUE"):
        parse_options(["a", "=", "1"])


def test_several():
    assert parse_options(["a=1", "b=dict(c=2)"]) == {"a": 1, "b": dict(c=2)}
