import numpy as np
import pytest

from mmseg_gc.datasets.transforms import (
    Pad,
    RandomCrop,
    RandomRotate,
    ResizeShortestEdge,
    ResizeToMultiple,
)
from mmseg_gc.errors import UserError
from mmseg_gc.registry import TRANSFORMS


def sample(height: int, width: int, **more) -> dict:
    """Pixel (y, x) of the image is (y, x, 0), and its label is 7."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0], image[..., 1] = np.arange(height)[:, None], np.arange(width)
    label = np.full((height, width), 7, np.uint8)
    return {"img": image, "gt_seg_map": label, "seg_fields": ["gt_seg_map"], **more}


def test_crop_draws_top_then_left():
    np.random.seed(0)
    expected = [(np.random.randint(0, 21), np.random.randint(0, 11)) for _ in range(20)]
    np.random.seed(0)
    for top, left in expected:
        results = RandomCrop((30, 50))(sample(50, 60))
        assert results["img"][0, 0].tolist() == [top, left, 0]
        assert results["img_shape"] == results["gt_seg_map"].shape == (30, 50)


def test_crop_keeps_a_side_that_is_too_short():
    results = RandomCrop(40)(sample(30, 60))
    assert results["img"].shape == (30, 40, 3)
    assert results["img"][0, 0, 0] == 0


@pytest.mark.parametrize("ignore", [{"option": 5}, {"dataset": 5}, {"option": 5, "dataset": 9}])
def test_crop_is_drawn_again_until_no_class_covers_too_much(ignore):
    """Against the definition: ids 0 and 1 in columns, id 5 ignored."""
    results = sample(8, 40)
    if "dataset" in ignore:
        results["ignore_index"] = ignore["dataset"]
    label = results["gt_seg_map"]
    label[:] = 0
    label[:, 25:] = 1
    label[:4] = 5
    crop = RandomCrop((8, 10), cat_max_ratio=0.75, ignore_index=ignore.get("option"))
    redrawn = 0
    for seed in range(60):
        np.random.seed(seed)
        draw = np.random.RandomState(seed)
        for attempt in range(11):
            draw.randint(0, 1)
            left = draw.randint(0, 31)
            part = label[4:, left : left + 10]
            shares = [(part == number).mean() for number in (0, 1)]
            if attempt == 10 or (min(shares) > 0 and max(shares) < 0.75):
                break
        redrawn += attempt
        window = crop.crop_bbox(results)
        assert window[1] == slice(left, left + 10)
    assert redrawn > 60


def test_crop_of_ignored_pixels_only_ends():
    results = sample(20, 20)
    results["gt_seg_map"][:] = 255
    assert RandomCrop(10, cat_max_ratio=0.5)(results)["img_shape"] == (10, 10)


@pytest.mark.parametrize("size", [0, (3,), (3, 0), [1, 2, 3]])
def test_crop_size_is_checked(size):
    with pytest.raises(UserError, match=r"crop_size.*\(h, w\)"):
        RandomCrop(size)


@pytest.mark.parametrize(
    ("transform", "shape"),
    [
        (RandomRotate(prob=1, degree=(90, 90.0001)), (20, 40)),
        (Pad(size=(44, 36)), (36, 44)),
        (Pad(size_divisor=32), (32, 64)),
    ],
)
@pytest.mark.parametrize("ignore_index", [None, 11])
def test_new_label_pixels_are_ignored(transform, shape, ignore_index):
    more = {} if ignore_index is None else {"ignore_index": ignore_index}
    results = transform(sample(20, 40, **more))
    assert results["gt_seg_map"].shape == results["img"].shape[:2] == shape
    assert set(np.unique(results["gt_seg_map"])) == {7, ignore_index or 255}


def test_fill_values_can_be_chosen():
    results = Pad(size=(44, 36), pad_val={"img": 9, "seg": 3})(sample(20, 40, ignore_index=11))
    assert results["img"][-1, -1].tolist() == [9, 9, 9] and results["gt_seg_map"][-1, -1] == 3
    assert Pad(size=(44, 36), pad_val=5)(sample(20, 40))["img"][-1, -1].tolist() == [5, 5, 5]
    rotate = RandomRotate(prob=1, degree=(45, 45.1), pad_val=(8, 8, 8), seg_pad_val=2)
    results = rotate(sample(20, 40))
    assert results["img"][0, 0].tolist() == [8, 8, 8] and results["gt_seg_map"][0, 0] == 2


def test_rotation_draws_coin_then_angle():
    rotate = RandomRotate(prob=0.5, degree=30)
    np.random.seed(1)
    expected = [(np.random.rand() < 0.5, np.random.uniform(-30, 30)) for _ in range(10)]
    np.random.seed(1)
    assert [rotate.generate_degree() for _ in range(10)] == expected
    rotate.prob = 0
    assert (rotate(sample(4, 4))["img"] == sample(4, 4)["img"]).all()


def test_half_turn_turns_image_and_label():
    results = sample(21, 31)
    results["gt_seg_map"][2, 3] = 1
    results = RandomRotate(prob=1, degree=(180, 180.0001))(results)
    assert results["img"][18, 27].tolist() == [2, 3, 0]
    assert np.argwhere(results["gt_seg_map"] == 1).tolist() == [[18, 27]]


def test_rotated_labels_are_ids_still():
    results = sample(40, 40)
    results["gt_seg_map"][:, 20:] = 201
    results = RandomRotate(prob=1, degree=(30, 30.1))(results)
    assert set(np.unique(results["gt_seg_map"])) == {7, 201, 255}


def test_auto_bound_holds_the_whole_image():
    results = RandomRotate(prob=1, degree=(90, 90.0001), auto_bound=True)(sample(20, 40))
    assert results["img"].shape[:2] == results["gt_seg_map"].shape == (40, 20)


@pytest.mark.parametrize("options", [{"prob": 2, "degree": 1}, {"prob": 1, "degree": 0}])
def test_rotation_is_checked(options):
    with pytest.raises(UserError, match="RandomRotate has prob="):
        RandomRotate(**options)


def test_resize_to_multiple():
    results = ResizeToMultiple(size_divisor=32)(sample(30, 65))
    assert results["img"].shape[:2] == results["gt_seg_map"].shape == (32, 96)
    assert results["img_shape"] == results["pad_shape"] == (32, 96)
    assert (results["gt_seg_map"] == 7).all()


@pytest.mark.parametrize(
    ("size", "scale", "max_size", "expected"),
    [
        ((50, 100), 25, 1000, (25, 50)),
        ((100, 50), (40, 25), 1000, (50, 25)),
        ((50, 100), 100, 150, (75, 150)),
        ((100, 100), 30, 30, (30, 30)),
    ],
)
def test_resize_shortest_edge(size, scale, max_size, expected):
    results = ResizeShortestEdge(scale, max_size)(sample(*size))
    assert results["img_shape"] == results["gt_seg_map"].shape == expected


@pytest.mark.parametrize("name", ["RandomFlip", "RandomChoiceResize"])
def test_mmcv_transforms_resolve_through_the_registry(name):
    import mmcv.transforms

    import mmseg_gc.datasets.transforms as ours

    assert TRANSFORMS.get(name) is getattr(ours, name) is getattr(mmcv.transforms, name)


@pytest.mark.parametrize(
    "name", ["LoadImageFromFile", "LoadAnnotations", "Pad", "Resize", "RandomResize"]
)
def test_own_transforms_stand_before_mmcv_s(name):
    assert TRANSFORMS.get(name).__module__.startswith("mmseg_gc.")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [2, 5, 10])
@pytest.mark.parametrize(
    "options",
    [
        dict(type="RandomRotate", prob=1.0, degree=(20, 20.001)),
        dict(type="RandomRotate", prob=1.0, degree=(90, 90.001), auto_bound=True),
        dict(type="Pad", size=(40, 30)),
        dict(type="Pad", size_divisor=16, pad_val=dict(img=7, seg=255)),
        dict(type="Pad", size=(40, 30), padding_mode="edge"),
        dict(type="Pad", size=(40, 30), padding_mode="reflect"),
        dict(type="Pad", size=(40, 30), padding_mode="symmetric"),
        dict(type="Resize", scale=(13, 9)),
        dict(type="RandomCrop", crop_size=(8, 9)),
    ],
)
def test_many_channels_are_what_each_is_alone(options, channels, dtype):
    transform = TRANSFORMS.build(dict(options))
    image = (np.random.default_rng(0).random((20, 26, channels)) * 200).astype(dtype)

    def run(pixels):
        np.random.seed(3)
        label = np.zeros(pixels.shape[:2], np.uint8)
        fields = {"gt_seg_map": label, "seg_fields": ["gt_seg_map"]}
        results = transform({"img": np.ascontiguousarray(pixels), **fields})
        assert results["img"].shape[:2] == results["gt_seg_map"].shape
        return results

    parts = [run(image[..., channel])["img"] for channel in range(channels)]
    whole = run(image)
    assert whole["img"].dtype == dtype
    assert np.allclose(whole["img"].astype(float), np.stack(parts, -1).astype(float), atol=1)
    assert whole.get("img_shape", whole["img"].shape[:2]) == whole["img"].shape[:2]


def test_fill_values_of_many_channels():
    image, values = np.ones((2, 2, 6), np.uint8), [10, 20, 30, 40, 50, 60]
    padded = Pad(size=(3, 2), pad_val=dict(img=values))({"img": image})
    assert padded["img"][0].tolist() == [[1] * 6, [1] * 6, values]
    assert padded["pad_shape"] == (2, 3, 6) and padded["img_shape"] == (2, 3)
    np.random.seed(0)
    turned = RandomRotate(1.0, (45, 45.001), pad_val=tuple(values))(
        {"img": np.ones((9, 9, 6), "u1")}
    )
    assert turned["img"][0, 0].tolist() == values
    turned = RandomRotate(1.0, (45, 45.001), pad_val=9)({"img": np.ones((9, 9, 6), np.uint8)})
    assert turned["img"][0, 0].tolist() == [9, 0, 0, 0, 0, 0]


def test_a_crop_by_classes_needs_the_label():
    with pytest.raises(UserError, match="put LoadAnnotations before it"):
        RandomCrop((4, 4), cat_max_ratio=0.75)({"img": np.zeros((8, 8, 3), np.uint8)})
    assert RandomCrop((4, 4))({"img": np.zeros((8, 8, 3), np.uint8)})["img"].shape == (4, 4, 3)
