"""A data set whose pipeline sees several samples, alone and inside of and around others."""

from importlib.util import find_spec

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from torch.utils.data import DataLoader

from mmseg_gc.datasets import MultiImageMixDataset
from mmseg_gc.engine.samplers import Draw, InfiniteSampler, SeededDataset
from mmseg_gc.errors import UserError
from mmseg_gc.registry import DATASETS

LOAD = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations")]
MOSAIC = dict(type="RandomMosaic", prob=0.7, img_scale=(16, 16))
AUGMENT = [
    MOSAIC,
    dict(type="RandomCutOut", prob=0.5, n_holes=2, cutout_ratio=(0.3, 0.3)),
    dict(type="RandomRotFlip"),
    dict(type="RandomCrop", crop_size=(12, 12)),
    dict(type="AdjustGamma", gamma=1.3),
    dict(type="GenerateEdge"),
]
PACK = dict(type="PackSegInputs")


@pytest.fixture
def inner(tmp_path) -> dict:
    """Five images of class i in all pixels, of 16 x 16 pixels."""
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for i in range(5):
        cv2.imwrite(str(tmp_path / f"images/{i}.jpg"), np.full((16, 16, 3), 40 * i + 9, np.uint8))
        cv2.imwrite(str(tmp_path / f"labels/{i}.png"), np.full((16, 16), i, np.uint8))
    return dict(
        type="BaseSegDataset",
        data_root=str(tmp_path),
        data_prefix=dict(img_path="images", seg_map_path="labels"),
        metainfo=dict(classes=list("abcde")),
        pipeline=LOAD,
    )


def mixing(dataset: dict, *steps: dict, **options) -> dict:
    pipeline = [*(steps or [dict(MOSAIC, prob=1)]), PACK]
    return dict(type="MultiImageMixDataset", dataset=dataset, pipeline=pipeline, **options)


def ids(sample: dict) -> set[int]:
    return set(sample["data_samples"].gt_sem_seg.data.unique().tolist()) - {255}


def test_a_sample_is_mixed_with_three_others(inner) -> None:
    dataset = DATASETS.build(mixing(inner))
    assert type(dataset) is MultiImageMixDataset and len(dataset) == 5
    assert dataset.metainfo["classes"] == list("abcde")
    assert dataset.get_data_info(2)["img_path"].endswith("2.jpg")
    np.random.seed(0)
    draw = np.random.RandomState(0)
    sample = dataset[3]
    assert sample["inputs"].shape == (3, 32, 32)
    assert ids(sample) == {3, *(draw.randint(0, 5) for _ in range(3))}
    assert "mix_results" not in sample


def test_skipped_types(inner) -> None:
    dataset = DATASETS.build(mixing(inner, skip_type_keys=["RandomMosaic"]))
    assert ids(dataset[3]) == {3} and dataset[3]["inputs"].shape == (3, 16, 16)
    dataset.update_skip_type_keys([])
    assert dataset[3]["inputs"].shape == (3, 32, 32)


def test_samples_stay_as_they_are_for_the_next(inner) -> None:
    class Kept(list):
        metainfo: dict = {}

        def full_init(self) -> None:
            pass

    sample = DATASETS.build(inner)[1]
    kept = Kept([sample])
    dataset = MultiImageMixDataset(kept, AUGMENT[:1] * 2)
    before = sample["img"].copy()
    for _ in range(3):
        dataset[0]
    np.testing.assert_array_equal(sample["img"], before)
    assert "mix_results" not in sample


def test_it_reads_no_list_when_lazy(inner) -> None:
    dataset = DATASETS.build(mixing(dict(inner, lazy_init=True), lazy_init=True))
    assert not dataset.dataset._fully_initialized
    dataset.full_init()
    assert dataset.dataset._fully_initialized


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_goes_on_draws_the_same(inner, workers) -> None:
    """Each sample depends on the seed and its place in the run alone."""
    albu = dict(type="Albu", transforms=[dict(type="HorizontalFlip", p=0.5)])
    steps = [*AUGMENT, albu] if find_spec("albumentations") else AUGMENT
    dataset = SeededDataset(DATASETS.build(mixing(inner, *steps)))

    def run(skip: int, count: int) -> list[torch.Tensor]:
        sampler = InfiniteSampler(dataset, seed=5)
        sampler.skip(skip)
        loader = iter(DataLoader(dataset, 1, sampler=sampler, num_workers=workers, collate_fn=list))
        return [next(loader)[0] for _ in range(count)]

    np.random.seed(1)
    whole = run(0, 8)
    np.random.seed(2)
    for one, other in zip(whole[5:], run(5, 3), strict=True):
        assert torch.equal(one["inputs"], other["inputs"])
        for name in ("gt_sem_seg", "gt_edge_map"):
            assert torch.equal(
                one["data_samples"].get(name).data, other["data_samples"].get(name).data
            )
    assert len({sample["inputs"].numpy().tobytes() for sample in whole}) == 8


WRAPPED = {
    "mixing a concatenation": (lambda inner: mixing(concat(inner, inner)), 10),
    "mixing a repetition": (lambda inner: mixing(repeated(inner)), 15),
    "mixing a balance": (lambda inner: mixing(balanced(inner)), 10),
    "concatenating mixtures": (lambda inner: concat(mixing(inner), mixing(inner)), 10),
    "concatenating repetitions": (lambda inner: concat(repeated(packed(inner)), packed(inner)), 20),
    "concatenating concatenations": (
        lambda inner: concat(concat(packed(inner), packed(inner)), packed(inner)),
        15,
    ),
    "repeating a mixture": (lambda inner: repeated(mixing(inner)), 15),
    "balancing a mixture": (lambda inner: balanced(mixing(inner)), 10),
    "balancing a concatenation": (lambda inner: balanced(concat(packed(inner), packed(inner))), 20),
}


def packed(inner: dict) -> dict:
    return dict(inner, pipeline=[*LOAD, PACK])


def concat(*parts: dict) -> dict:
    return dict(type="ConcatDataset", datasets=list(parts))


def repeated(dataset: dict) -> dict:
    return dict(type="RepeatDataset", dataset=dataset, times=3)


def balanced(dataset: dict) -> dict:
    # Each of five classes is in a fifth of the images: sqrt(0.8 / 0.2) = 2 times each.
    return dict(type="ClassBalancedDataset", dataset=dataset, oversample_thr=0.8)


@pytest.mark.parametrize("name", WRAPPED)
def test_wrappers_around_each_other(inner, name, mmseg_gc_scope) -> None:
    make, length = WRAPPED[name]
    dataset = DATASETS.build(make(inner))
    dataset.full_init()
    assert len(dataset) == length and dataset.metainfo["classes"] == list("abcde")
    sample = SeededDataset(dataset)[Draw(0, 7, length - 1)]
    assert 4 in ids(sample) or "mixing" not in name
    assert sample["inputs"].shape[0] == 3


@pytest.fixture
def mmseg_gc_scope():
    with DefaultScope.overwrite_default_scope("mmseg_gc"):
        yield


def test_an_inner_pipeline_that_packs(inner) -> None:
    with pytest.raises(UserError, match="end that pipeline after loading"):
        DATASETS.build(mixing(packed(inner)))[0]


def test_mosaic_outside_of_it(inner) -> None:
    with pytest.raises(UserError, match="into the pipeline of a MultiImageMixDataset"):
        DATASETS.build(dict(inner, pipeline=[*LOAD, MOSAIC, PACK]))[0]
