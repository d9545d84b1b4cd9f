import sys

import numpy as np
import pytest

from mmseg_gc.datasets.transforms import Albu, albu
from mmseg_gc.errors import UserError


@pytest.fixture(scope="module", autouse=True)
def _albumentations() -> None:
    pytest.importorskip("albumentations", reason="needs the extra `augment`")


def sample() -> dict:
    draw = np.random.RandomState(0)
    image = draw.randint(0, 256, (24, 32, 3)).astype(np.uint8)
    label = draw.randint(0, 5, (24, 32)).astype(np.uint8)
    return {"img": image, "gt_seg_map": label, "seg_fields": ["gt_seg_map"]}


def test_image_and_label_turn_together() -> None:
    before = sample()
    results = Albu([dict(type="HorizontalFlip", p=1), dict(type="Transpose", p=1)])(sample())
    np.testing.assert_array_equal(results["img"], before["img"][:, ::-1].transpose(1, 0, 2))
    np.testing.assert_array_equal(results["gt_seg_map"], before["gt_seg_map"][:, ::-1].T)
    assert results["img_shape"] == (32, 24) and "pad_shape" not in results


@pytest.mark.parametrize("bgr_to_rgb", [True, False])
def test_it_sees_red_first(bgr_to_rgb) -> None:
    """A shift of the first of its channels is one of red, our last."""
    shift = dict(
        type="RGBShift", r_shift_limit=(9, 9), g_shift_limit=(0, 0), b_shift_limit=(0, 0), p=1
    )
    results = {"img": np.full((4, 4, 3), 50, np.uint8)}
    found = Albu([shift], bgr_to_rgb=bgr_to_rgb)(results)["img"][0, 0].tolist()
    assert found == ([50, 50, 59] if bgr_to_rgb else [59, 50, 50])


def test_other_images_and_labels_turn_along() -> None:
    results = sample() | {"img2": sample()["img"], "edges": sample()["gt_seg_map"]}
    results["seg_fields"] = ["gt_seg_map", "edges"]
    keymap = {"img": "image", "img2": "image2", "gt_seg_map": "mask"}
    flip = dict(type="OneOf", transforms=[dict(type="VerticalFlip", p=1)], p=1)
    transform = Albu([flip], keymap, {"image2": "image"}, update_pad_shape=True)
    found = transform(results)
    for key in ("img", "img2"):
        np.testing.assert_array_equal(found[key], sample()["img"][::-1])
    for key in ("gt_seg_map", "edges"):
        np.testing.assert_array_equal(found[key], sample()["gt_seg_map"][::-1])
    assert found["pad_shape"] == (24, 32)


def test_draws_are_numpy_s_and_of_each_step_its_own() -> None:
    """So that a run goes on exactly; steps seeded alike would all flip, or none."""
    steps = [dict(type="HorizontalFlip", p=0.5), dict(type="VerticalFlip", p=0.5)]
    first, second = Albu(steps), Albu(steps)
    second(sample())  # has drawn something else before
    kinds = set()
    for seed in range(20):
        found = []
        for transform in (first, second):
            np.random.seed(seed)
            found.append(transform(sample())["gt_seg_map"])
        np.testing.assert_array_equal(*found)
        kinds.add(found[0].tobytes())
    assert len(kinds) == 4


@pytest.mark.parametrize(
    ("transforms", "words"),
    [
        ([dict(type="NoSuch")], "names 'NoSuch', which Albumentations .* doesn't have"),
        ([dict(p=1)], "give dicts with a type"),
        ([dict(type="HorizontalFlip", p="often")], "HorizontalFlip can't be built"),
    ],
)
def test_wrong_options(transforms, words) -> None:
    with pytest.raises(UserError, match=words):
        Albu(transforms)


def test_grey_images_have_no_order_of_channels() -> None:
    with pytest.raises(UserError, match="set bgr_to_rgb=False"):
        Albu([])({"img": np.zeros((4, 4), np.uint8)})
    with pytest.raises(UserError, match="Albu finds no image"):
        Albu([], keymap={"image": "image"})({"img": np.zeros((4, 4), np.uint8)})


def test_without_the_package(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "albumentations", None)
    with pytest.raises(UserError, match=r"pip install 'mmseg_gc\[augment\]'"):
        Albu([])


def test_two_versions_of_opencv(monkeypatch) -> None:
    versions = {"opencv-python": "5.0.0.93", "opencv-python-headless": "4.11.0.86"}
    monkeypatch.setattr(albu, "version", versions.__getitem__)
    with pytest.raises(UserError, match="opencv-python==5.0.0.93 opencv-python-headless==5.0.0.93"):
        Albu([])
    versions["opencv-python-headless"] = "5.0.0.93"
    Albu([])
