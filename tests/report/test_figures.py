"""The report's figures beside `IoUMetric`, and beside numpy and scipy written another way."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.spatial.distance import cdist

from mmseg_gc.errors import UserError
from mmseg_gc.evaluation import IoUMetric
from mmseg_gc.report.boundary import band_width, boundary_counts, small_distances
from mmseg_gc.report.figures import RunFigures, image_score, measure

CLASSES = ["sky", "road", "car", "pole", "nowhere"]


def scenes(ignored: int, count: int = 3, dtype: type = np.uint8) -> list[tuple]:
    """Pairs of prediction and label, (40, 50), of which the last class is nowhere."""
    draw = np.random.default_rng(0)
    found = []
    for _ in range(count):
        label = np.kron(draw.integers(0, 4, (5, 5)), np.ones((8, 10))).astype(dtype)
        pred = np.roll(label, draw.integers(1, 4, 2), (0, 1))
        pred[draw.random(pred.shape) < 0.05] = 2
        label[:6] = ignored
        found.append((pred, label))
    return found


def figures_of(pairs: list[tuple], ignore_index: int) -> RunFigures:
    images = [
        measure(f"{i}.png", pred, label, num_classes=len(CLASSES), ignore_index=ignore_index)
        for i, (pred, label) in enumerate(pairs)
    ]
    return RunFigures(images, CLASSES, ignore_index)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
@pytest.mark.parametrize("ignored", [255, 2])  # the second is the id of a class
def test_they_are_the_metric_s(ignored, dtype):
    pairs = scenes(ignored, dtype=dtype)
    metric = IoUMetric(ignore_index=ignored, iou_metrics=["mIoU", "mFscore"])
    metric.dataset_meta = {"classes": CLASSES}
    for pred, label in pairs:
        data = [torch.from_numpy(ids)[None] for ids in (pred, label)]
        keys = ("pred_sem_seg", "gt_sem_seg")
        sample = {key: {"data": ids} for key, ids in zip(keys, data, strict=True)}
        metric.process({}, [{**sample, "img_path": "x.png"}])
    means = metric.evaluate(len(pairs))
    run = figures_of(pairs, ignored)
    assert run.confusion.tolist() == metric.confusion.tolist()
    for name, value in means.items():
        assert 100 * run.means[name] == pytest.approx(value, abs=0.0051), name
    for name in ("IoU", "Acc", "Fscore", "Precision", "Recall"):
        np.testing.assert_allclose(100 * run.by_class[name], metric.class_values[name])
    assert np.isnan(run.by_class["IoU"][4])


def test_each_image_by_hand():
    pairs = scenes(255)
    run = figures_of(pairs, 255)
    for number, (pred, label) in enumerate(pairs):
        counts = label != 255
        ious = []
        for c in range(5):
            union = ((pred == c) | (label == c)) & counts
            both = (pred == c) & (label == c) & counts
            ious.append(both.sum() / union.sum() if union.any() else np.nan)
        np.testing.assert_allclose(run.image_iou[number], ious)
        assert run.image_means[number] == pytest.approx(np.nanmean(ious))
        assert image_score(run.images[number], 5, 255) == run.image_means[number]
        assert run.image_accuracy[number] == pytest.approx((pred == label)[counts].mean())
        assert run.images[number].ignored == 6 * 50


def test_images_of_an_error_are_those_that_have_most_of_it():
    pairs = scenes(255, count=12)
    run = figures_of(pairs, 255)
    of_error = [((label == 1) & (pred == 2)).sum() for pred, label in pairs]
    order = sorted(range(12), key=lambda n: (-of_error[n], n))
    expected = [(n, of_error[n]) for n in order if of_error[n]][:8]
    assert run.images_of_errors[1 * 5 + 2] == expected
    assert 0 * 5 + 0 not in run.images_of_errors


@pytest.mark.parametrize("ignored", [None, (10, 25)])
def test_boundary_iou_by_scipy(ignored):
    """Erosion by a square, the border being an edge; what is near an ignored pixel is left out."""
    pred, label = scenes(0, count=1)[0]
    if ignored:
        label[ignored] = 255
    width = band_width(40, 50)
    assert width == 1 == round(0.02 * (40**2 + 50**2) ** 0.5)
    square = np.ones((3, 3))
    near = ndimage.binary_dilation(label == 255, square, iterations=width)
    counts = boundary_counts(pred, label, 5, 255)
    for c in range(5):
        bands = []
        for mask in (pred == c, label == c):
            inner = ndimage.binary_erosion(mask, square, iterations=width, border_value=0)
            bands.append(mask & ~inner & ~near)
        assert counts[c].tolist() == [(bands[0] & bands[1]).sum(), (bands[0] | bands[1]).sum()]
    assert counts[:4, 1].all() and not counts[4].any()


def test_a_wide_band_and_the_border():
    """An image of one class, 100 x 100: the band is 3 wide, all around."""
    label = np.zeros((100, 100), np.uint8)
    assert band_width(100, 100) == 3
    assert boundary_counts(label, label, 2, 255).tolist() == [[100**2 - 94**2] * 2, [0, 0]]


def test_small_distances_by_all_pairs():
    label = np.zeros((60, 80), np.uint8)
    label[10:14, 10:20] = 1  # 40 of 4800 pixels
    label[40:60, 40:80] = 2  # is no small structure
    label[30, 5:8] = 3  # isn't found
    pred = np.zeros_like(label)
    pred[12:17, 11:24] = 1
    pred[label == 2] = 2

    def surface(mask):
        return np.argwhere(mask & ~ndimage.binary_erosion(mask, np.ones((3, 3))))

    pairs = cdist(surface(pred == 1), surface(label == 1))
    wanted = max(np.percentile(pairs.min(axis=axis), 95) for axis in (0, 1))
    found = small_distances(pred, label, 5, 255)
    assert found == {1: pytest.approx(wanted, rel=1e-4)}
    run = figures_of([(pred, label)] * 2, 255)
    assert [len(values) for values in run.distances] == [0, 2, 0, 0, 0]


def test_ids_outside_the_classes_are_named():
    pred, label = scenes(255, count=1)[0]
    label[8, 8] = 77
    with pytest.raises(UserError, match=r"a\.png: label ids \[77\] are outside the 5 classes"):
        measure("a.png", pred, label, num_classes=5, ignore_index=255)


def test_nothing_but_ignored_pixels():
    label = np.full((4, 4), 255, np.uint8)
    run = figures_of([(np.zeros_like(label), label)], 255)
    assert np.isnan(run.means["mIoU"]) and np.isnan(run.image_means).all()
    assert figures_of([], 255).images_of_errors == {}
