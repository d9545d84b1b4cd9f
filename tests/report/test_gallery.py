"""Which images the report shows, whatever the order and the process they come from."""

import base64
import pickle
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image

from mmseg_gc.report.gallery import IGNORED, RIGHT, SHOWN, WRONG, Gallery, draw_layers


def decoded(address: str) -> np.ndarray:

    content = base64.b64decode(address.partition("base64,")[2])
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)


def paths(gallery: Gallery) -> list[list[str]]:
    return [[path for path, _ in images] for images in gallery.sorted()]


def test_best_and_worst_by_threads_and_processes():
    scores = np.random.default_rng(0).permutation(60) / 60
    drawn = []
    galleries = [Gallery(), Gallery()]
    with ThreadPoolExecutor(4) as pool:
        for number, score in enumerate(scores):
            draw = lambda number=number: drawn.append(number) or f"layers {number}"  # noqa: E731
            pool.submit(galleries[number % 2].offer, score, f"{number:02d}", draw)
    galleries[0].offer(float("nan"), "none", lambda: pytest.fail("no score"))
    whole, other = pickle.loads(pickle.dumps(galleries))  # as processes send them
    whole.take(other)
    order = [f"{number:02d}" for number in np.argsort(scores)]
    assert paths(whole) == [order[:SHOWN], order[::-1][:SHOWN]]
    assert len(drawn) < 60


def test_layers(tmp_path):
    Image.fromarray(np.full((600, 960, 3), (200, 100, 50), np.uint8)).save(tmp_path / "a.png")
    label = np.zeros((600, 960), np.uint8)
    label[:, 480:] = 1
    label[:60] = 11
    pred = np.zeros_like(label)
    palette = [(10, 20, 30), (40, 50, 60)]
    rules = dict(palette=palette, num_classes=2, ignore_index=11)
    layers = draw_layers(str(tmp_path / "a.png"), pred, label, **rules)
    assert (layers.width, layers.height) == (480, 300)
    photo, truth, found, errors = (
        decoded(one) for one in (layers.image, layers.label, layers.prediction, layers.errors)
    )
    assert photo.shape == (300, 480, 3) and np.abs(photo[9, 9] - (50.0, 100, 200)).max() < 4
    left, right, top = (200, 100), (200, 400), (5, 5)
    assert [truth[p][2::-1].tolist() for p in (left, right, top)] == [
        [10, 20, 30],
        [40, 50, 60],
        list(IGNORED[:3]),
    ]
    assert found[right][2::-1].tolist() == [10, 20, 30]
    wanted = [list(color[:3]) for color in (RIGHT, WRONG, IGNORED)]
    assert [errors[p][2::-1].tolist() for p in (left, right, top)] == wanted
