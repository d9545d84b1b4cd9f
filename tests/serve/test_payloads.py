import asyncio
import json

import pytest

from mmseg_gc.serve.limits import Refused
from mmseg_gc.serve.payloads import MAX_BYTES, UploadedPathsOnly

JOIN = "/gradio_api/queue/join"


def passed(folder, body: bytes, path=JOIN, method="POST") -> tuple[dict, bytes]:
    """Headers and body that get through."""
    got = []

    async def app(scope, receive, send):
        got.append((dict(scope["headers"]), (await receive())["body"]))

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-length", b"999"), (b"content-type", b"text/plain"), (b"host", b"h")]
    scope = dict(type="http", method=method, path=path, headers=headers)
    asyncio.run(UploadedPathsOnly(app, folder)(scope, receive, None))
    return got[0]


def test_uploaded_files_pass(tmp_path):
    body = json.dumps({"data": [{"path": f"{tmp_path}/a/b.png"}, {"path": None}], "x": 1}).encode()
    headers, got = passed(tmp_path, body)
    assert json.loads(got) == json.loads(body)
    assert headers[b"content-length"] == str(len(got)).encode()
    assert headers[b"content-type"] == b"application/json"


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "street.png", "http://host/a.png", "{}/../x.png", "{}_more/x", "{}/\0", 5, []],
)
def test_no_other_path_passes(tmp_path, path):
    path = path.format(tmp_path) if isinstance(path, str) else path
    with pytest.raises(Refused, match="no path is taken from a client") as refused:
        passed(tmp_path, json.dumps({"data": [{"deep": {"path": path}}]}).encode())
    assert refused.value.status == 403


def test_a_key_that_comes_twice_is_looked_at_twice(tmp_path):
    with pytest.raises(Refused, match="no path"):
        passed(tmp_path, f'{{"path": "/etc/passwd", "path": "{tmp_path}/a"}}'.encode())


def test_links_out_of_the_folder(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "link").symlink_to("/etc")
    with pytest.raises(Refused, match="no path"):
        passed(folder, json.dumps({"path": f"{folder}/link/passwd"}).encode())


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"NaN", 400),
        (b"\xff", 400),
        (b"[" * 100_000, 400),
        (b" " * MAX_BYTES + b"1", 413),
    ],
)
def test_no_json(tmp_path, body, status):
    with pytest.raises(Refused) as refused:
        passed(tmp_path, body)
    assert refused.value.status == status


def test_other_addresses_of_gradio_are_closed(tmp_path):
    for path in ("/gradio_api/call/label", "/gradio_api/component_server", "/login"):
        with pytest.raises(Refused, match="nothing takes that here"):
            passed(tmp_path, b"{}", path=path)
    assert passed(tmp_path, b"\x89PNG", path="/predict")[1] == b"\x89PNG"
    assert passed(tmp_path, b"", path="/config", method="GET")
