"""Servers that answer with something else, too slowly, without end, or from elsewhere."""

import base64
import os
import shutil
import socket
import threading
import time
import traceback

import pytest
import torch
from filelock import FileLock

from mmseg_gc.checkpoint import DamagedCheckpointError, load_checkpoint, save_checkpoint
from mmseg_gc.checkpoint import download as downloads
from mmseg_gc.checkpoint import http as requests
from mmseg_gc.checkpoint.download import cache_dir, download
from mmseg_gc.checkpoint.http import shown
from mmseg_gc.errors import UserError

PAGE = b"<!doctype html><title>Sign in</title>"


class Server:
    """Answers each request with the pieces that ``script`` gives for its text."""

    def __init__(self, script):
        self.script, self.requests = script, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/w.pth"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection):
        with connection:
            text = connection.recv(65536).decode()
            self.requests.append(text)
            try:
                for piece in self.script(text):
                    connection.sendall(piece)
            except OSError:
                pass


@pytest.fixture
def serve(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    servers = []

    def start(script):
        servers.append(Server(script))
        return servers[-1]

    yield start
    for server in servers:
        server.listener.close()


@pytest.fixture
def weights(tmp_path) -> bytes:
    save_checkpoint({"state_dict": {"w": torch.arange(3.0)}}, tmp_path / "w.pth")
    return (tmp_path / "w.pth").read_bytes()


def answer(body: bytes, *headers: str, length: int | None = None) -> bytes:
    length = len(body) if length is None else length
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def slowly(content: bytes):
    for byte in content:
        yield bytes([byte])
        time.sleep(0.02)


def refusal(url: str, folder) -> str:
    with pytest.raises(UserError) as caught:
        download(url, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_portal_page_is_not_kept(serve, tmp_path, weights):
    answers = [PAGE, weights]
    server = serve(lambda text: [answer(answers.pop(0))])
    assert "gave a web page, which was thrown away" in refusal(server.url, tmp_path / "c")
    assert not any(path.stat().st_size for path in (tmp_path / "c").iterdir())
    assert download(server.url, tmp_path / "c").read_bytes() == weights


def test_half_a_file_without_a_length_does_not_block_its_address(serve, weights):
    answers = [weights[: len(weights) // 2], weights]
    server = serve(lambda text: [b"HTTP/1.0 200 OK\r\n\r\n" + answers.pop(0)])
    with pytest.raises(DamagedCheckpointError, match="thrown away: check the address"):
        load_checkpoint(server.url)
    assert load_checkpoint(server.url)["state_dict"]["w"].tolist() == [0, 1, 2]


def test_a_page_that_an_older_version_kept_is_thrown_away(serve, weights):
    server = serve(lambda text: [answer(weights)])
    path = download(server.url)
    path.write_bytes(PAGE)
    with pytest.raises(DamagedCheckpointError, match="no usable checkpoint"):
        load_checkpoint(server.url)
    assert load_checkpoint(server.url)["state_dict"]["w"].tolist() == [0, 1, 2]
    assert list(cache_dir().iterdir()) == [path]


@pytest.mark.parametrize("part", ["header", "body"])
def test_a_drip_ends(serve, tmp_path, monkeypatch, part):
    monkeypatch.setattr(requests, "SECONDS_OF_SILENCE", 0.3)
    head = b"" if part == "header" else answer(b"", length=1 << 20)

    def script(text):
        yield head
        yield from slowly(b"HTTP/1.1 200 OK\r\nX: " + bytes([65]) * 3000)

    begun = time.monotonic()
    said = refusal(serve(script).url, tmp_path)
    assert time.monotonic() - begun < 3
    assert ("only" in said and "bytes came in" in said) or "no answer came" in said


def test_a_slow_server_that_is_fast_enough_is_waited_for(serve, tmp_path, monkeypatch, weights):
    monkeypatch.setattr(requests, "SECONDS_OF_SILENCE", 0.2)
    monkeypatch.setattr(requests, "MIN_BYTES_A_SECOND", 100)
    pieces = [weights[at : at + 100] for at in range(0, len(weights), 100)]

    def script(text):
        yield answer(b"", length=len(weights))
        for piece in pieces:
            time.sleep(0.04)
            yield piece

    assert len(pieces) > 8
    assert download(serve(script).url, tmp_path).read_bytes() == weights


@pytest.mark.parametrize("told", [None, 1 << 40])
def test_a_body_without_end_is_not_kept(serve, tmp_path, monkeypatch, told):
    monkeypatch.setattr(downloads, "MAX_BYTES", 1 << 20)

    def script(text):
        yield b"HTTP/1.0 200 OK\r\n\r\n" if told is None else answer(b"", length=told)
        while True:
            yield bytes(1 << 16)

    assert "gives more than" in refusal(serve(script).url, tmp_path)
    assert not any(path.stat().st_size for path in tmp_path.iterdir())


def test_a_disk_that_is_too_small_is_seen_before(serve, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=1000))
    server = serve(lambda text: [answer(b"", length=1001)])
    assert f"1,001 bytes to fetch, and {tmp_path} has room for 1,000" in refusal(
        server.url, tmp_path
    )


@pytest.mark.parametrize("place", ["file:///etc/hostname", "ftp://127.0.0.1/w.pth", "data:,x"])
def test_a_request_is_not_sent_to_other_schemes(serve, tmp_path, place):
    head = f"HTTP/1.1 302 Found\r\nLocation: {place}\r\n\r\n".encode()
    assert "can't be fetched" in refusal(serve(lambda text: [head]).url, tmp_path)
    assert not any(path.stat().st_size for path in tmp_path.iterdir())


def test_the_endless_body_of_a_redirection_is_not_read(serve, tmp_path, weights):
    good = serve(lambda text: [answer(weights)])

    def script(text):
        yield f"HTTP/1.1 302 Found\r\nLocation: {good.url}\r\n\r\n".encode()
        while True:
            yield bytes(1 << 16)

    assert download(serve(script).url, tmp_path).read_bytes() == weights


def test_a_password_reaches_its_host_alone(serve, tmp_path, weights):
    other = serve(lambda text: [answer(weights)])
    head = f"HTTP/1.1 302 Found\r\nLocation: http://localhost:{other.port}/w.pth\r\n\r\n".encode()
    server = serve(lambda text: [head])
    url = server.url.replace("127.0.0.1", "ann:s3cr%40t@127.0.0.1")
    assert download(url, tmp_path).read_bytes() == weights
    token = base64.b64encode(b"ann:s3cr@t").decode()
    assert f"Authorization: Basic {token}" in server.requests[0]
    assert "Authorization" not in other.requests[0]


@pytest.mark.parametrize(
    "address",
    [
        "http://ann:s3cret@127.0.0.1:{port}/w.pth?token=t0ken",
        "http://ann:s3cret@127.0.0.1:{port}/?token=t0ken",
        "http://ann:s3cret@127.0.0.1:port/w.pth?token=t0ken",
        "http://ann:s3cret@[127.0.0.1/w.pth?token=t0ken",
        "http://ann:s3cret@127.0.0.1:{port}/w.pth?token=t0ken with blanks",
    ],
)
def test_a_password_is_never_printed(serve, tmp_path, address, capfd, caplog):
    server = serve(lambda text: [b"HTTP/1.1 403 Forbidden\r\n\r\n"])
    with pytest.raises(UserError) as caught:
        load_checkpoint(address.format(port=server.port))
    printed = "".join(traceback.format_exception(caught.value))
    printed += "".join(capfd.readouterr()) + caplog.text
    shown_chain = [caught.value, caught.value.__cause__, caught.value.__context__]
    printed += " ".join(map(repr, shown_chain))
    assert "s3cret" not in printed and "t0ken" not in printed


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://a:b@host:8/x/w.pth?sig=1#f", "https://host:8/x/w.pth"),
        ("https://host/w@2.pth", "https://host/w@2.pth"),
        ("s3://key:secret@bucket/w.pth", "s3://bucket/w.pth"),
        ("torchvision://resnet18", "torchvision://resnet18"),
        ("runs/a?b#c@d.pth", "runs/a?b#c@d.pth"),
    ],
)
def test_addresses_are_shown_without_secrets(address, expected):
    assert shown(address) == expected


def test_a_process_that_fetches_nothing_is_named(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "SECONDS_BEFORE_TELLING", 0.1)
    monkeypatch.setattr(downloads, "SECONDS_TO_WAIT", 0.5)
    told = []
    monkeypatch.setattr(downloads, "print_log", lambda message, **_: told.append(message))
    server = serve(lambda text: [])
    part = tmp_path / downloads._local_name(server.url, "w.pth")
    with FileLock(f"{part}.lock"):
        said = refusal(server.url, tmp_path)
    assert f"process {os.getpid()} holds {part}.lock and has fetched nothing" in said
    assert told == [f"Waiting for process {os.getpid()}, which fetches {part}."]
    assert server.requests == []


def test_a_process_that_fetches_is_waited_for(serve, tmp_path, monkeypatch, weights):
    monkeypatch.setattr(downloads, "SECONDS_TO_WAIT", 0.3)
    server = serve(lambda text: [answer(weights)])
    target = tmp_path / downloads._local_name(server.url, "w.pth")
    held = threading.Event()

    def hold():
        with FileLock(f"{target}.lock"), open(f"{target}.part", "ab", buffering=0) as file:
            held.set()
            for _ in range(5):
                time.sleep(0.1)
                file.write(b"x")

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    assert download(server.url, tmp_path).read_bytes() == weights
    thread.join()
