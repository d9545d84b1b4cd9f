import json
import os
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import DefaultScope

from mmseg_gc.datasets import CityscapesDataset
from mmseg_gc.datasets.pack import INDEX, PIXELS, Pack
from mmseg_gc.errors import UserError

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import pack_dataset

LOAD = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations")]
TRAIN = [
    *LOAD,
    dict(type="RandomResize", scale=(128, 64), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=(32, 48), cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
PREFIX = dict(img_path="leftImg8bit/train", seg_map_path="gtFine/train")


def config(root, pipeline=TRAIN, **more) -> dict:
    return dict(
        type="CityscapesDataset",
        data_root=str(root),
        data_prefix=PREFIX,
        pipeline=pipeline,
        **more,
    )


def build(root, pipeline=TRAIN, **more) -> CityscapesDataset:
    cfg = config(root, pipeline, **more)
    cfg.pop("type")
    with DefaultScope.overwrite_default_scope("mmseg_gc"):
        return CityscapesDataset(**cfg)


def make(root, target, **more) -> Path:
    with DefaultScope.overwrite_default_scope("mmseg_gc"):
        pack_dataset.pack(config(root, **more), "train_dataloader.dataset", target, False)
    return target


@pytest.fixture
def root(cityscapes_root, tmp_path) -> Path:
    shutil.copytree(cityscapes_root, tmp_path / "cityscapes")
    return tmp_path / "cityscapes"


@pytest.fixture
def packed(root, tmp_path, capsys) -> Path:
    return make(root, tmp_path / "out" / "train.pack")


def test_pixels_are_those_of_the_files(root, packed):
    plain, copy = build(root, LOAD), build(root, LOAD, packed=str(packed))
    assert len(plain) == len(copy) == 4
    for index in range(4):
        expected, found = plain[index], copy[index]
        for key in ("img", "gt_seg_map"):
            assert (found[key] == expected[key]).all() and found[key].dtype == np.uint8
            found[key][:] = 0  # one's own to write to
        assert found["img_shape"] == found["ori_shape"] == expected["ori_shape"]
        assert found["img_path"] == expected["img_path"]
    assert (copy[0]["img"] == plain[0]["img"]).all()


def test_training_samples_differ_by_a_grey_level_at_most(root, packed):
    pipeline = [step for step in TRAIN if step["type"] != "PhotoMetricDistortion"]
    plain, copy = build(root, pipeline), build(root, pipeline, packed=str(packed))
    for seed in range(20):
        samples = []
        for dataset in (plain, copy):
            np.random.seed(seed)
            samples.append(dataset[seed % 4])
        expected, found = samples
        assert (expected["inputs"].int() - found["inputs"].int()).abs().max() <= 1
        one, other = (sample["data_samples"] for sample in samples)
        assert (one.gt_sem_seg.data == other.gt_sem_seg.data).all()
        assert one.metainfo == other.metainfo


def test_without_the_files(root, packed, tmp_path):
    expected = build(root, LOAD)[2]
    root.rename(tmp_path / "elsewhere")
    dataset = build(root, LOAD, packed=str(packed))
    assert len(dataset) == 4 and (dataset[2]["img"] == expected["img"]).all()
    assert (dataset[2]["gt_seg_map"] == expected["gt_seg_map"]).all()


def test_labels_are_those_of_the_classes_and_other_classes_are_refused(root, tmp_path):
    few = dict(metainfo=dict(classes=("car", "road")), reduce_zero_label=False)
    target = make(root, tmp_path / "few.pack", **few)
    dataset = build(root, LOAD, packed=str(target), **few)
    assert set(np.unique(dataset[0]["gt_seg_map"])) <= {0, 1, 255}
    assert (dataset[0]["gt_seg_map"] == build(root, LOAD, **few)[0]["gt_seg_map"]).all()
    with pytest.raises(UserError, match=r"few\.pack was packed with label_map=.*--overwrite"):
        build(root, packed=str(target))


def test_other_decoding_is_refused(root, packed):
    grey = [dict(type="LoadImageFromFile", color_type="unchanged"), *TRAIN[1:]]
    with pytest.raises(UserError, match="color_type='color' where the pipeline has 'unchanged'"):
        build(root, grey, packed=str(packed))


def test_a_changed_file_is_refused_and_a_new_time_is_not(root, packed):
    label = sorted((root / "gtFine/train").rglob("*.png"))[1]
    content = label.read_bytes()
    os.utime(label, (1, 1))
    build(root, packed=str(packed))
    label.write_bytes(content[:-1] + b"x")
    with pytest.raises(UserError, match=rf"{label.name} isn't what .*train\.pack"):
        build(root, packed=str(packed))


def test_a_new_image_is_refused_and_fewer_are_not(root, packed):
    for folder, name in (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine_labelTrainIds")):
        source = next((root / folder / "train").rglob("*.png"))
        shutil.copy(source, root / folder / "train" / f"new_{name}.png")
    with pytest.raises(UserError, match="lacks 1 of the data set's 5 samples, first 'new'"):
        build(root, packed=str(packed))
    names = root / "names.txt"
    names.write_text("bochum/bochum_000000_000001\n")
    dataset = build(
        root, LOAD, packed=str(packed), ann_file="names.txt", img_suffix="_leftImg8bit.png"
    )
    assert len(dataset) == 1 and dataset[0]["img_path"].endswith(
        "bochum_000000_000001_leftImg8bit.png"
    )


@pytest.mark.parametrize("damage", ["index", "pixels", "format"])
def test_a_damaged_copy_is_refused(root, packed, damage):
    if damage == "index":
        (packed / INDEX).write_text((packed / INDEX).read_text()[:-20])
    elif damage == "pixels":
        (packed / PIXELS).write_bytes((packed / PIXELS).read_bytes()[:-1])
    else:
        lines = (packed / INDEX).read_text().splitlines()
        lines[0] = json.dumps({**json.loads(lines[0]), "format": 0})
        (packed / INDEX).write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match=r"train\.pack is damaged or of another version"):
        build(root, packed=str(packed))
    with pytest.raises(UserError, match="'nowhere', which is no packed copy"):
        build(root, packed="nowhere")


def test_a_worker_that_is_not_forked_maps_the_file_itself(packed):
    pack = Pack(packed, copies=False)
    expected = pack.image(3)
    sent = pickle.dumps(pack)
    assert len(sent) < 5000
    assert (pickle.loads(sent).image(3) == expected).all()
    assert isinstance(expected, np.memmap) and not expected.flags.writeable


def test_checksums_find_a_changed_byte(packed):
    assert list(Pack(packed).damaged()) == [None] * 4
    content = bytearray((packed / PIXELS).read_bytes())
    content[-5] ^= 1
    (packed / PIXELS).write_bytes(content)
    assert [name is None for name in Pack(packed).damaged()] == [True] * 3 + [False]
    with pytest.raises(UserError, match="doesn't read back as it was written, first 'bochum"):
        pack_dataset.check(packed)


INDEX_FAULTS = {
    "an offset": lambda record: record.__setitem__(1, record[1] + 1),
    "a negative offset": lambda record: record.__setitem__(1, -1),
    "a shape": lambda record: record[2].__setitem__(0, 0),
    "a text as a size": lambda record: record[2].__setitem__(0, "8"),
    "a name": lambda record: record.__setitem__(0, 7),
    "a sum": lambda record: record.__setitem__(4, None),
    "a source": lambda record: record.__setitem__(5, [["a", 1, 2]]),
}


@pytest.mark.parametrize("fault", [*INDEX_FAULTS, "twice", "swapped", "not UTF-8", "deep", "rules"])
def test_a_damaged_index_is_refused_when_it_is_opened(packed, fault):
    lines = (packed / INDEX).read_bytes().splitlines()
    if fault in INDEX_FAULTS:
        record = json.loads(lines[1])
        INDEX_FAULTS[fault](record)
        lines[1] = json.dumps(record).encode()
    elif fault == "twice":
        record, other = json.loads(lines[1]), json.loads(lines[2])
        lines[2] = json.dumps([record[0], *other[1:]]).encode()
    elif fault == "swapped":
        lines[1], lines[2] = lines[2], lines[1]
    elif fault == "rules":
        lines[0] = json.dumps({**json.loads(lines[0]), "label_rules": 1}).encode()
    else:
        lines[1] = b"\xff" if fault == "not UTF-8" else b"[" * 100_000
    (packed / INDEX).write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(UserError, match=r"train\.pack is damaged or of another version"):
        Pack(packed)
