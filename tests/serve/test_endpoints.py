"""Programs talk to the app as it is served, without a browser."""

import io
import json
import logging
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from mmseg_gc.apis.predict import predict
from mmseg_gc.apis.prediction import OUTPUTS

if find_spec("gradio") is None:  # whose import takes seconds
    pytest.skip("needs gradio: pip install -r requirements/serve.txt", allow_module_level=True)
from mmseg_gc.serve import endpoints


@pytest.fixture(scope="module")
def client(served):
    from starlette.testclient import TestClient

    with TestClient(served[0], raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def expected(tiny_model, png):
    return predict(tiny_model, png)


def pixels(response) -> np.ndarray:
    assert response.status_code == 200, response.text
    return np.asarray(Image.open(io.BytesIO(response.content)))


def test_health(client):
    told = client.get("/health").json()
    assert told["status"] == "ok" and told["requests"] == 0 and told["classes"][3] == "Road"


def test_ids_of_a_body_and_of_a_form(client, png, expected):
    for sent in (dict(content=png), dict(files={"image": ("../../etc/x.png", png)})):
        response = client.post("/predict", **sent)
        assert response.headers["content-type"] == "image/png"
        np.testing.assert_array_equal(pixels(response), expected.labels)


def test_format_by_accept_or_by_name(client, png, expected):
    areas = client.post("/predict", content=png, headers={"accept": "application/json"}).json()
    assert (areas["width"], areas["height"]) == (128, 96)
    assert areas["classes"] == expected.areas()
    heavy = {"accept": "application/json;q=0.2, application/geo+json"}
    assert client.post("/predict", content=png, headers=heavy).json() == json.loads(
        json.dumps(expected.to_geojson())
    )
    csv = client.post("/predict?format=csv", content=png)
    assert csv.text.splitlines()[0] == "id,class,pixels,share"
    assert csv.headers["content-type"].startswith("text/csv")
    response = client.post("/predict", content=png, headers={"accept": "audio/mp3"})
    assert response.status_code == 406 and "audio/mp3" in response.json()["error"]


@pytest.mark.parametrize("name", endpoints.FORMATS)
def test_every_format_is_what_it_says(client, png, name):
    response = client.post(f"/predict?format={name}", content=png)
    assert response.status_code == 200
    kind = response.headers["content-type"].partition(";")[0]
    assert kind == endpoints.FORMATS[name]
    if kind == "image/png":
        assert response.content.startswith(b"\x89PNG")
    elif "json" in kind:
        assert response.json()


def test_formats_are_those_of_the_api():
    assert set(endpoints.FORMATS) - {"csv"} == set(OUTPUTS) - {"probabilities"}


def test_how_an_overlay_is_drawn(client, png, expected):
    plain = pixels(client.post("/predict?format=overlay&opacity=0", content=png))
    np.testing.assert_array_equal(plain[:, :128], expected.image)
    name = expected.areas()[0]["class"]
    drawn = pixels(client.post(f"/predict?format=overlay&opacity=1&classes={name}", content=png))
    changed = (drawn[:, :128] != expected.image).any(axis=2)
    assert changed.any() and not changed[expected.labels != expected.areas()[0]["id"]].any()


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("format=overlays", "no format is called 'overlays'; did you mean 'overlay'?"),
        ("opacity=2", "opacity '2' is no number from 0 to 1."),
        ("opacity=nan", "opacity 'nan' is no number"),
        ("classes=Raod", "no class is called 'Raod'; did you mean 'Road'?"),
        ("aug_test=maybe", "aug_test 'maybe' is neither true nor false."),
        ("path=/etc/passwd", "/predict takes no 'path'"),
    ],
)
def test_wrong_questions(client, png, query, told):
    response = client.post(f"/predict?{query}", content=png)
    assert response.status_code == 400 and told in response.json()["error"]


@pytest.mark.parametrize(
    ("content", "status", "told"),
    [
        (b"", 400, "is empty"),
        (b"GIF89a", 415, "is no image"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 99, 422, ""),
        (b"\xff" * (2 << 20), 413, "1 MiB"),
        (b"\xff" * ((1 << 20) + 1), 413, "1 MiB"),
    ],
)
def test_wrong_bodies(client, content, status, told):
    response = client.post("/predict", content=content)
    assert response.status_code == status and told in response.json()["error"]


def test_forms_without_a_file_or_with_two(client, png):
    assert client.post("/predict", data={"a": "b"}, files={}).status_code in (400, 415)
    two = [("a", ("a.png", png)), ("b", ("b.png", png))]
    assert client.post("/predict", files=two).status_code == 400
    response = client.post("/predict", files={"a": (None, "text")})
    assert response.status_code == 400 and "the form has no file" in response.json()["error"]


def test_faults_of_the_program_tell_nothing(client, served, png, monkeypatch, caplog):
    def fail(*_):
        raise KeyError("/home/me/secret")

    monkeypatch.setattr(served[1], "label", fail)
    with caplog.at_level(logging.ERROR):
        response = client.post("/predict", content=png)
    assert response.status_code == 500 and "secret" not in response.text
    assert "secret" in caplog.text


def test_nothing_is_left_of_a_request(client, served, png):
    client.post("/predict?format=overlay", content=png)
    assert served[2].bytes_kept() == 0 and list(served[2].folder.iterdir()) == []
