"""Who may import whom, and whose private names: the arrows of the house."""

import ast
import re
from functools import cache
from pathlib import Path

import mmengine
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mmseg_gc"
# Lowest first: a part imports those of the levels below its own, and none beside it.
LEVELS = (
    {"version", "errors", "structures", "colors"},
    {
        "environment", "build_checks", "build_errors", "processes", "atomic", "checkpoint",
        "inference", "finite", "detector_names",
    },
    {"registry"},
    {"models", "datasets", "evaluation", "visualization", "config"},
    {"accelerate", "deploy"},
    {"engine"},
    {"apis", "report"},
    {"serve"},
    {"arguments", "aliases"},
    {"cli"},
    {"__main__"},
)  # fmt: skip
BESIDE = {
    "checkpoint": {"finite", "detector_names", "atomic"},
    "cli": {"arguments"},
}
INSIDE_MODELS = {
    "layers": {"layers"},
    "losses": {"losses", "layers"},
    "necks": {"necks", "layers"},
    "backbones": {"backbones", "layers"},
    "samplers": {"samplers", "losses"},
    "decode_heads": {"decode_heads", "layers", "losses"},
    "segmentors": {"segmentors", "decode_heads", "data_preprocessor", "layers", "backbones"},
    "data_preprocessor": {"layers"},
}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imported_modules(path: Path) -> set[str]:
    """Dotted names of this package's modules that the file imports, wherever in it."""
    names = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name.startswith("mmseg_gc.")}


def test_arrows_between_parts():
    level_of = {part: level for level, parts in enumerate(LEVELS) for part in parts}
    for path in PACKAGE.rglob("*.py"):
        part = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if part == "__init__":
            continue
        for name in imported_modules(path):
            target = name.split(".")[1]
            allowed = target == part or target in BESIDE.get(part, ())
            assert allowed or level_of[target] < level_of[part], f"{path} imports {name}"


def test_what_is_imported_is_there():
    """Also where no other test looks: some files need an extra, others import when called."""
    programs = [path for folder in ("tools", "demo") for path in (ROOT / folder).rglob("*.py")]
    for path in [*PACKAGE.rglob("*.py"), *programs]:
        for name in imported_modules(path):
            holder = ROOT / Path(*name.split(".")[:-1])
            assert holder.is_dir() or holder.with_suffix(".py").is_file(), f"{path} imports {name}"


def test_the_package_imports_no_tool():
    tools = {path.stem for path in (ROOT / "tools").iterdir()} | {"tools"}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(tree_of(path)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not tools & {name.split(".")[0] for name in names}, path


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


def test_private_functions_of_torch_stand_in_two_files():
    """Beside its operators: whether the processor has bfloat16, which nothing else tells."""
    private = re.compile(
        r"\btorch(?:\.\w+)*\._[a-z]|^from torch[\w.]* import (?:.*\W)?_[a-z]", re.MULTILINE
    )
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if private.search(path.read_text())
    }
    # The last names functions that files ask for, and calls none of them.
    named = {"checkpoint/tensor_pickles.py"}
    assert found == {"environment.py", "accelerate/cpu/operators.py"} | named


