"""The command `mmseg_gc`: what it lists, how quickly, and how it names what isn't there."""

import subprocess
import sys

import pytest

from mmseg_gc.cli import main as dispatcher
from mmseg_gc.cli.convert import CONVERTERS
from mmseg_gc.version import __version__

HEAVY = ("torch", "mmengine", "cv2", "numpy")
LINES_OF_A_SCREEN = 60


def run(*words: str, capsys) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        dispatcher.main(words)
    return stopped.value.code, *capsys.readouterr()


def test_top_fits_a_screen_and_names_every_command(capsys):
    status, out, _ = run("--help", capsys=capsys)
    assert status == 0 and len(out.splitlines()) <= 40
    for name in ("train", "test", "check", "browse", "curves", "convert", "models", "info"):
        assert f"\n  {name} " in out
    assert "mmseg_gc predict mine.py" in out  # an example
    assert run("--version", capsys=capsys) == (0, f"mmseg_gc {__version__}\n", "")


@pytest.mark.parametrize("name", dispatcher.commands())
def test_help_of_each_command_fits_a_screen_with_an_example(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "argv", ["mmseg_gc", name, "--help"])
    status, out, _ = run(name, "--help", capsys=capsys)
    assert status == 0 and len(out.splitlines()) <= LINES_OF_A_SCREEN
    assert out.startswith(f"usage: mmseg_gc {name} ")
    assert f"example:\n  mmseg_gc {name}" in out


@pytest.mark.parametrize("name", CONVERTERS)
def test_help_of_a_converter_has_its_name(name, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["mmseg_gc", "convert", name, "--help"])
    status, out, _ = run("convert", name, "--help", capsys=capsys)
    assert status == 0 and out.startswith(f"usage: mmseg_gc convert {name} ")


def test_help_imports_nothing_heavy():
    words = [["--help"], *([name, "--help"] for name in dispatcher.commands())]
    code = (
        "import contextlib, io, sys\n"
        "from mmseg_gc.cli.main import main\n"
        f"for words in {words!r}:\n"
        "    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "        main(words)\n"
        f"    assert not {set(HEAVY)!r} & sys.modules.keys(), words\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_command_that_does_not_exist(capsys):
    status, out, err = run("trian", capsys=capsys)
    assert (status, out) == (2, "")
    assert err == "Error: mmseg_gc has no command 'trian'; did you mean 'train'?\n"


def test_commands_without_a_file_are_not_listed(monkeypatch):
    monkeypatch.setitem(dispatcher.COMMANDS, "nowhere", "a place for later")
    assert "nowhere" not in dispatcher.commands() and "train" in dispatcher.commands()


def test_as_a_module():
    command = [sys.executable, "-m", "mmseg_gc", "--version"]
    assert subprocess.check_output(command, text=True) == f"mmseg_gc {__version__}\n"


def test_predict_starts_without_what_only_trainings_use():
    code = (
        "import contextlib, gc, sys\n"
        "from mmseg_gc.cli.main import main\n"
        "with contextlib.suppress(SystemExit):\n"
        "    main(['predict', 'nowhere.py', 'w.pth', 'a.png'])\n"
        "assert gc.isenabled() and gc.get_freeze_count() > 100_000\n"
        "assert {'mmseg_gc.apis.predict', 'mmseg_gc.accelerate'} <= sys.modules.keys()\n"
        "heavy = {'torch.distributed.fsdp', 'torch._dynamo', 'matplotlib', 'sympy'}\n"
        "assert not heavy & sys.modules.keys()\n"
        "from torch.distributed.fsdp import FullyShardedDataParallel\n"
        "assert FullyShardedDataParallel.__mro__[1] is not object\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "nowhere.py" in done.stderr
