"""``import mmseg`` in user code, with and without a real mmsegmentation."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import mmseg_gc
from mmseg_gc.aliases.finder import PLACES, MmsegFinder, installed_mmseg

PACKAGE = Path(mmseg_gc.__file__).parent


@pytest.fixture
def real_mmseg(tmp_path, monkeypatch):
    """A folder on Python's path with a package of that name."""
    (tmp_path / "mmseg").mkdir()
    (tmp_path / "mmseg" / "__init__.py").write_text("__version__ = 'real'\n")
    (tmp_path / "mmseg" / "apis.py").write_text("from mmseg import __version__\n")
    monkeypatch.setenv("PYTHONPATH", f"{PACKAGE.parent}:{tmp_path}")
    return tmp_path


def test_classes_and_registries_are_this_packages():
    for path, name in (
        ("models.decode_heads.decode_head", "BaseDecodeHead"),
        ("models.segmentors.encoder_decoder", "EncoderDecoder"),
        ("registry", "MODELS"),
        ("structures", "SegDataSample"),
        ("apis", "MMSegInferencer"),
    ):
        theirs, ours = (importlib.import_module(f"{top}.{path}") for top in ("mmseg", "mmseg_gc"))
        assert getattr(theirs, name) is getattr(ours, name)


@pytest.mark.parametrize(
    ("path", "name", "own"),
    [
        ("datasets.transforms.transforms", "RandomCrop", "datasets.RandomCrop"),
        ("datasets.basesegdataset", "BaseSegDataset", "datasets.BaseSegDataset"),
        ("datasets.ade", "ADE20KDataset", "datasets.ADE20KDataset"),
        ("datasets.basesegdataset", "BaseCDDataset", "datasets.BaseCDDataset"),
        ("datasets.loveda", "LoveDADataset", "datasets.LoveDADataset"),
        ("datasets.dsdl", "DSDLSegDataset", "datasets.DSDLSegDataset"),
        ("evaluation.metrics", "IoUMetric", "evaluation.IoUMetric"),
        ("evaluation.metrics.citys_metric", "CityscapesMetric", "evaluation.CityscapesMetric"),
        ("models.losses.cross_entropy_loss", "CrossEntropyLoss", "models.CrossEntropyLoss"),
        ("models.segmentors.seg_tta", "SegTTAModel", "models.SegTTAModel"),
        ("models.utils", "ResLayer", "models.layers.ResLayer"),
        ("engine.hooks.visualization_hook", "SegVisualizationHook", "engine.SegVisualizationHook"),
        ("datasets.pipelines", "PackSegInputs", "datasets.PackSegInputs"),
        ("ops", "resize", "models.layers.resize"),
    ],
)
def test_paths_that_are_others_here(path, name, own):
    module, _, attribute = own.rpartition(".")
    expected = getattr(importlib.import_module(f"mmseg_gc.{module}"), attribute)
    for top in ("mmseg", "mmseg_gc"):
        assert getattr(importlib.import_module(f"{top}.{path}"), name) is expected


def test_every_alias_leads_somewhere_and_hides_nothing():
    for path, own in PLACES.items():
        assert importlib.import_module(f"mmseg.{path}").__name__.endswith(own)
        file = PACKAGE.joinpath(*path.split("."))
        assert not file.with_suffix(".py").exists() and not (file / "__init__.py").exists(), path


def test_a_module_keeps_its_own_name():
    module = importlib.import_module("mmseg.models.decode_heads.gc_head")
    assert module.__name__ == module.__spec__.name == "mmseg_gc.models.decode_heads.gc_head"
    assert importlib.import_module("mmseg").__version__ == "1.2.2"


def test_what_does_not_exist_here_is_not_found():
    for path in ("models.decode_heads.setr_up_head", "models.necks.mla_neck", "datasets.nowhere"):
        with pytest.raises(ModuleNotFoundError, match=f"No module named 'mmseg.{path[:10]}"):
            importlib.import_module(f"mmseg.{path}")


def test_a_real_mmseg_is_not_shadowed_and_one_line_says_so(real_mmseg):
    code = (
        "import mmseg_gc, mmseg, mmseg.apis; import mmseg; print(mmseg.apis.__version__, flush=1)"
    )
    code += "; import mmseg.models"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.stdout.splitlines()[-1] == "real", done.stderr
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "`import mmseg`" in line]
    assert len(lines) == 1 and str(real_mmseg / "mmseg") in lines[0]
    # Nor are its missing parts filled from here.
    assert "ModuleNotFoundError" in done.stderr


def test_a_mere_folder_of_that_name_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "mmseg").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert installed_mmseg() is None
    (tmp_path / "mmseg" / "__init__.py").write_text("")
    importlib.invalidate_caches()
    assert installed_mmseg() == str(tmp_path / "mmseg" / "__init__.py")


def test_it_stands_in_front_once():
    importlib.reload(mmseg_gc)
    assert sum(type(finder).__name__ == MmsegFinder.__name__ for finder in sys.meta_path) == 1
    assert MmsegFinder().find_spec("numpy") is None


def test_the_page_for_movers_lists_every_path():
    text = (PACKAGE.parent / "docs" / "migrating.md").read_text()
    rows = {line.split("`")[1] for line in text.splitlines() if line.startswith("| `mmseg.")}
    assert rows == {f"mmseg.{path}" for path in PLACES}