# Names that mmengine may rename in any version. This list can only shrink.
PRIVATE_NAMES_OF_MMENGINE = {
    ("config/lazy_bases.py", "_parse_lazy_import"),
    ("config/load.py", "_to_lazy_dict"),
    ("config/read.py", "_get_cfg_path"),
    ("config/read.py", "_module"),
    ("config/read.py", "_to_lazy_dict"),
    ("config/variables.py", "_file2dict"),
    ("config/variables.py", "_get_base_files"),
    ("datasets/base.py", "_metainfo"),
    ("datasets/base.py", "_serialize_data"),
    ("engine/hooks/checkpoint.py", "_decide_current_val_interval"),
    ("engine/hooks/checkpoint.py", "_init_rule"),
    ("engine/hooks/checkpoint.py", "_resume"),
    ("engine/hooks/checkpoint.py", "_save_best_checkpoint"),
    ("engine/hooks/checkpoint.py", "_save_checkpoint"),
    ("engine/hooks/checkpoint.py", "_save_checkpoint_with_step"),
    ("engine/hooks/early_stopping.py", "_init_rule"),
    ("engine/hooks/early_stopping.py", "_resume"),
    ("engine/late_values.py", "_count_history"),
    ("engine/late_values.py", "_log_history"),
    ("engine/optim_wrapper.py", "_clip_grad"),
    ("engine/optim_wrapper.py", "_scale_update_param"),
    ("engine/runner.py", "_ParamScheduler"),
    ("engine/runner.py", "_has_loaded"),
    ("engine/runner.py", "_load_from"),
    ("engine/runner.py", "_maybe_compile"),
    ("engine/runner.py", "_resume"),
    ("engine/runner.py", "_test_loop"),
    ("engine/runner.py", "_train_loop"),
    ("engine/runner.py", "_val_loop"),
    ("engine/schedulers.py", "_get_value"),
    ("engine/workers.py", "_iterator"),
    ("engine/workers.py", "_test_loop"),
    ("engine/workers.py", "_train_loop"),
    ("engine/workers.py", "_val_loop"),
    ("models/backbones/backbone.py", "_is_init"),
    ("models/segmentors/encoder_decoder.py", "_run_forward"),
}
# Private names of our own that mmengine has as well.
OF_OUR_OWN = {
    "_device",
    "_metadata",
    "_after_iter",
    "_check_input_dim",
    "_dataset_meta",
    "_lock",
    "_name",
    "_run",
    "_runner",
    "_seed",
}


def private_names(tree: ast.AST) -> set[str]:
    """Private methods, classes and attributes that a file defines."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
    return {name for name in names if name.startswith("_") and not name.startswith("__")}


def used_names(tree: ast.AST) -> set[str]:
    """Attributes that a file reads, methods that it defines, what it imports of mmengine."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mmengine"):
            names |= {alias.name for alias in node.names}
    return names


def test_private_names_of_mmengine_are_few():
    """Their file and name are on the list, and mmengine has them still."""
    theirs = {
        name
        for path in Path(mmengine.__file__).parent.rglob("*.py")
        for name in private_names(tree_of(path))
    }
    found = {
        (path.relative_to(PACKAGE).as_posix(), name)
        for path in PACKAGE.rglob("*.py")
        for name in (theirs - OF_OUR_OWN) & used_names(tree_of(path))
    }
    assert found - PRIVATE_NAMES_OF_MMENGINE == set(), "find a public way"
    gone = PRIVATE_NAMES_OF_MMENGINE - found
    assert gone == set(), "take these off the list, or mend what mmengine has renamed"


@pytest.mark.parametrize("folder", ["mmseg_gc", "tools", "demo"])
def test_no_file_passes_350_lines(folder):
    for path in (ROOT / folder).rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 350, path


def test_models_ask_nothing_about_devices():
    """What is faster on one of them is an acceleration."""
    asks = re.compile(r"is_cuda|device\.type|is_available\(")
    found = {
        path.relative_to(PACKAGE / "models").as_posix()
        for path in (PACKAGE / "models").rglob("*.py")
        if asks.search(path.read_text())
    }
    assert not found


# What GCNet doesn't need: what stands around it in people's configs, or what it is held against.
AROUND_GCNET = re.compile(
    r"decode_heads/(?!decode_head|fcn_head|gc_head)|necks/|samplers/|segmentors/cascade"
    r"|layers/(attention|encoding|non_local|point_sampling|pyramid_pooling)"
    r"|backbones/(?!res_blocks|resnet|resnext)"
    r"|losses/(boundary|dice|focal|hausdorff|lovasz|ohem|tversky)|.*__init__"
)


def test_models_stay_small():
    """What GCNet itself is made of, and each file of what is around it."""
    lengths = {
        path.relative_to(PACKAGE / "models").as_posix(): len(path.read_text().splitlines())
        for path in (PACKAGE / "models").rglob("*.py")
    }
    around = {name for name in lengths if AROUND_GCNET.match(name)}
    assert sum(lengths[name] for name in lengths.keys() - around) <= 2500
    heads = {name for name in around if name.startswith("decode_heads/")}
    assert {name: lengths[name] for name in heads if lengths[name] > 120} == {}


def test_the_report_is_asked_for_by_command_lines_alone():
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] not in ("report", "cli"):
            assert not any(n.startswith("mmseg_gc.report") for n in imported_modules(path)), path
