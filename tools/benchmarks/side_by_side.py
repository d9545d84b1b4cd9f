"""Ask two interpreters the same questions in turn, each in a process that stays alive.

A benchmark's worker module calls `serve` with its questions; the benchmark itself starts one
`Worker` a side and asks. Workers also run in the reference's environment, so that this file imports
nothing of this package but where only the asking side comes.
"""

import json
import os
import statistics
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


class Worker:
    """``python -m module`` of one side, which answers questions until it is closed.

    ``python_path`` is all that the process finds beside its own packages. Questions and answers are
    JSON; what the process prints goes to this one's stderr.

    Raises:
        UserError: from `ask`, where the process can't be started, ends, or fails at a question.
    """

    def __init__(
        self, name: str, python: str, module: str, python_path: Sequence[Path], *args: str
    ) -> None:
        from mmseg_gc.errors import UserError

        self.name = name
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (HERE, *python_path)))}
        try:
            self.process = subprocess.Popen(
                [python, "-m", module, *args],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=env,
            )
        except OSError as error:
            raise UserError(f"{name}: {python} can't be started ({error.strerror}).") from error

    def ask(self, question: str, **arguments: Any) -> Any:
        """What the worker's function ``question`` returns for ``arguments``."""
        from mmseg_gc.errors import UserError

        try:
            self.process.stdin.write(json.dumps([question, arguments]) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise UserError(
                f"{self.name} ended with status {self.process.wait()} at {question!r}: mend what "
                "it printed above."
            )
        answer = json.loads(line)
        if "error" in answer:
            raise UserError(f"{self.name} failed at {question!r}: {answer['error']}.")
        return answer["value"]

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def peer_parser(description: str):
    """A parser with what comparisons share: ``--peer``, for `check_peer`, ``--device``, for
    `choose_device`, and ``--rounds``.
    """
    from mmseg_gc.arguments import ArgumentParser

    parser = ArgumentParser(description=description)
    parser.add_argument(
        "--peer",
        default=HERE.parents[1] / ".venv-peer/bin/python",
        type=Path,
        help="interpreter that has mmsegmentation; tools/benchmarks/setup_peer.sh makes one",
    )
    parser.add_argument(
        "--device", default="cpu", help="of both sides: cpu, also where there is a GPU, or cuda:N"
    )
    parser.add_argument("--rounds", type=int, default=5, help="times that each is asked")
    return parser


def check_peer(python: Path) -> Path:
    """``python`` from the root.

    Raises: UserError if there is no such interpreter.
    """
    from mmseg_gc.errors import UserError

    if not python.exists():
        raise UserError(
            f"{python} doesn't exist: run tools/benchmarks/setup_peer.sh, or name an interpreter "
            "that has mmsegmentation with --peer."
        )
    return Path(os.path.abspath(python))  # not resolved: a virtual environment's is a link


def alternate(
    questions: Mapping[str, Callable[[], Any]], rounds: int, report: Callable[[str], None] = print
) -> dict[str, list]:
    """The answers of every question by its name; each round asks all of them, in turn.

    What slows the machine down for a while then slows all alike.
    """
    answers: dict[str, list] = {name: [] for name in questions}
    for number in range(rounds):
        names = list(questions)
        for name in names if number % 2 == 0 else reversed(names):
            answers[name].append(questions[name]())
            report(f"round {number + 1} of {rounds}: {name}")
    return answers


def medians(answers: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in answers.items()}


def serve(questions: Mapping[str, Callable[..., Any]]) -> None:
    """Answer a `Worker` on stdin and stdout with these functions until it closes."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a package prints must not be taken for an answer
    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            answer = {"value": questions[name](**arguments)}
        except Exception as error:  # the asking side says which question failed
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}".rstrip(".")}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
