"""Who may import whom: registry, structures <- parts <- engine <- apis <- tools."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mmseg_gc"
BASE = {"registry", "build_errors", "structures", "errors", "version", "detection", "tf32"}
BESIDE = {
    "config", "checkpoint", "download", "weight_names", "detector_names",
    "arguments", "finite",
}  # fmt: skip
MAY_IMPORT = {
    "errors": {"version"},
    "processes": set(),
    "detection": {"errors"},
    "detector_names": set(),
    "build_errors": {"errors"},
    "registry": {"errors", "build_errors"},
    "structures": set(),
    "inference": {"structures", "errors"},
    "tf32": set(),
    "config": BASE,
    "download": BASE,
    "weight_names": BASE | {"detector_names"},
    "finite": set(),
    "checkpoint": BASE | {"download", "finite", "weight_names"},
    "arguments": BASE | BESIDE,
    "models": BASE | {"checkpoint", "inference"},
    "datasets": BASE,
    "evaluation": BASE,
    "visualization": BASE,
    "accelerate": {"models", "inference", "registry", "errors", "structures", "detection"},
    "engine": BASE | BESIDE | {"accelerate", "models", "datasets", "evaluation", "visualization"},
    "apis": BASE | BESIDE | {"models", "datasets", "evaluation", "visualization", "engine"},
}
INSIDE_MODELS = {
    "layers": {"layers"},
    "losses": {"losses", "layers"},
    "backbones": {"backbones", "layers"},
    "decode_heads": {"decode_heads", "layers", "losses"},
    "segmentors": {"segmentors", "decode_heads", "data_preprocessor", "layers", "backbones"},
    "data_preprocessor": {"layers"},
}


def imported_modules(path: Path) -> set[str]:
    """Dotted names of this package's modules that the file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name.startswith("mmseg_gc.")}


def test_arrows_between_parts():
    for path in PACKAGE.rglob("*.py"):
        part = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if part == "__init__" or part not in MAY_IMPORT:
            assert part in ("__init__", "version"), f"{path}: name the part in MAY_IMPORT"
            continue
        for name in imported_modules(path):
            target = name.split(".")[1]
            assert target == part or target in MAY_IMPORT[part], f"{path} imports {name}"


def test_arrows_inside_models():
    for path in (PACKAGE / "models").rglob("*.py"):
        part = path.relative_to(PACKAGE / "models").with_suffix("").parts[0]
        if part == "__init__":
            continue
        for name in imported_modules(path):
            parts = name.split(".")
            if parts[1] == "models":
                assert parts[2] in INSIDE_MODELS[part], f"{path} imports {name}"


def test_private_operators_stand_in_one_file():
    private = re.compile(r"torch\.ops\b|torch\._C\b|torch\._dynamo|\bmkldnn\b")
    found = {
        path.relative_to(PACKAGE).as_posix()
        for folder in ("models", "inference", "accelerate")
        for path in (PACKAGE / folder).rglob("*.py")
        if private.search(path.read_text())
    }
    assert found == {"accelerate/cpu/operators.py"}


@pytest.mark.parametrize("folder", ["mmseg_gc", "tools"])
def test_no_file_passes_350_lines(folder):
    for path in (ROOT / folder).rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 350, path
