"""Downloads against a server in this process that breaks in every way a real one does."""

import hashlib
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from mmseg_gc.checkpoint import load_checkpoint, save_checkpoint
from mmseg_gc.checkpoint.download import _size_of, cache_dir, download, hash_prefix
from mmseg_gc.errors import UserError

CONTENT = np.random.default_rng(0).bytes(300_000)
NAME = f"weights-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


class Handler(BaseHTTPRequestHandler):
    """Serves ``server.files``; the server's attributes say how it misbehaves."""

    def do_GET(self):
        server = self.server
        content = server.files.get(self.path.split("?")[0])
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        server.ranges.append(asked and int(asked[1]))
        if content is None:
            self.send_error(404)
            return
        start = int(asked[1]) if asked and server.can_resume else 0
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if server.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif server.tells_length:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start : server.cut_at]
        if server.chunked:
            # A chunk that is announced longer than what comes.
            body = f"{len(content):x}\r\n".encode() + body
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files = {f"/zoo/{NAME}": CONTENT}
    server.ranges = []  # where each request wanted to begin, None for all of it
    server.can_resume = server.tells_length = True
    server.chunked = False
    server.cut_at = None
    server.url = f"http://127.0.0.1:{server.server_port}/zoo/"
    thread = threading.Thread(target=server.serve_forever, kwargs=dict(poll_interval=0.02))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def hub_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet50_v1c-2cccc1ad.pth", "2cccc1ad"),
        ("gcnet_20200618_074436-4b0fd17b.pth", "4b0fd17b"),
        ("a-12345678.safetensors", "12345678"),
        ("a-" + 64 * "0" + ".pt", 64 * "0"),
        ("run-20240131.pth", None),
        ("run-2cccc1a.pth", None),
        ("resnet50_2cccc1ad.pth", None),
        ("run-weighted.pth", None),
    ],
)
def test_hash_prefix(name, expected):
    assert hash_prefix(name) == expected


def test_a_file_is_fetched_once(server, tmp_path, capsys):
    path = download(server.url + NAME)
    assert path == cache_dir() / NAME and path.read_bytes() == CONTENT
    assert names(cache_dir()) == [NAME]
    assert NAME in capsys.readouterr().err  # the bar
    assert download(server.url + NAME + "?token=1") == path
    assert server.ranges == [None]
    assert download(server.url + NAME, tmp_path / "other") == tmp_path / "other" / NAME


@pytest.mark.parametrize("can_resume", [True, False])
def test_a_broken_transfer_is_taken_up_again(server, tmp_path, can_resume):
    server.can_resume = can_resume
    server.cut_at = 100_000
    with pytest.raises(UserError, match="closed after 100000 of 300000 bytes.*try again"):
        download(server.url + NAME, tmp_path)
    assert names(tmp_path) == [f"{NAME}.part"]
    server.cut_at = 200_000
    with pytest.raises(UserError, match="closed after 200000 of 300000 bytes"):
        download(server.url + NAME, tmp_path)
    server.cut_at = None
    assert download(server.url + NAME, tmp_path).read_bytes() == CONTENT
    assert names(tmp_path) == [NAME]
    assert server.ranges == [None, 100_000, 200_000]


def test_a_broken_chunked_transfer_is_noticed(server, tmp_path, monkeypatch):
    monkeypatch.setattr(Handler, "protocol_version", "HTTP/1.1")
    server.chunked = True
    server.cut_at = 100_000
    with pytest.raises(UserError, match="can't be fetched"):
        download(server.url + NAME, tmp_path)
    assert not (tmp_path / NAME).exists()


def test_a_transfer_of_unknown_length_is_checked_by_its_hash(server, tmp_path):
    server.tells_length = False
    server.cut_at = 100_000
    with pytest.raises(UserError, match="SHA-256"):
        download(server.url + NAME, tmp_path)
    server.cut_at = None
    assert download(server.url + NAME, tmp_path).read_bytes() == CONTENT


