"""Drawing while validating and testing: files of any kind, and none that stops the test."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData

from mmseg_gc.datasets.transforms import drawing
from mmseg_gc.engine.hooks import SegVisualizationHook
from mmseg_gc.structures import SegDataSample
from mmseg_gc.visualization import SegLocalVisualizer


@pytest.fixture
def draw(tmp_path):
    visualizer = SegLocalVisualizer.get_instance(f"drawn_{tmp_path.name}", alpha=0.0)
    visualizer.set_dataset_meta(classes=["a"], palette=[[9, 9, 9]])

    def run(path: Path, **sizes) -> np.ndarray:
        sample = SegDataSample(metainfo={"img_path": str(path), **sizes})
        sample.pred_sem_seg = PixelData(data=torch.full((1, 8, 10), 255, dtype=torch.uint8))
        hook = SegVisualizationHook(draw=True, out_dir=str(tmp_path / "drawn"))
        hook.after_test_iter(SimpleNamespace(visualizer=visualizer), 0, None, [sample])
        return cv2.imread(str(tmp_path / "drawn" / f"{path.stem}.png"))

    return run


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_eight_bits_are_drawn_as_they_are(draw, tmp_path, suffix):
    path = tmp_path / f"image.{suffix}"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (8, 10, 3)).astype(np.uint8))
    assert (draw(path, ori_shape=(8, 10)) == cv2.imread(str(path))).all()


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_more_bits_are_stretched(draw, tmp_path, dtype):
    pixels = np.zeros((8, 10, 3), dtype)
    pixels[:, 5:] = 4000
    cv2.imwrite(str(tmp_path / "image.tif"), pixels)
    drawn = draw(tmp_path / "image.tif", ori_shape=(8, 10))
    assert (drawn[:, :5] == 0).all() and (drawn[:, 5:] == 255).all()


@pytest.mark.parametrize("planes", [None, "contig", "separate"])
def test_the_first_three_of_ten_bands(draw, tmp_path, planes):
    tifffile = pytest.importorskip("tifffile")
    pixels = np.zeros((8, 10, 6), np.float32)
    pixels[:, 5:, 1] = 1
    stored = pixels.transpose(2, 0, 1) if planes == "separate" else pixels
    options = {"planarconfig": planes, "photometric": "minisblack"} if planes else {}
    tifffile.imwrite(tmp_path / "image.tif", stored, **options)
    drawn = draw(tmp_path / "image.tif", ori_shape=(8, 10))
    assert (drawn[..., 1] == pixels[..., 1] * 255).all() and not drawn[..., ::2].any()


def test_what_only_the_user_s_loader_reads_is_black(draw, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(drawing, "warn", said.append)
    monkeypatch.setattr(drawing, "is_first", lambda key: not said)
    for name in ("a.npy", "b.npy"):
        np.save(tmp_path / name, np.ones((8, 10)))
        assert not draw(tmp_path / name, ori_shape=(8, 10)).any()
    cv2.imwrite(str(tmp_path / "other.png"), np.ones((4, 4, 3), np.uint8))
    assert draw(tmp_path / "other.png", ori_shape=(8, 10)).shape == (8, 10, 3)
    assert len(said) == 1 and "a.npy" in said[0]


def test_without_a_size_an_unreadable_file_is_an_error(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(drawing.UserError, match=r"a\.png"):
        drawing.read_for_drawing(str(tmp_path / "a.png"))


class Drawn:
    """A visualizer that keeps names and options of what it is given."""

    def __init__(self):
        self.calls = []

    def add_datasample(self, name, image, **options):
        self.calls.append((name, options["step"], options["show"], options["wait_time"]))


@pytest.fixture
def drawn_of(tmp_path):
    """What six validation batches of one image, or two test batches of two, make a hook draw."""
    samples = []
    for name in "abcdef":
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((4, 5, 3), np.uint8))
        meta = {"img_path": str(tmp_path / f"{name}.png"), "ori_shape": (4, 5)}
        samples.append(SegDataSample(metainfo=meta))

    def run(mode: str, **options) -> list[tuple]:
        visualizer, hook = Drawn(), SegVisualizationHook(**options)
        runner = SimpleNamespace(visualizer=visualizer, iter=100)
        if mode == "val":
            for index, sample in enumerate(samples):
                hook.after_val_iter(runner, index, None, [sample])
        else:
            for index in range(2):
                hook.after_test_iter(runner, index, None, samples[2 * index : 2 * index + 2])
        return visualizer.calls

    return run


def test_every_so_many_validation_batches_are_drawn(drawn_of):
    assert drawn_of("val", draw=True, interval=3) == [
        ("val_a", 100, False, 0.0),
        ("val_d", 103, False, 0.0),
    ]
    assert [name for name, *_ in drawn_of("val", draw=True)] == ["val_a"]  # 50 batches apart


def test_every_image_of_a_test_is_drawn(drawn_of):
    found = drawn_of("test", draw=True, show=True, wait_time=0.5)
    assert found == [(f"test_{name}", step, True, 0.5) for step, name in enumerate("abcd", 1)]


@pytest.mark.parametrize("mode", ["val", "test"])
def test_nothing_is_drawn_unless_asked(drawn_of, mode):
    assert drawn_of(mode, interval=1) == []
