import sys
from pathlib import Path

import pytest

from mmseg_gc.errors import UserError

TOOLS = Path(__file__).parents[2] / "tools/benchmarks"
sys.path.insert(0, str(TOOLS))
from side_by_side import Worker, alternate, medians  # noqa: E402

WORKER = """
from side_by_side import serve

def add(a, b):
    print("noise")
    return a + b

def stop():
    raise SystemExit(3)

serve({"add": add, "stop": stop})
"""


@pytest.fixture
def worker(tmp_path):
    (tmp_path / "adder.py").write_text(WORKER)
    with Worker("ours", sys.executable, "adder", [tmp_path]) as worker:
        yield worker


def test_answers_and_failures(worker):
    assert worker.ask("add", a=1, b=2) == 3
    with pytest.raises(UserError, match="ours failed at 'add': TypeError"):
        worker.ask("add", a=1, b="x")
    assert worker.ask("add", a=[1], b=[2]) == [1, 2]
    with pytest.raises(UserError, match="ours ended with status 3 at 'stop'"):
        worker.ask("stop")


def test_an_interpreter_that_is_not_there():
    with pytest.raises(UserError, match="reference: /no/python can't be started"):
        Worker("reference", "/no/python", "adder", [])


def test_questions_are_asked_in_turn():
    asked = []
    questions = {name: lambda name=name: asked.append(name) or len(asked) for name in "ab"}
    answers = alternate(questions, 3, report=lambda text: None)
    assert "".join(asked) == "abbaab"
    assert answers == {"a": [1, 4, 5], "b": [2, 3, 6]} and medians(answers) == {"a": 4, "b": 3}
