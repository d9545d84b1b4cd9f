"""Each file of the package has its tests at the same place below ``tests``."""

from pathlib import Path

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "mmseg_gc"
# Where the tests of the others are, for all that these do shows in what their callers do. This
# list can only shrink.
TESTED_ELSEWHERE = {
    "accelerate/cpu/memory.py": "accelerate/test_prepare.py",
    "checkpoint/addresses.py": "checkpoint/test_files.py",
    "checkpoint/loading.py": "checkpoint/test_files.py",
    "checkpoint/numpy_pickles.py": "checkpoint/test_unpickler.py",
    "checkpoint/tensor_pickles.py": "checkpoint/test_unpickler.py",
    "checkpoint/torch_files.py": "checkpoint/test_unpickler.py",
    "config/check.py": "config/test_load.py",
    "config/check_settings.py": "config/test_load.py",
    "config/read.py": "config/test_load.py",
    "datasets/pairing.py": "datasets/test_base.py",
    "datasets/transforms/drawing.py": "engine/hooks/test_visualization.py",
    "engine/acceleration.py": "accelerate/test_blocked.py",
    "engine/saved_optimizer.py": "engine/test_resume.py",
}


def test_every_file_has_its_tests():
    alone = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if path.name not in ("__init__.py", "__main__.py", "version.py")
        if not (TESTS / path.relative_to(PACKAGE)).with_name(f"test_{path.name}").exists()
    }
    assert alone - TESTED_ELSEWHERE.keys() == set(), "write their tests"
    assert TESTED_ELSEWHERE.keys() - alone == set(), "take these off the list"


def test_the_tests_elsewhere_exist():
    for place in TESTED_ELSEWHERE.values():
        assert (TESTS / place).is_file(), place
