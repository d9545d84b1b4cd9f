"""A colleague drops a file on the page; somebody else tries to have it read others."""

import json
import os
import re
import socket
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

if find_spec("gradio") is None:  # whose import takes seconds
    pytest.skip("needs gradio: pip install -r requirements/serve.txt", allow_module_level=True)

# Where screenshots stay; default: the test's own folder.
ARTEFACTS = os.environ.get("MMSEG_GC_SCREENSHOTS")


def test_table_is_the_legend_and_escapes_names():
    from mmseg_gc.serve.web_page import areas_table

    palette = np.array([[255, 0, 16], [1, 2, 3]], np.uint8)
    html = areas_table({0: 1, 1: 3}, ("<b>", "road"), palette)
    assert "<b>" not in html and "&lt;b&gt;" in html and "background:#ff0010" in html
    assert html.index("road") < html.index("&lt;b&gt;") and "75.00 %" in html


@pytest.fixture(scope="module")
def client(served):
    from starlette.testclient import TestClient

    with TestClient(served[0]) as client:
        yield client


def test_the_page_loads_nothing_of_other_hosts(client):
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert "http" not in policy and "*" not in policy and "default-src 'self'" in policy
    loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=\"([^\"]+)", page.text)
    assert loaded and not any(re.match(r"(?:https?:)?//", address) for address in loaded)
    config = client.get("/config").json()
    assert config["analytics_enabled"] is False and not config.get("stylesheets")
    assert [event["api_visibility"] for event in config["dependencies"]] == ["private"]


def pressed(client, upload, number: int) -> tuple[int, str]:
    """What the button answers to ``upload``, said as the page says it."""
    asked = dict(data=[upload, False, 0.5, []], fn_index=0, session_hash=f"s{number}")
    response = client.post("/gradio_api/queue/join", json=asked)
    if response.status_code != 200:
        return response.status_code, response.text
    told = client.get("/gradio_api/queue/data", params={"session_hash": f"s{number}"}).text
    return 200, next(line for line in told.splitlines() if '"process_completed"' in line)


def test_no_file_of_the_server_is_read(client, tmp_path, png):
    (tmp_path / "secret.png").write_bytes(png)
    for number, path in enumerate((str(tmp_path / "secret.png"), "http://127.0.0.1:1/x.png")):
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        status, text = pressed(client, file, number)
        assert status == 403 and "no path is taken" in text
    address = f"/gradio_api/file={tmp_path / 'secret.png'}"
    assert client.get(address).status_code == 403


def test_an_upload_is_labelled(client, served, png):
    sent = client.post("/gradio_api/upload", files={"files": ("../../x.png", png)})
    [path] = sent.json()
    assert Path(path).is_relative_to(served[2].folder)
    status, text = pressed(client, {"path": path, "meta": {"_type": "gradio.FileData"}}, 10)
    assert status == 200 and json.loads(text[5:])["success"] and "labels.png" in text
    for file in served[2].folder.rglob("*"):  # as the sweeper does, ten minutes later
        os.utime(file, (0, 0))
    served[2].sweep()
    assert served[2].bytes_kept() == 0
    status, text = pressed(client, {"path": path, "meta": {"_type": "gradio.FileData"}}, 11)
    assert "isn't there any more" in text or '"success":false' in text.replace(" ", "")


def test_what_is_wrong_is_told_in_one_sentence(client):
    assert "Drop an image or a video first." in pressed(client, None, 20)[1]
    [path] = client.post("/gradio_api/upload", files={"files": ("v.mp4", b"#EXTM3U")}).json()
    text = pressed(client, {"path": path, "meta": {"_type": "gradio.FileData"}}, 21)[1]
    assert "The upload is no image that is read here" in text


@pytest.fixture(scope="module")
def address(served):
    import uvicorn

    server = uvicorn.Server(
        uvicorn.Config(served[0], log_level="warning", timeout_graceful_shutdown=1)
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs=dict(sockets=[listening]))
        thread.start()
        while not server.started:
            time.sleep(0.05)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(30)


@pytest.fixture
def opened(browser, address):
    """``opened(width, scheme)`` is the page, whose console and requests are watched."""
    contexts, said, fetched = [], [], []

    def open_page(width: int = 1200, scheme: str = "light"):
        size = {"width": width, "height": 900}
        contexts.append(browser.new_context(viewport=size, color_scheme=scheme))
        page = contexts[-1].new_page()
        page.on("console", lambda m: said.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: fetched.append(request.url))
        page.goto(address)
        page.wait_for_selector("#upload input[type=file]", state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []
    assert all(url.startswith((address, "data:", "blob:")) for url in fetched)


def drop(page, name: str, content: bytes) -> None:
    kind = "video/mp4" if name.endswith(".mp4") else "image/png"
    page.set_input_files(
        "#upload input[type=file]", {"name": name, "mimeType": kind, "buffer": content}
    )
    page.wait_for_selector(f"#upload :text('{Path(name).suffix}')")
    page.click("#label")


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_an_image_is_dropped_and_its_labels_are_taken_along(
    opened, png, tiny_model, tmp_path, width, scheme
):
    from mmseg_gc.apis.predict import predict

    page = opened(width, scheme)
    drop(page, "street.png", png)
    page.wait_for_function("document.querySelector('#overlay img')?.naturalWidth === 128")
    expected = predict(tiny_model, png)
    assert expected.areas()[0]["class"] in page.inner_text("#areas")
    with page.expect_download() as download:
        page.click("#downloads a[download='labels.png']")
    ids = cv2.imread(str(download.value.path()), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(ids, expected.labels)
    names = page.locator("#downloads a[download]").evaluate_all("all => all.map(a => a.download)")
    assert names == ["labels.png", "overlay.png", "polygons.geojson", "areas.csv"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    shot = Path(ARTEFACTS or tmp_path, f"serve_{scheme}_{width}.png")
    shot.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=shot, full_page=True)
    assert shot.stat().st_size > 10_000


@pytest.mark.browser
def test_a_video_is_dropped_and_plays(opened, tmp_path):
    path, draw = tmp_path / "trip.mp4", np.random.default_rng(0)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 5, (128, 96))
    for _ in range(3):
        writer.write(draw.integers(0, 256, (96, 128, 3), np.uint8))
    writer.release()
    page = opened()
    drop(page, "trip.mp4", path.read_bytes())
    page.wait_for_function("document.querySelector('#video video')?.readyState >= 2")
    assert page.evaluate("document.querySelector('#video video').error") is None
    names = page.locator("#downloads a[download]").evaluate_all("all => all.map(a => a.download)")
    assert names == ["overlay.webm", "areas.csv"]


@pytest.mark.browser
def test_what_is_no_image_is_told(opened):
    page = opened()
    drop(page, "street.png", b"this is text")
    page.wait_for_selector("text=The upload is no image that is read here")
