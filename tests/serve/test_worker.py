import threading
from dataclasses import replace

import cv2
import numpy as np
import pytest

from mmseg_gc.apis.predict import predict
from mmseg_gc.serve.limits import Limits, Refused
from mmseg_gc.serve.worker import Asked, Worker

LIMITS = Limits(max_pixels=10_000, max_frames=4, seconds=60, queue=2)


@pytest.fixture
def worker(tiny_model):
    worker = Worker(tiny_model, LIMITS)
    yield worker
    worker.close()


@pytest.fixture(scope="module")
def png() -> bytes:
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    return cv2.imencode(".png", image)[1].tobytes()


def write_video(path, num_frames: int, size=(64, 48)):
    draw = np.random.default_rng(0)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 5, size)
    for _ in range(num_frames):
        writer.write(draw.integers(0, 256, (*size[::-1], 3), np.uint8))
    writer.release()
    return path


def test_an_image_is_labelled_as_by_predict(worker, tiny_model, png):
    found = worker.label(png, Asked(opacity=0.25, drawn=frozenset({3})))
    expected = predict(tiny_model, png, opacity=0.25)
    np.testing.assert_array_equal(found.labels, expected.labels)
    expected.drawn = frozenset({3})
    np.testing.assert_array_equal(found.overlay(), expected.overlay())
    assert worker.num_requests == 0


def test_a_broken_image_is_told_of_in_one_sentence(worker, png):
    with pytest.raises(Refused, match=r"^an image \(\d+ bytes\) is no readable image") as refused:
        worker.label(png[:300] + b"\0" * 50 + png[350:], Asked())
    assert refused.value.status == 422 and "/" not in str(refused.value)


def test_too_many_wait(worker, png):
    hold, held = threading.Event(), threading.Event()

    def work(deadline):
        held.set()
        hold.wait(30)

    threads = [threading.Thread(target=worker._run, args=(work,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    held.wait(30)
    while worker.num_requests < 2:
        pass
    with pytest.raises(Refused, match="2 requests are waiting") as refused:
        worker.label(png, Asked())
    assert refused.value.status == 503 and refused.value.retry_after > 0
    hold.set()
    for thread in threads:
        thread.join()
    worker.label(png, Asked())


def test_a_request_takes_no_longer_than_it_may(tiny_model, png):
    worker, hold = Worker(tiny_model, replace(LIMITS, seconds=0.1)), threading.Event()
    with pytest.raises(Refused, match=r"took longer than 0\.1 s") as refused:
        worker._run(lambda deadline: hold.wait(30))
    assert refused.value.status == 504
    hold.set()
    worker.close()


def test_a_video_comes_back_drawn_with_areas(worker, tmp_path):
    path, done = write_video(tmp_path / "trip.mp4", 3), []
    target = tmp_path / "overlay.webm"
    rows, palette = worker.label_video(path, target, Asked(), lambda *told: done.append(told))
    assert done == [(1, 3), (2, 3), (3, 3)] and palette.shape == (11, 3)
    assert {row["frame"] for row in rows} == {0, 1, 2}
    assert sum(row["pixels"] for row in rows) == 3 * 48 * 64
    capture = cv2.VideoCapture(str(target))
    assert sum(capture.read()[0] for _ in range(5)) == 3
    assert target.read_bytes()[:4] == b"\x1a\x45\xdf\xa3"  # which browsers show
    assert sorted(p.name for p in tmp_path.iterdir()) == ["overlay.webm", "trip.mp4"]


@pytest.mark.parametrize(
    ("make", "status", "told"),
    [
        (lambda path: path.write_bytes(b"#EXTM3U\nfile:///etc/passwd"), 415, "is no video"),
        (lambda path: path.write_bytes(b"\0\0\0\x20ftypisom" + b"\0" * 99), 422, "has no frame"),
        (lambda path: write_video(path, 5), 413, "has 5 frames and at most 4"),
        (lambda path: write_video(path, 1, (320, 240)), 422, "320 x 240 pixels and at most 0.01"),
    ],
)
def test_videos_that_are_refused_leave_nothing(worker, tmp_path, make, status, told):
    path = tmp_path / "v.mp4"
    make(path)
    with pytest.raises(Refused, match=told) as refused:
        worker.label_video(path, tmp_path / "overlay.webm", Asked())
    assert refused.value.status == status and str(tmp_path) not in str(refused.value)
    assert [p.name for p in tmp_path.iterdir()] == ["v.mp4"]


def test_a_video_ends_with_its_time(tiny_model, tmp_path):
    worker = Worker(tiny_model, replace(LIMITS, seconds=30))
    with pytest.raises(Refused, match="took longer"):
        worker._video(write_video(tmp_path / "v.mp4", 3), tmp_path / "o.webm", Asked(), None, 0.0)
    assert [p.name for p in tmp_path.iterdir()] == ["v.mp4"]
    worker.close()
