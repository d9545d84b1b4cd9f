import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData

from mmseg_gc.colors import bright_colors
from mmseg_gc.structures import SegDataSample
from mmseg_gc.visualization import SegLocalVisualizer
from mmseg_gc.visualization.local_visualizer import overlay


def test_overlay_blends_known_classes_and_leaves_the_rest():
    image = np.full((1, 3, 3), 100, np.uint8)
    palette = np.array([[200, 0, 0], [0, 0, 50]], np.uint8)
    drawn = overlay(image, np.array([[0, 1, 255]], np.uint8), palette, alpha=0.5)
    assert drawn.tolist() == [[[150, 50, 50], [50, 50, 75], [100, 100, 100]]]


@pytest.fixture
def sample():
    labels = torch.zeros(1, 20, 30, dtype=torch.uint8)
    return SegDataSample(gt_sem_seg=PixelData(data=labels), pred_sem_seg=PixelData(data=labels + 1))


def test_labels_left_and_prediction_right(sample, tmp_path):
    visualizer = SegLocalVisualizer(classes=["a", "b"], palette=[[255, 0, 0], [0, 0, 255]], alpha=1)
    image = np.zeros((20, 30, 3), np.uint8)
    out = tmp_path / "folder" / "drawn.png"
    visualizer.add_datasample("x", image, sample, with_labels=False, out_file=str(out))
    drawn = cv2.imread(str(out))[..., ::-1]
    assert drawn.shape == (20, 60, 3)
    assert (drawn[:, :30] == (255, 0, 0)).all() and (drawn[:, 30:] == (0, 0, 255)).all()


def test_names_are_written_only_on_request(sample):
    visualizer = SegLocalVisualizer(classes=["a", "b"], palette=[[9, 9, 9], [8, 8, 8]], alpha=1)
    image = np.zeros((20, 30, 3), np.uint8)
    plain = visualizer.add_datasample("x", image, sample, with_labels=False)
    named = visualizer.add_datasample("x", image, sample, with_labels=True)
    assert set(np.unique(plain)) == {8, 9}
    assert named.max() > 200


def test_known_data_set_by_name_and_fallback_colours(sample):
    known = SegLocalVisualizer(dataset_name="CityscapesDataset")
    assert known.dataset_meta["classes"][0] == "road"
    unknown = SegLocalVisualizer(alpha=1)
    drawn = unknown.add_datasample("x", np.zeros((20, 30, 3), np.uint8), sample)
    assert drawn[0, 30].tolist() == bright_colors(2)[1].tolist()


@pytest.mark.parametrize(("shape", "dtype"), [((20, 30, 10), "f4"), ((20, 30), "u2")])
def test_images_that_no_screen_can_show_are_drawn(sample, tmp_path, shape, dtype):
    image = (np.random.default_rng(0).random(shape) * 200).astype(dtype)
    drawn = SegLocalVisualizer(classes=["a", "b"]).add_datasample(
        "x", image, data_sample=sample, out_file=str(tmp_path / "x.png")
    )
    assert drawn.shape == (20, 60, 3) and drawn.dtype == np.uint8
    assert cv2.imread(str(tmp_path / "x.png")).shape == (20, 60, 3)
