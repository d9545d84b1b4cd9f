import ast
import importlib.metadata
import sys
import sysconfig
from pathlib import Path

import pytest
import torch

from mmseg_gc import environment
from mmseg_gc.environment import (
    check_environment,
    require_bf16,
    require_compiler,
    require_detection,
    require_ops,
)
from mmseg_gc.errors import UserError
from mmseg_gc.models import ResNet

ROOT = Path(__file__).parents[1]


def test_official_packages_beside_ours_are_refused(monkeypatch):
    class Distribution:
        def __init__(self, name):
            self.metadata = {"Name": name}

    names = ["onedl-mmengine", "onedl_mmcv", "mmcv", "torch"]
    monkeypatch.setattr(
        importlib.metadata, "distributions", lambda: [Distribution(name) for name in names]
    )
    with pytest.raises(UserError, match="pip uninstall -y mmcv onedl-mmcv"):
        check_environment()
    names.remove("mmcv")
    check_environment()


def test_missing_libgl_names_the_cure(monkeypatch, tmp_path):
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "cv2")
    with pytest.raises(UserError, match=r"libGL.so.1.*apt-get install libgl1"):
        check_environment()


def test_deformable_convolution_without_ops(monkeypatch):
    monkeypatch.setattr(environment, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"ResNet's `dcn` needs mmcv with compiled ops.*make det"):
        ResNet(50, dcn=dict(type="DCN"), stage_with_dcn=(False, True, True, True))


def test_ops_that_do_not_load(monkeypatch):
    monkeypatch.setattr(environment, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "mmcv.ops", None)
    for require in (require_ops, require_detection):
        with pytest.raises(UserError, match=r"the config needs mmcv's ops, .*fit this torch"):
            require("the config")


def test_nothing_else_imports_detection():
    """Segmentation runs without both: only `environment` may import them, when it is asked to."""
    for path in (
        *(ROOT / "mmseg_gc").rglob("*.py"),
        ROOT / "tools/train.py",
        ROOT / "tools/test.py",
    ):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for module in modules:
                allowed = path.name == "environment.py" and module == "mmcv.ops"
                assert allowed or not module.startswith(("mmdet", "mmcv.ops")), (path, module)


@pytest.fixture
def machine(monkeypatch):
    """Lets a machine have a compiler, Triton and Python's headers, or not."""

    def have(compiler=True, triton=True, headers=True):
        monkeypatch.delenv("CXX", raising=False)
        monkeypatch.setattr(environment.shutil, "which", lambda name: name if compiler else None)
        monkeypatch.setattr(environment, "find_spec", lambda name: object() if triton else None)
        if not headers:
            monkeypatch.setattr(sysconfig, "get_path", lambda name: "/nowhere")

    return have


@pytest.mark.parametrize(
    ("device", "lacking", "said"),
    [
        ("cpu", "compiler", r"needs a C\+\+ compiler \(g\+\+\), not found here: install g\+\+"),
        ("cuda", "compiler", r"needs a C\+\+ compiler"),
        ("cuda", "triton", "needs Triton, not found here: pip install triton, or leave it out"),
        ("cpu", "headers", "needs Python's headers, not found here: install python3-dev"),
    ],
)
def test_what_is_lacking_is_said_before(machine, device, lacking, said):
    machine(**{lacking: False})
    with pytest.raises(UserError, match=said):
        require_compiler("--compile", device)


def test_a_cpu_needs_no_triton(machine, monkeypatch, tmp_path):
    machine(triton=False)
    (tmp_path / "Python.h").touch()
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    require_compiler("--compile", "cpu")


def test_bfloat16_needs_ampere(monkeypatch):
    capability = [(7, 5)]
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Turing")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability[0])
    with pytest.raises(UserError) as error:
        require_bf16("precision='bf16'", "choose fp16 or fp32")
    said = "precision='bf16', which Turing can't compute in; choose fp16 or fp32."
    assert str(error.value) == said
    capability[0] = (8, 0)
    require_bf16("precision='bf16'", "choose fp16 or fp32")
