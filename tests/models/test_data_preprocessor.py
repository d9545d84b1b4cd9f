import math
from collections.abc import Callable

import pytest
import torch
from mmengine.structures import PixelData

from mmseg_gc.errors import UserError
from mmseg_gc.models import SegDataPreProcessor, data_preprocessor
from mmseg_gc.structures import SegDataSample

Labelled = Callable[..., SegDataSample]
MEAN, STD = [10.0, 20.0, 30.0], [1.0, 2.0, 4.0]


def image_of(height: int, width: int, values: tuple[int, int, int] = (14, 24, 34)) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.uint8).view(3, 1, 1).expand(3, height, width).clone()


def pixel(inputs: torch.Tensor, *position: int) -> list[float]:
    return inputs[(0, slice(None), *position)].tolist()


def test_normalises_after_swapping_channels() -> None:
    plain = SegDataPreProcessor(mean=MEAN, std=STD)
    out = plain({"inputs": [image_of(2, 2)]})["inputs"]
    assert out.dtype == torch.float32 and pixel(out, 0, 0) == [4.0, 2.0, 1.0]
    for option in ("bgr_to_rgb", "rgb_to_bgr"):
        swapped = SegDataPreProcessor(mean=MEAN, std=STD, **{option: True})
        assert pixel(swapped({"inputs": [image_of(2, 2)]})["inputs"], 0, 0) == [24.0, 2.0, -4.0]
    assert pixel(SegDataPreProcessor()({"inputs": [image_of(2, 2)]})["inputs"], 1, 1) == [
        14,
        24,
        34,
    ]


def test_what_the_caller_gives_is_left_alone(labelled: Labelled) -> None:
    image, sample = image_of(2, 2).float(), labelled(torch.zeros(2, 2, dtype=torch.long))
    preprocessor = SegDataPreProcessor(mean=MEAN, std=STD, size=(4, 4))
    preprocessor({"inputs": [image], "data_samples": [sample]}, training=True)
    assert torch.equal(image, image_of(2, 2).float())
    assert sample.gt_sem_seg.shape == (2, 2) and "pad_shape" not in sample.metainfo


@pytest.mark.parametrize(
    ("options", "size"),
    [
        (dict(size=(6, 8)), (6, 8)),
        (dict(size=(2, 8)), (4, 8)),
        (dict(size_divisor=8), (8, 8)),
        ({}, (4, 5)),
    ],
)
def test_training_pads_right_and_below(
    options: dict, size: tuple[int, int], labelled: Labelled
) -> None:
    shapes = ((4, 3), (2, 5))
    samples = [labelled(torch.full(shape, i, dtype=torch.uint8)) for i, shape in enumerate(shapes)]
    preprocessor = SegDataPreProcessor(mean=MEAN, std=STD, pad_val=7, seg_pad_val=9, **options)
    data = preprocessor(
        {"inputs": [image_of(*shape) for shape in shapes], "data_samples": samples}, training=True
    )
    assert data["inputs"].shape == (2, 3, *size)
    for i, ((height, width), sample) in enumerate(zip(shapes, data["data_samples"], strict=True)):
        image, label = data["inputs"][i], sample.gt_sem_seg.data
        assert image[:, :height, :width].eq(torch.tensor([4.0, 2, 1]).view(3, 1, 1)).all()
        assert image.eq(7).all(0).sum() == size[0] * size[1] - height * width
        assert label.shape == (1, *size) and label.dtype == torch.int64
        assert label[:, :height, :width].eq(i).all()
        assert label.eq(9).sum() == size[0] * size[1] - height * width
        assert sample.img_shape == (height, width) and sample.pad_shape == size
        assert sample.padding_size == (0, size[1] - width, 0, size[0] - height)


