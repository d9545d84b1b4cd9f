"""Whether the names in a command line exist: commands, options, files, targets, extras."""

import contextlib
import functools
import io
import re
import runpy
import shlex
import sys
import tomllib
from pathlib import Path

from pages import ROOT

from mmseg_gc.cli.main import commands, main

OWN_FOLDERS = ("configs/", "tools/", "docs/", "tests/", "requirements/", "mmseg_gc/")
PLACEHOLDER = re.compile(r"[*{}…<>]|[A-Z]{3,}")
# Scripts that hand their options on.
WRAPPED = {"dist_train": "train", "slurm_train": "train", "dist_test": "test", "slurm_test": "test"}
WITH_COMMANDS = ("convert", "hub")  # whose first word has options of its own
ASSIGNED = re.compile(r"[A-Z_]+=")


def faults(line: str) -> list[str]:
    """What a command line names that doesn't exist."""
    words = shlex.split(line, comments=True)
    while words and ASSIGNED.match(words[0]):
        words.pop(0)
    if words[:1] == ["mpirun"]:  # mpirun -np N COMMAND …
        words = words[3:]
    if not words:
        return []
    program, rest = words[0], words[1:]
    found = [f"no file {word}" for word in words if _lacks_file(word)]
    if Path(program).name == "mmseg_gc":
        found += _of_command(rest)
    elif Path(program).name in ("python", "python3"):
        found += _of_python(rest)
    elif program.startswith("tools/") and Path(program).suffix and not found:
        found += _unknown(options_of_script(program), rest)
    elif program == "make":
        found += [f"make has no {w}" for w in rest if w not in _makefile()[w.find("=") > 0]]
    elif Path(program).name == "pip":
        found += _of_pip(rest)
    return found


def _lacks_file(word: str) -> bool:
    word = word.removeprefix("mmseg_gc::")
    if not word.startswith(OWN_FOLDERS) or PLACEHOLDER.search(word):
        return False
    return not (ROOT / word.partition("::")[0]).exists()


def _of_command(words: list[str]) -> list[str]:
    if not words or words[0] in ("--help", "--version", "COMMAND"):
        return []
    if words[0] not in commands():
        return [f"no command {words[0]}"]
    if words[0] in WITH_COMMANDS and len(words) > 1:
        return _unknown(options_of_command(*words[:2]), words[2:])
    return _unknown(options_of_command(words[0]), words[1:])


def _of_python(words: list[str]) -> list[str]:
    if words[:1] == ["-m"]:
        return _of_command(words[2:]) if words[1] == "mmseg_gc" else []
    if not words or not words[0].startswith("tools/"):
        return []
    return _unknown(options_of_script(words[0]), words[1:]) if (ROOT / words[0]).exists() else []


def _of_pip(words: list[str]) -> list[str]:
    extras = {e for w in words for m in re.findall(r"\[([\w,]+)\]", w) for e in m.split(",")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    known = project["tool"]["setuptools"]["dynamic"]["optional-dependencies"]
    return [f"no extra {extra}" for extra in sorted(extras - known.keys())]


def _unknown(known: frozenset[str], words: list[str]) -> list[str]:
    given = [w.partition("=")[0] for w in words if re.match(r"--?[a-zA-Z]", w)]
    return [f"no option {o}" for o in given if o not in known and o.replace("_", "-") not in known]


@functools.cache
def _makefile() -> tuple[frozenset[str], frozenset[str]]:
    """Targets; and, of assignments, nothing: any of the Makefile's variables may be set."""
    text = (ROOT / "Makefile").read_text()
    return frozenset(re.findall(r"^([\w-]+):", text, re.MULTILINE)), _Variables(text)


class _Variables(frozenset):
    def __new__(cls, text: str) -> "_Variables":
        return super().__new__(cls, re.findall(r"\$[({](\w+)", text))

    def __contains__(self, word: object) -> bool:
        return super().__contains__(str(word).partition("=")[0])


@functools.cache
def options_of_command(*names: str) -> frozenset[str]:
    return _in_help(lambda: main([*names, "--help"]))


@functools.cache
def options_of_script(script: str) -> frozenset[str]:
    path = ROOT / script
    if path.suffix == ".sh":
        wrapped = WRAPPED.get(path.stem)
        return options_of_command(wrapped) if wrapped else frozenset()
    if path.is_dir():
        path = path / "__main__.py"
    before, sys.argv, way = sys.argv, [str(path), "--help"], list(sys.path)
    sys.path.insert(0, str(path.parent))
    try:
        return _in_help(lambda: runpy.run_path(str(path), run_name="__main__"))
    finally:
        sys.argv, sys.path[:] = before, way


def _in_help(show) -> frozenset[str]:
    """Options that begin a line of what ``show`` prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        show()
    starts = re.findall(r"^  (-.*?)(?:  |$)", printed.getvalue(), re.MULTILINE)
    return frozenset(o for start in starts for o in re.findall(r"--?[a-zA-Z][\w-]*", start))
