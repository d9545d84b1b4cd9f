"""The forms of a prediction, on label maps that are known."""

import json

import cv2
import numpy as np
import pytest

from mmseg_gc.apis import Prediction
from mmseg_gc.datasets import BaseSegDataset
from mmseg_gc.errors import UserError

META = dict(classes=("background", "cell"), palette=[[0, 0, 0], [200, 100, 0]])


@pytest.fixture
def prediction() -> Prediction:
    labels = np.zeros((40, 60), np.uint8)
    labels[10:30, 20:50] = 1
    image = np.full((40, 60, 3), 100, np.uint8)
    return Prediction(labels, META, "a.png", image, scale=2.0)


def test_overlay_is_half_through_and_leaves_the_background(prediction):
    drawn = prediction.overlay(legend=False)
    assert (drawn[0, 0] == 100).all()
    assert drawn[20, 30].tolist() == [150, 100, 50]
    assert prediction.overlay(opacity=1.0, legend=False)[20, 30].tolist() == [200, 100, 0]


def test_legend_stands_beside_the_image_with_the_classes_that_are_in_it(prediction):
    drawn = prediction.overlay()
    assert drawn.shape[0] == 40 and drawn.shape[1] > 60
    panel = drawn[:, 60:].reshape(-1, 3)
    assert (panel == [200, 100, 0]).all(axis=1).sum() > 50  # the swatch
    plain = Prediction(np.zeros((40, 60), np.uint8), META, image=prediction.image)
    assert plain.overlay().shape == (40, 60, 3)


def test_areas_and_polygons(prediction):
    assert {row["class"]: row["m2"] for row in prediction.areas()}["cell"] == 600 * 4
    assert prediction.areas(scale=1.0)[1]["m2"] == 600
    [piece] = prediction.areas(components=True)
    assert piece["pixels"] == 600
    [one] = prediction.polygons()
    assert one["pixels"] == 600 and one["class"] == "cell"
    assert prediction.polygons(min_area=601) == []
    [feature] = prediction.to_geojson()["features"]
    ring = feature["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1] and len(ring) == 5


def test_saved_by_suffix_or_by_name(prediction, tmp_path):
    prediction.save(tmp_path / "o.png")
    assert cv2.imread(str(tmp_path / "o.png")).shape[0] == 40
    prediction.save(tmp_path / "ids.png", "ids")
    ids = cv2.imread(str(tmp_path / "ids.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(ids, prediction.labels)
    prediction.save(tmp_path / "a.geojson")
    assert json.loads((tmp_path / "a.geojson").read_text()) == prediction.to_geojson()
    with pytest.raises(UserError, match="no output is called 'overlays'; did you mean 'overlay'"):
        prediction.save(tmp_path / "x.png", "overlays")
    with pytest.raises(UserError, match="wasn't asked for"):
        prediction.save(tmp_path / "c.png", "confidence")


def test_the_image_has_to_be_kept(prediction):
    prediction.image = None
    with pytest.raises(UserError, match="the image wasn't kept"):
        prediction.overlay()


def test_only_what_is_drawn_is_in_overlay_and_legend(prediction):
    shown = int(max(set(np.unique(prediction.labels)) - prediction.background))
    prediction.drawn = frozenset({shown})
    drawn, image = prediction.overlay(legend=False), prediction.image
    changed = (drawn != image).any(axis=2)
    assert changed.any() and not changed[prediction.labels != shown].any()
    prediction.drawn = frozenset()
    assert np.array_equal(prediction.overlay(), image)  # and no legend


def test_classes_without_colours_get_bright_ones_those_of_the_data_set(prediction):
    own = Prediction(prediction.labels, dict(classes=META["classes"]), image=prediction.image)
    dataset = BaseSegDataset(metainfo=dict(classes=META["classes"]), lazy_init=True)
    assert own.palette.tolist() == dataset.metainfo["palette"]  # which a report draws with
    assert own.palette.max(axis=1).tolist() == [255, 255]
    assert own.overlay(legend=False)[20, 30].max() > 150
