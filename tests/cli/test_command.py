import io
import os
import subprocess
import sys

import pytest
import torch

from mmseg_gc.cli import cli
from mmseg_gc.errors import UserError


@pytest.fixture
def failing():
    @cli
    def main():
        raise UserError("the cure is here.")

    return main


def test_cli_prints_one_line_and_exits_1(failing, capsys):
    with pytest.raises(SystemExit) as stopped:
        failing()
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "Error: the cure is here.\n"


def test_cli_shows_the_traceback_on_request(failing, monkeypatch):
    monkeypatch.setenv("MMSEG_GC_TRACEBACK", "1")
    with pytest.raises(UserError):
        failing()


def test_cli_keeps_the_traceback_of_a_bug():
    @cli
    def main():
        return torch.zeros(1).reshape(2)

    with pytest.raises(RuntimeError):
        main()


def test_cli_prints_names_that_the_encoding_lacks():
    code = (
        "from mmseg_gc.cli import cli\nfrom mmseg_gc.errors import UserError\n"
        "@cli\ndef main():\n    print('stra\\u00dfe')\n    raise UserError('\\u56fe')\nmain()"
    )
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=ascii_only, capture_output=True)
    assert (done.stdout, done.stderr) == (b"stra\\xdfe\n", b"Error: \\u56fe\n")


def test_cli_prints_names_that_are_no_utf8(monkeypatch):
    @cli
    def main():
        print("strange\udcff.png")

    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    monkeypatch.setattr("sys.stdout", out)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    assert out.buffer.getvalue() == b"strange\\udcff.png\n"
