import inspect
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools/benchmarks"))
from techniques_worker import TECHNIQUES


@pytest.mark.parametrize("name", TECHNIQUES)
def test_what_is_switched_off_is_there(name: str) -> None:
    """A technique that was renamed would be measured without ever being switched off."""
    technique = TECHNIQUES[name]
    assert hasattr(technique.owner, technique.name)
    assert all(inspect.getsource(one) for one in technique.code)


@pytest.mark.parametrize("option", ["--row", "--precision"])
def test_unknown_choices_are_refused(option: str, run_tool) -> None:
    finished = run_tool("benchmarks/compare_techniques.py", option, "nonesuch")
    assert finished.status != 0 and option in finished.err