def test_a_transfer_that_was_whole_already(server, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT)
    assert download(server.url + NAME, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [len(CONTENT)]


def test_a_beginning_of_another_file_is_thrown_away(server, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(b"x" * 1000)
    with pytest.raises(UserError, match="thrown away: try again"):
        download(server.url + NAME, tmp_path)
    assert download(server.url + NAME, tmp_path).read_bytes() == CONTENT


def test_wrong_hash(server, tmp_path):
    server.files["/zoo/weights-00000000.pth"] = CONTENT
    with pytest.raises(UserError) as caught:
        download(server.url + "weights-00000000.pth", tmp_path)
    sentence = str(caught.value)
    assert hashlib.sha256(CONTENT).hexdigest()[:12] in sentence
    assert "promises 00000000" in sentence and server.url in sentence
    assert not (tmp_path / "weights-00000000.pth").exists()


def test_a_damaged_copy_in_the_cache_is_noticed_and_kept(server, tmp_path):
    (tmp_path / NAME).write_bytes(CONTENT[:-1])
    with pytest.raises(UserError, match=f"{NAME} has SHA-256.*delete it"):
        download(server.url + NAME, tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT[:-1]
    assert server.ranges == []


def test_files_of_one_name_without_hash_are_told_apart(server, tmp_path):
    server.files |= {"/zoo/a/latest.pth": b"PK\x03\x04one", "/zoo/b/latest.pth": b"PK\x03\x04two"}
    paths = [download(f"{server.url}{run}/latest.pth", tmp_path) for run in "ab"]
    assert [path.read_bytes() for path in paths] == [b"PK\x03\x04one", b"PK\x03\x04two"]
    assert all(path.suffix == ".pth" for path in paths)
    assert [download(f"{server.url}{run}/latest.pth", tmp_path) for run in "ab"] == paths
    assert len(server.ranges) == 2


def test_without_hash_nothing_is_pieced_together(server, tmp_path):
    content = server.files["/zoo/latest.pth"] = b"\x80\x02" + CONTENT
    server.cut_at = 1000
    with pytest.raises(UserError, match="closed after"):
        download(server.url + "latest.pth", tmp_path)
    server.cut_at = None
    assert download(server.url + "latest.pth", tmp_path).read_bytes() == content
    assert server.ranges == [None, None]


def test_no_network(server, tmp_path):
    url = server.url + NAME
    server.shutdown()
    server.server_close()
    with pytest.raises(UserError) as caught:
        download(url, tmp_path)
    assert "refused" in str(caught.value) and str(tmp_path / NAME) in str(caught.value)


def test_what_is_not_there(server, tmp_path):
    with pytest.raises(UserError, match="no-such.pth can't be fetched.*404"):
        download(server.url + "no-such.pth", tmp_path)
    with pytest.raises(UserError, match="names no file"):
        download("http://127.0.0.1/", tmp_path)


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't be fetched to .*file/cache"):
        download(server.url + NAME, tmp_path / "file" / "cache")


def test_those_who_want_one_file_take_turns(server, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:1000])
    # The lock belongs to the opened file, so that threads queue as processes do.
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: download(server.url + NAME, tmp_path), range(8)))
    assert set(paths) == {tmp_path / NAME}
    assert names(tmp_path) == [NAME] and paths[0].read_bytes() == CONTENT
    assert server.ranges == [1000]


def test_a_part_that_gets_its_name_while_one_waits_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda path: True)  # it was there a moment ago
    assert _size_of(tmp_path / f"{NAME}.part") == 0


def test_checkpoints_are_read_from_an_address(server, tmp_path):
    save_checkpoint({"state_dict": {"w": torch.arange(3.0)}}, tmp_path / "w.pth")
    content = (tmp_path / "w.pth").read_bytes()
    name = f"w-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    server.files[f"/zoo/{name}"] = content
    assert load_checkpoint(server.url + name)["state_dict"]["w"].tolist() == [0, 1, 2]
    assert names(cache_dir()) == [name]
    (cache_dir() / name).write_bytes(content[:-1])
    with pytest.raises(UserError, match="SHA-256"):
        load_checkpoint(server.url + name)
