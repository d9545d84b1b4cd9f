"""What is said of a user's module that can't be imported."""

import pytest

from mmseg_gc.config import load_config
from mmseg_gc.config.imports import import_own_modules
from mmseg_gc.errors import UserError
from mmseg_gc.models import EncoderDecoder


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of the user's own, of the text that is given; its name."""
    monkeypatch.syspath_prepend(tmp_path)
    count = iter(range(99))

    def make(text: str) -> str:
        name = f"own_{tmp_path.name}_{next(count)}".replace("-", "_")
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return make


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "import os\nfrom mmseg.models.losses import DiceLos\n",
            r"own_\w+\.py, line 2, imports DiceLos of mmseg_gc\.models\.losses, which doesn't "
            r"exist here; (mmseg_gc\.models\.losses has Accuracy|did you mean)",
        ),
        (
            "from mmseg.models.decode_heads.cc_head import CCHead\n",
            r"\.py, line 1, imports mmseg\.models\.decode_heads\.cc_head, which doesn't exist "
            r"here; mmseg\.models\.decode_heads has .*GCHead",
        ),
        ("from mmcv.runner import BaseModule\n", r"was mmcv 1's: take it from mmengine\.model"),
        ("import no_such_package\n", "imports no_such_package, which isn't there; install"),
        ("x = 1\ny = z\n", r"own_\w+\.py, line 2, fails: NameError: name 'z' is not defined\."),
        ("x = (\n", r"own_\w+\.py, line 1, fails: SyntaxError"),
    ],
)  # fmt: skip
def test_the_file_the_line_and_what_there_is(module, text, message):
    with pytest.raises(UserError, match=message):
        import_own_modules([module(text)])


def test_a_module_that_is_not_on_the_path():
    with pytest.raises(UserError, match="no module 'nowhere' is in the folders .* PYTHONPATH"):
        import_own_modules(["nowhere.parts"])


def test_a_module_of_the_current_folder_is_told_with_what_to_type(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "only_here").mkdir()
    with pytest.raises(UserError, match=r"current folder has it: start with PYTHONPATH=\.$"):
        import_own_modules("only_here.parts")


def test_a_name_that_is_none():
    with pytest.raises(UserError, match="3 is no name of a module"):
        import_own_modules([3])


def test_imports_that_may_fail_are_told(module, monkeypatch):
    said = []
    monkeypatch.setattr("mmseg_gc.config.imports.print_log", lambda text, **_: said.append(text))
    import_own_modules(module("import no_such_package\n"), allow_failed_imports=True)
    assert len(said) == 1 and said[0].endswith("It is left out.")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "from mmseg.models.decode_heads import Zz\nmodel = dict(type=Zz)\n",
            r"pure\.py, line 1, imports Zz of mmseg_gc\.models\.decode_heads, which doesn't "
            "exist here; .* has .*GCHead",
        ),
        (
            "from mmseg.models.necks.mla_neck import MLANeck\nmodel = dict(type=MLANeck)\n",
            r"imports MLANeck of mmseg_gc\.models\.necks\.mla_neck, which doesn't exist",
        ),
    ],
)
def test_a_pure_python_config(tmp_path, text, message):
    (tmp_path / "pure.py").write_text(text)
    with pytest.raises(UserError, match=message):
        load_config(tmp_path / "pure.py")


def test_a_pure_python_config_with_whole_modules(tmp_path):
    """``import mmseg.models`` and ``mmseg.models.EncoderDecoder``."""
    text = "import mmseg.models\nmodel = dict(type=mmseg.models.EncoderDecoder)\n"
    (tmp_path / "pure.py").write_text(text)
    cfg = load_config(tmp_path / "pure.py", check=False)
    assert cfg.model.type is EncoderDecoder
