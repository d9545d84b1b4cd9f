"""The page and its HTTP, of a small model."""

import cv2
import numpy as np
import pytest

from mmseg_gc.serve.limits import Limits
from mmseg_gc.serve.uploads import Scratch
from mmseg_gc.serve.worker import Worker

LIMITS = Limits(max_bytes=1 << 20, max_pixels=200_000, max_frames=20, rate=1000, seconds=60)


@pytest.fixture(scope="session")
def png() -> bytes:
    """A street as one draws it: sky, houses, a road."""
    image = np.full((96, 128, 3), 90, np.uint8)
    image[:40], image[20:60, 10:40], image[20:60, 80:120] = (230, 180, 120), (60, 60, 160), 70
    noise = np.random.default_rng(0).integers(0, 20, image.shape, np.uint8)
    return cv2.imencode(".png", image + noise)[1].tobytes()


@pytest.fixture(scope="module")
def served(tiny_model):
    """``app, worker, scratch``."""
    pytest.importorskip("gradio", reason="needs gradio: pip install -r requirements/serve.txt")
    from mmseg_gc.serve.web_page import build_app

    worker = Worker(tiny_model, LIMITS)
    with pytest.MonkeyPatch.context() as patch, Scratch() as scratch:
        patch.setenv("GRADIO_TEMP_DIR", "")  # back to what it was, afterwards
        yield build_app(worker, LIMITS, scratch, "streets"), worker, scratch
    worker.close()
