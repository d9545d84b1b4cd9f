import socket

import pytest

from mmseg_gc.cli import serve


def run(*words, capsys) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        serve.main(["c.py", "w.pth", *map(str, words)])
    return stopped.value.code, *capsys.readouterr()


@pytest.fixture
def has_gradio(monkeypatch):
    monkeypatch.setattr(serve, "find_spec", lambda name: name)


@pytest.fixture
def served(has_gradio, monkeypatch):
    """The addresses that would be served."""
    addresses = []
    monkeypatch.setattr(
        serve, "serve", lambda args, server: addresses.append(server.getsockname()) or 0
    )
    return addresses


def test_without_gradio(monkeypatch, capsys):
    monkeypatch.setattr(serve, "find_spec", lambda name: None)
    status, out, err = run(capsys=capsys)
    assert (status, out) == (1, "")
    assert err == (
        "Error: the page needs gradio, which isn't installed: pip install mmseg_gc[serve]\n"
    )


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--rate", 0], "--rate 0 is out of range"),
        (["--max-mb", "-1"], "--max-mb -1.0 is out of range"),
        (["--seconds", "inf"], "--seconds inf is out of range"),
        (["--queue", 0], "--queue 0 is out of range"),
        (["--port", 70000], "--port 70000 is out of range"),
        (["--host", "no.such.host.invalid"], "can't be had"),
    ],
)
def test_wrong_values_are_told_before_a_model_is_read(served, flags, told, capsys):
    status, out, err = run(*flags, capsys=capsys)
    assert (status, out) == (1, "") and told in err and err.count("\n") == 1 and not served


def test_a_port_in_use(served, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        status, _, err = run("--port", port, capsys=capsys)
    assert status == 1 and not served and err.count("\n") == 1
    assert err.startswith(
        f"Error: port {port} of 127.0.0.1 can't be had (Address already in use); give another by "
        "--port"
    )


def test_to_this_machine_alone_unless_told(served, capsys):
    assert run("--port", 0, capsys=capsys) == (0, "", "")
    assert served[0][0] == "127.0.0.1"
    status, _, err = run("--port", 0, "--host", "0.0.0.0", capsys=capsys)
    assert status == 0 and err.startswith("WARNING: whoever reaches port ")
    assert err.count("\n") == 1 and served[1][0] == "0.0.0.0"


def test_loopback_is_not_open_to_others():
    assert not any(map(serve.is_open_to_others, ("127.0.0.2", "::1")))
    assert all(map(serve.is_open_to_others, ("0.0.0.0", "10.1.1.1", "::")))


def test_an_exported_file_is_its_own_config(capsys):
    assert serve.parse_args(["own.onnx"]).checkpoint is None
    assert serve.parse_args(["own.py", "own.xml"]).checkpoint == "own.xml"
    with pytest.raises(SystemExit) as stopped:
        serve.parse_args(["own.py"])
    assert stopped.value.code == 2 and "required: checkpoint" in capsys.readouterr().err