def test_testing_pads_only_where_told(labelled: Labelled) -> None:
    sample = labelled(torch.zeros(4, 5, dtype=torch.long))
    plain = SegDataPreProcessor(size=(16, 16))
    data = plain({"inputs": [image_of(4, 5)], "data_samples": [sample]})
    assert data["inputs"].shape == (1, 3, 4, 5)
    assert "img_padding_size" not in data["data_samples"][0].metainfo
    padding = SegDataPreProcessor(size=(16, 16), test_cfg=dict(size_divisor=4))
    data = padding({"inputs": [image_of(4, 5)], "data_samples": [sample]})
    assert data["inputs"].shape == (1, 3, 4, 8)
    (out,) = data["data_samples"]
    assert out.img_padding_size == (0, 3, 0, 0) and out.pad_shape == (4, 8)
    assert out.gt_sem_seg.shape == (4, 5)  # Predictions come back at the label's own size.
    assert padding({"inputs": [image_of(4, 5)]})["data_samples"] is None


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_raw_images_are_normalised_once(dtype: torch.dtype) -> None:
    """By the segmentor where they are integers, at once where nothing would tell them apart."""
    preprocessor = SegDataPreProcessor(mean=MEAN, std=STD)
    data = {"inputs": [image_of(2, 2).to(dtype)]}
    raw = preprocessor(data, raw=True)["inputs"]
    assert raw.is_floating_point() == dtype.is_floating_point
    if dtype is torch.uint8:
        assert torch.equal(raw[0], data["inputs"][0])
        raw = preprocessor.normalise(raw)
    assert torch.equal(raw, preprocessor(data)["inputs"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_what_is_no_number_counts_as_the_mean(dtype: torch.dtype) -> None:
    image = image_of(2, 2).to(dtype)
    image[0, 0, 0], image[1, 0, 1], image[2, 1, 1] = math.nan, math.inf, -math.inf
    before = image.clone()
    for options, rest in (({}, [14, 24, 34]), (dict(mean=MEAN, std=STD), [4, 2, 1])):
        out = SegDataPreProcessor(**options)({"inputs": [image]})["inputs"]
        expected = torch.tensor(rest).float().view(3, 1, 1).repeat(1, 2, 2)
        expected[0, 0, 0] = expected[1, 0, 1] = expected[2, 1, 1] = 0
        assert torch.equal(out[0], expected)
    assert torch.equal(image.isnan(), before.isnan()) and image.isinf().sum() == 2


def test_channels_that_do_not_fit_name_the_image() -> None:
    sample = SegDataSample(metainfo=dict(img_path="two.png"))
    two = {"inputs": [image_of(2, 2)[:2]], "data_samples": [sample]}
    for raw in (False, True):
        with pytest.raises(UserError, match=r"two\.png has 2 channels, but .*mean has 3"):
            SegDataPreProcessor(mean=MEAN, std=STD)(two, raw=raw)
    mixed = {"inputs": [image_of(2, 2), image_of(2, 2)[:1]], "data_samples": [sample] * 2}
    with pytest.raises(UserError, match=r"two\.png has 1 channels, but the first .* has 3"):
        SegDataPreProcessor()(mixed)


@pytest.mark.parametrize("raw", [False, True])
def test_one_channel_or_one_mean_serves_three(raw: bool) -> None:
    three = SegDataPreProcessor(mean=MEAN, std=STD)
    mixed = three({"inputs": [image_of(1, 1)[:1], image_of(1, 1)]}, raw=raw)["inputs"]
    assert mixed.flatten().tolist() == [4, -3, -4, 4, 2, 1]
    grey = three({"inputs": [image_of(1, 1)[:1]]}, raw=raw)["inputs"]
    grey = grey if grey.is_floating_point() else three.normalise(grey)
    assert grey.flatten().tolist() == [4, -3, -4]
    one = SegDataPreProcessor(mean=[4.0], std=[2.0])
    out = one({"inputs": [image_of(1, 1)]}, raw=raw)["inputs"]
    out = out if out.is_floating_point() else one.normalise(out)
    assert out.flatten().tolist() == [5, 10, 15]


def test_takes_a_stacked_batch() -> None:
    out = SegDataPreProcessor(mean=MEAN, std=STD)({"inputs": torch.stack([image_of(2, 2)] * 2)})
    assert out["inputs"].shape == (2, 3, 2, 2) and out["inputs"][1, 0, 0, 0] == 4


def test_batch_augments_run_in_training(labelled: Labelled) -> None:
    def flip(inputs, samples):
        return inputs.flip(0), samples[::-1]

    preprocessor = SegDataPreProcessor(batch_augments=flip)
    data = {
        "inputs": [image_of(2, 2, (i, i, i)) for i in (1, 2)],
        "data_samples": [labelled(torch.full((2, 2), i)) for i in (1, 2)],
    }
    out = preprocessor(data, training=True)
    assert out["inputs"][:, 0, 0, 0].tolist() == [2, 1]
    assert [int(s.gt_sem_seg.data.max()) for s in out["data_samples"]] == [2, 1]
    assert preprocessor(data)["inputs"][:, 0, 0, 0].tolist() == [1, 2]


def test_a_sample_without_label_is_padded_all_the_same() -> None:
    sample = SegDataSample(metainfo=dict(ori_shape=(2, 2)))
    data = {"inputs": [image_of(2, 2)], "data_samples": [sample]}
    (out,) = SegDataPreProcessor(size=(4, 4))(data, training=True)["data_samples"]
    assert out.padding_size == (0, 2, 0, 2) and "gt_sem_seg" not in out


def test_mean_and_std_follow_the_device_but_not_the_weights() -> None:
    preprocessor = SegDataPreProcessor(mean=MEAN, std=STD).to("meta")
    assert preprocessor.mean.device.type == "meta"
    assert not preprocessor.state_dict()


def test_images_of_different_size_in_a_test_batch() -> None:
    with pytest.raises(UserError, match=r"\(2, 2\), \(2, 3\).*batch_size=1"):
        SegDataPreProcessor()({"inputs": [image_of(2, 2), image_of(2, 3)]})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(mean=MEAN), "`mean` and `std` together"),
        (dict(mean=MEAN, std=[1.0, 0.0, 2.0]), "each std above 0"),
        (dict(mean=MEAN, std=[1.0]), "one number a channel in both"),
        (dict(bgr_to_rgb=True, rgb_to_bgr=True), "not both"),
        (dict(size=(2, 2), size_divisor=2), "not to both"),
        (dict(test_cfg=dict(size=(2, 2), size_divisor=2)), "not to both"),
        (dict(test_cfg=dict(divisor=2)), "test_cfg has no key 'divisor'"),
        (dict(batch_augments=[dict(type="MixUp")]), "batch_augments must be a function"),
    ],
)
def test_wrong_options(options: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        SegDataPreProcessor(**options)


@pytest.mark.parametrize("training", [True, False])
def test_channels_that_do_not_fit_are_named(training: bool) -> None:
    preprocessor = SegDataPreProcessor(mean=[1.0, 2.0, 3.0], std=[1.0, 1.0, 1.0])
    samples = [SegDataSample(metainfo={"img_path": f"{name}.png"}) for name in "ab"]
    for channels, source in ((4, "data_preprocessor.mean has 3"), (2, "mean has 3")):
        images = [torch.zeros(3, 4, 4), torch.zeros(channels, 4, 4)]
        with pytest.raises(UserError, match=rf"b\.png has {channels} channels, but .*{source}"):
            preprocessor({"inputs": images, "data_samples": samples}, training)
    with pytest.raises(UserError, match="an image has 1 channels, but the first .* has 3"):
        SegDataPreProcessor()({"inputs": [torch.zeros(3, 4, 4), torch.zeros(1, 4, 4)]}, training)


@pytest.mark.parametrize("options", [{"training": True}, {}, {"raw": True}])
def test_grey_among_colour_is_three_equal_channels(options: dict) -> None:
    preprocessor = SegDataPreProcessor(mean=[1.0, 2.0, 3.0], std=[1.0, 1.0, 2.0])
    grey = torch.full((1, 2, 2), 7, dtype=torch.uint8)
    samples = [SegDataSample(), SegDataSample()]
    data = {"inputs": [grey, grey.repeat(3, 1, 1)], "data_samples": samples}
    inputs = preprocessor(data, **options)["inputs"]
    assert inputs[:, :, 0, 0].tolist() == [[6.0, 5.0, 2.0]] * 2


@pytest.mark.parametrize("numbers,is_told", [(1, False), (3, False), (4, True)])
def test_an_order_of_channels_that_is_not_turned_is_told(
    numbers: int, is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = []
    monkeypatch.setattr(data_preprocessor, "print_log", lambda text, **_: said.append(text))
    SegDataPreProcessor(mean=[1.0] * numbers, std=[1.0] * numbers, bgr_to_rgb=True)
    assert ["has no effect" in text for text in said] == [True] * is_told


@pytest.mark.parametrize(
    "mean,std,is_told",
    [(0.485, 0.229, True), (0.0, 0.5, True), (0.0, 1.0, False), (120.0, 58.0, False)],
)
def test_numbers_for_another_range_are_told_once(
    mean: float, std: float, is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = []
    monkeypatch.setattr(data_preprocessor, "print_log", lambda text, **_: said.append(text))
    preprocessor = SegDataPreProcessor(mean=[mean] * 3, std=[std] * 3)
    preprocessor({"inputs": [image_of(4, 4).float() / 255]})
    assert said == []
    for _ in range(2):
        preprocessor({"inputs": [image_of(4, 4)]})
    assert ["multiply mean and std by 255" in text for text in said] == [True] * is_told


def test_an_edge_map_is_padded_with_its_label(labelled: Labelled) -> None:
    sample = labelled(torch.zeros(4, 5, dtype=torch.uint8))
    sample.gt_edge_map = PixelData(data=torch.ones(1, 4, 5, dtype=torch.uint8))
    preprocessor = SegDataPreProcessor(size=(6, 7))
    data = {"inputs": [torch.zeros(3, 4, 5)], "data_samples": [sample]}
    edges = preprocessor(data, training=True)["data_samples"][0].gt_edge_map.data
    assert edges.dtype == torch.int64 and edges.shape == (1, 6, 7)
    assert (edges[0, :4, :5] == 1).all() and edges.sum() == 20 + 22 * 255
