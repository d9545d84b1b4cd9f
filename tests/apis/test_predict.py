"""Images of every kind to predictions, and to files."""

import http.server
import threading
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_gc.apis import inference_model, init_model, pixels, predict
from mmseg_gc.apis.predict_files import FileWriter
from mmseg_gc.apis.videos import Video
from mmseg_gc.errors import UserError


@pytest.fixture
def images(tmp_path) -> list[Path]:
    """Five images, of which the third has another size."""
    paths = []
    for index in range(5):
        size = (40, 56) if index == 2 else (48, 64)
        pixels = np.random.default_rng(index).integers(0, 256, (*size, 3), dtype=np.uint8)
        pixels = cv2.GaussianBlur(pixels, (0, 0), 4)
        paths.append(tmp_path / "in" / f"{index}.png")
        paths[-1].parent.mkdir(exist_ok=True)
        cv2.imwrite(str(paths[-1]), cv2.normalize(pixels, None, 0, 255, cv2.NORM_MINMAX))
    return paths


@pytest.fixture
def video(tmp_path) -> Path:
    path = tmp_path / "v.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 8, (64, 48))
    for index in range(6):
        writer.write(np.full((48, 64, 3), 40 * index, np.uint8))
    writer.release()
    return path


@pytest.fixture
def server(images):
    """Serves the images, and what leads to a file of the host."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/trap":
                self.send_response(302)
                self.send_header("Location", f"file://{images[0]}")
                self.end_headers()
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(images[0].read_bytes())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def reference(model, path) -> np.ndarray:
    return inference_model(model, str(path)).pred_sem_seg.data[0].numpy()


def test_a_model_is_made_without_a_word_on_stdout(tiny_files, capsys):
    init_model(*tiny_files)
    out, err = capsys.readouterr()
    assert out == "" and "Inference on cpu" in err


def test_one_image_of_each_kind(tiny_model, images, server):
    expected = reference(tiny_model, images[0])
    assert len(np.unique(expected)) > 1
    pixels = cv2.imread(str(images[0]))
    kinds = images[0], str(images[0]), images[0].read_bytes(), pixels, f"{server}/a.png"
    for image in (*kinds, Image.open(images[0])):
        found = predict(tiny_model, image)
        assert np.array_equal(found.labels, expected)
        assert np.array_equal(found.image, pixels[..., ::-1])


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_batches_of_equal_sizes_keep_the_order(tiny_model, images, monkeypatch, batch_size):
    sizes, step = [], tiny_model.test_step
    monkeypatch.setattr(
        tiny_model, "test_step", lambda data: sizes.append(len(data["inputs"])) or step(data)
    )
    found = predict(tiny_model, [str(path) for path in images], batch_size=batch_size)
    assert sizes == {1: [1] * 5, 2: [2, 1, 2], 8: [2, 1, 2]}[batch_size]
    monkeypatch.undo()
    for one, path in zip(found, images, strict=True):
        assert one.name == path.name
        assert (one.labels == reference(tiny_model, path)).mean() > 0.999


def test_folders_and_patterns(tiny_model, images):
    folder = images[0].parent
    assert [one.name for one in predict(tiny_model, folder)] == [p.name for p in images]
    assert [p.name for p in predict(tiny_model, [f"{folder}/[34].png"])] == ["3.png", "4.png"]
    with pytest.raises(UserError, match=r"no file matches .*\*\.gif"):
        predict(tiny_model, f"{folder}/*.gif")
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match="no image found"):
        predict(tiny_model, folder / "empty")


def test_an_endless_iterator_is_not_read_to_its_end(tiny_model):
    asked = []

    def frames():
        for index in count():
            asked.append(index)
            yield np.full((32, 32, 3), index % 255, np.uint8)

    found = predict(tiny_model, frames())
    assert [next(found).name for _ in range(3)] == ["00000000", "00000001", "00000002"]
    found.close()
    assert len(asked) < 30


def test_confidence_entropy_and_probabilities(tiny_model, images):
    maps = predict(tiny_model, images[0], outputs=["confidence", "entropy", "probabilities"])
    before = dict(tiny_model.test_cfg)
    tiny_model.test_cfg["return_logits"] = True
    logits = inference_model(tiny_model, str(images[0])).seg_logits.data.double()
    tiny_model.test_cfg.pop("return_logits")
    assert dict(tiny_model.test_cfg) == before
    shares = (logits - logits.logsumexp(0)).exp().numpy()
    np.testing.assert_allclose(maps.confidence, shares.max(axis=0), atol=1e-4)
    entropy = -(shares * np.log(shares)).sum(axis=0) / np.log(11)
    np.testing.assert_allclose(maps.entropy, entropy, atol=1e-4)
    np.testing.assert_allclose(maps.probabilities, shares, atol=1e-3)
    assert maps.probabilities.dtype == np.float16
    assert predict(tiny_model, images[0]).confidence is None


def test_views_are_averaged(tiny_model, images):
    one = predict(tiny_model, images[0], aug_test=True, outputs=["probabilities"], batch_size=4)
    expected = inference_model(tiny_model, str(images[0]), aug_test=True)
    assert torch.equal(torch.from_numpy(one.labels), expected.pred_sem_seg.data[0])
    np.testing.assert_allclose(one.probabilities.sum(axis=0, dtype=float), 1, atol=0.01)


def test_bad_input_is_one_sentence(tiny_model, images, server):
    for image, told in (
        (f"{server}/trap", "trap can't be fetched"),
        (images[0].read_bytes()[:100], "an image"),
        ("nowhere.png", "nowhere.png can't be read"),
        (images[0], "no output is called 'overly'; did you mean 'overlay'"),
    ):
        with pytest.raises(UserError, match=told) as error:
            predict(tiny_model, image, outputs=["overly" if image == images[0] else "ids"])
        assert "\n" not in str(error.value)


def test_what_an_address_gives_ends_and_its_password_is_not_told(tiny_model, server, monkeypatch):
    def slow(response):
        raise TimeoutError("only 3 bytes came in 31 s")

    secret = server.replace("http://", "http://me:sesame@")
    with pytest.raises(UserError, match="trap can't be fetched") as error:
        predict(tiny_model, f"{secret}/trap")
    assert "sesame" not in str(error.value) and error.value.__cause__ is None
    monkeypatch.setattr(pixels, "MAX_BYTES", 10)
    with pytest.raises(UserError, match="has more than"):
        predict(tiny_model, f"{server}/0.png")
    monkeypatch.setattr(pixels, "chunks", slow)
    with pytest.raises(UserError, match=r"can't be fetched \(only 3 bytes came"):
        predict(tiny_model, f"{server}/0.png")


def test_files_of_every_output(tiny_model, images, tmp_path):
    outputs = [
        "overlay", "ids", "colour", "confidence", "entropy", "probabilities", "areas", "geojson",
        "coco", "labelme",
    ]  # fmt: skip
    images[1].write_bytes(images[1].read_bytes()[:80])
    write = FileWriter(tiny_model, tmp_path / "out", outputs, batch_size=2, show_progress=False)
    results = list(write([str(images[0].parent)]))
    [broken] = [result.error for result in results if result.error]
    assert str(images[1]) in broken
    found = {
        name: sorted(path.stem for path in (tmp_path / "out" / name).iterdir()) for name in outputs
    }
    assert found == dict.fromkeys(outputs, ["0", "2", "3", "4"])
    ids = cv2.imread(str(tmp_path / "out/ids/3.png"), cv2.IMREAD_UNCHANGED)
    assert (ids == reference(tiny_model, images[3])).mean() > 0.999
    lines = (tmp_path / "out/areas.csv").read_text().splitlines()
    assert lines[0] == "image,id,class,pixels,share"
    assert sum(int(line.split(",")[3]) for line in lines[1:]) == 3 * 48 * 64 + 40 * 56


def test_what_is_there_is_left_out(tiny_model, images, tmp_path, monkeypatch):
    options = dict(show_progress=False, skip_existing=True)
    write = FileWriter(tiny_model, tmp_path / "out", ["ids", "areas"], **options)
    assert len(list(write([str(images[0]), str(images[2])]))) == 2
    (tmp_path / "out/ids/0.png").write_bytes(b"half")
    results = list(write([str(images[0].parent)]))
    assert [Path(r.source).name for r in results if r.skipped] == ["2.png"]
    assert not any(r.error for r in results)
    table = (tmp_path / "out/areas.csv").read_text()
    assert {line.split(",")[0] for line in table.splitlines()[1:]} == set("01234")


def test_a_video_becomes_a_video(tiny_model, video, tmp_path):
    write = FileWriter(tiny_model, tmp_path / "out", ["overlay", "ids", "areas"], batch_size=2)
    [result] = write([str(video)])
    assert (result.num_frames, result.error) == (6, "")
    made = Video(tmp_path / "out/overlay/v.mp4")
    assert made.rate == 8 and len(list(made)) == 6
    assert len(list((tmp_path / "out/ids/v").iterdir())) == 6
    rows = (tmp_path / "out/areas/v_areas.csv").read_text().splitlines()[1:]
    pixels = [0] * 6
    for row in rows:
        pixels[int(row.split(",")[0])] += int(row.split(",")[3])
    assert pixels == [48 * 64] * 6
    pieces = (tmp_path / "out/areas/v_components.csv").read_text().splitlines()
    assert pieces[0].startswith("frame,id,class,pixels,x,y,width,height")
    assert {row.split(",")[0] for row in pieces[1:]} == set("012345")
    write = FileWriter(tiny_model, tmp_path / "short", max_frames=2, show_progress=False)
    assert [one.num_frames for one in write([str(video)])] == [2]


def test_videos_that_are_none(tiny_model, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"nothing")
    write = FileWriter(tiny_model, tmp_path / "out", show_progress=False)
    with pytest.raises(UserError, match=r"bad\.mp4 has no frame that OpenCV can read"):
        list(write([str(tmp_path / "bad.mp4")]))
    with pytest.raises(UserError, match=r"video .*none\.mp4 doesn't exist"):
        list(write([str(tmp_path / "none.mp4")]))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("97", "webcam 97 can't be opened: see that it is plugged in"),
        ("rtsp://127.0.0.1:9/x", "stream rtsp://127.0.0.1:9/x can't be opened; check the address"),
    ],
)
def test_a_source_that_is_not_there_is_one_sentence(capfd, source, told):
    with pytest.raises(UserError, match=told):
        Video(source)
    assert capfd.readouterr() == ("", "")  # OpenCV and FFmpeg print by themselves


def test_a_video_that_breaks_off_leaves_no_file(tiny_model, video, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("the network is gone")

    monkeypatch.setattr(tiny_model, "test_step", fail)
    write = FileWriter(tiny_model, tmp_path / "out", show_progress=False)
    with pytest.raises(UserError, match="the network is gone"):
        list(write([str(video)]))
    assert list((tmp_path / "out/overlay").iterdir()) == []
