import pytest

from mmseg_gc.config.old.data import convert_data
from mmseg_gc.datasets import BaseSegDataset
from mmseg_gc.errors import UserError
from mmseg_gc.registry import DATASETS

NORMALIZE = dict(type="Normalize", mean=[1, 2, 3], std=[4, 5, 6])


def converted(**data):
    new = dict(model=dict(type="EncoderDecoder"))
    return new, convert_data(dict(data=data), new)


def leaf(**keys):
    return dict(type="CustomDataset", pipeline=[NORMALIZE], **keys)


def test_the_keys_of_a_data_set():
    part = leaf(
        data_root="r", img_dir="i", ann_dir="a", split="s.txt", classes=["x"], palette=[[1, 2, 3]],
        reduce_zero_label=True, img_suffix=".tif", file_client_args=dict(backend="disk"),
    )  # fmt: skip
    new, _ = converted(samples_per_gpu=3, workers_per_gpu=2, train=part)
    loader = new["train_dataloader"]
    assert loader["dataset"] == dict(
        type="BaseSegDataset",
        data_root="r",
        data_prefix=dict(img_path="i", seg_map_path="a"),
        ann_file="s.txt",
        metainfo=dict(classes=["x"], palette=[[1, 2, 3]]),
        reduce_zero_label=True,
        img_suffix=".tif",
        pipeline=[dict(type="PackSegInputs")],
    )
    assert (loader["batch_size"], loader["num_workers"]) == (3, 2)
    assert loader["persistent_workers"] is True


def test_lists_are_data_sets_one_after_the_other():
    """As VOC with the labels of SBD."""
    part = leaf(img_dir="i", ann_dir=["a", "b"], split=["s.txt", "t.txt"])
    dataset = converted(train=part)[0]["train_dataloader"]["dataset"]
    assert dataset["type"] == "ConcatDataset"
    assert [d["data_prefix"]["seg_map_path"] for d in dataset["datasets"]] == ["a", "b"]
    assert [d["ann_file"] for d in dataset["datasets"]] == ["s.txt", "t.txt"]
    with pytest.raises(UserError, match="have 1 and 2 items; make them equally long"):
        converted(train=leaf(img_dir=["i"], ann_dir=["a", "b"]))


def test_wrappers():
    inner = leaf(img_dir="i")
    repeat = dict(type="RepeatDataset", times=4, dataset=inner)
    dataset = converted(train=repeat)[0]["train_dataloader"]["dataset"]
    assert (dataset["type"], dataset["times"]) == ("RepeatDataset", 4)
    assert dataset["dataset"]["data_prefix"] == dict(img_path="i")
    assert len(converted(train=[inner, inner])[0]["train_dataloader"]["dataset"]["datasets"]) == 2
    mixed = dict(
        type="MultiImageMixDataset", dataset=inner, pipeline=[dict(type="RandomFlip", prob=1)]
    )
    dataset = converted(train=mixed)[0]["train_dataloader"]["dataset"]
    assert dataset["dataset"]["pipeline"] == []  # packed once, at the end
    assert [step["type"] for step in dataset["pipeline"]] == ["RandomFlip", "PackSegInputs"]


def test_normalising_and_padding_are_the_models():
    pad = dict(type="Pad", size_divisor=32)
    crop = dict(type="RandomCrop", crop_size=(8, 9))
    new, _ = converted(
        train=dict(type="CustomDataset", pipeline=[crop, NORMALIZE]),
        test=dict(type="CustomDataset", pipeline=[NORMALIZE, pad]),
    )  # fmt: skip
    assert new["model"]["data_preprocessor"] == dict(
        type="SegDataPreProcessor",
        mean=[1, 2, 3],
        std=[4, 5, 6],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(8, 9),
        test_cfg=dict(size_divisor=32),
    )


def test_an_old_pipeline_overrules_the_preprocessor_of_a_new_base():
    new = dict(model=dict(data_preprocessor=dict(mean=[9, 9, 9], std=[1, 1, 1])))
    convert_data(dict(data=dict(train=leaf())), new)
    assert new["model"]["data_preprocessor"]["mean"] == [1, 2, 3]


def test_two_ways_to_normalise_are_refused():
    other = dict(type="CustomDataset", pipeline=[dict(NORMALIZE, mean=[0, 0, 0])])
    with pytest.raises(UserError, match=r"data\.train and data\.test normalise differently"):
        converted(train=leaf(), test=other)


def test_loaders():
    given = dict(samples_per_gpu=4, shuffle=False, pin_memory=True)
    new, _ = converted(val=leaf(), val_dataloader=given)
    loader = new["val_dataloader"]
    assert (loader["batch_size"], loader["pin_memory"]) == (4, True)
    assert loader["sampler"] == dict(type="DefaultSampler", shuffle=False)
    with pytest.raises(UserError, match=r"data\.batch=2 .* no counterpart here: set it in train_"):
        converted(batch=2)
    new = dict(model=dict())
    convert_data(dict(data=dict(train=leaf()), total_epochs=3), new)
    assert new["train_dataloader"]["sampler"] == dict(type="DefaultSampler", shuffle=True)
    assert new["train_dataloader"]["drop_last"] is True


def test_keys_that_an_own_data_set_takes_itself_stay():
    class TakesSplit(BaseSegDataset):
        def __init__(self, split, **kwargs):
            super().__init__(ann_file=split, **kwargs)

    with DATASETS.switch_scope_and_registry(None):
        DATASETS.register_module(name="TakesSplit", module=TakesSplit)
    try:
        part = dict(type="TakesSplit", split="s.txt", img_dir="i", pipeline=[])
        dataset = converted(train=part)[0]["train_dataloader"]["dataset"]
    finally:
        DATASETS.module_dict.pop("TakesSplit")
    assert dataset["split"] == "s.txt" and "ann_file" not in dataset
    assert dataset["data_prefix"] == dict(img_path="i")
