"""The table of data sets: each row's names, colours and files, and how its labels are read."""

import os
import pickle
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmseg_gc import datasets
from mmseg_gc.datasets import CamVidDataset, PascalVOCDataset, named
from mmseg_gc.errors import UserError
from mmseg_gc.registry import DATASETS

LOADING = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}]
# How many classes, and checksums of the lists of names and colours that mmsegmentation 1.x has.
CHECKSUMS = {
    "ADE20KDataset": (150, 2417828559, 1168250808),
    "BDD100KDataset": (19, 324130626, 3634515098),
    "COCOStuffDataset": (171, 1670801993, 3970003127),
    "ChaseDB1Dataset": (2, 2334525913, 3684197982),
    "CityscapesDataset": (19, 324130626, 3634515098),
    "DRIVEDataset": (2, 2334525913, 3684197982),
    "DarkZurichDataset": (19, 324130626, 3634515098),
    "HRFDataset": (2, 2334525913, 3684197982),
    "HSIDrive20Dataset": (11, 2693182005, 3451623498),
    "ISPRSDataset": (6, 4172697056, 1373763042),
    "LEVIRCDDataset": (2, 3069753128, 2066495603),
    "LIPDataset": (20, 298810099, 1131923025),
    "LoveDADataset": (7, 2225630789, 813794932),
    "MapillaryDataset_v1": (66, 2385099676, 2781246952),
    "MapillaryDataset_v2": (124, 2362969401, 183443844),
    "NYUDataset": (27, 3750361346, 223132457),
    "NightDrivingDataset": (19, 324130626, 3634515098),
    "PascalContextDataset": (60, 545796650, 1315270841),
    "PascalContextDataset59": (59, 4097745398, 677732558),
    "PascalVOCDataset": (21, 3346127871, 220446477),
    "PotsdamDataset": (6, 4172697056, 1373763042),
    "REFUGEDataset": (3, 3657304771, 425006282),
    "STAREDataset": (2, 2334525913, 3684197982),
    "SynapseDataset": (9, 3066030076, 2339464047),
    "iSAIDDataset": (16, 726165965, 1654839538),
}
# One sample in the owner's layout: prefix|file of the image and of the label, ids in the file, and
# those that training sees.
LAYOUTS = {
    name: facts
    for name, *facts in map(
        str.split,
        """
ADE20KDataset images/training|A_1.jpg annotations/training|A_1.png 0,1,150 255,0,149
BDD100KDataset images/10k/val|a-b.jpg labels/sem_seg/masks/val|a-b.png 0,18,255 0,18,255
COCOStuffDataset images/val2017|7.jpg annotations/val2017|7_labelTrainIds.png 0,170,255 0,170,255
ChaseDB1Dataset images/training|I_01L.png annotations/training|I_01L_1stHO.png 0,1 0,1
DRIVEDataset images/training|21.png annotations/training|21_manual1.png 0,1 0,1
DarkZurichDataset rgb_anon/val|G/1_rgb_anon.png gt/val|G/1_gt_labelTrainIds.png 0,255 0,255
HRFDataset images/training|01_h.png annotations/training|01_h.png 0,1 0,1
ISPRSDataset img_dir/train|a1_0_0.png ann_dir/train|a1_0_0.png 0,1,6 255,0,5
LIPDataset train_images|1_2.jpg train_segmentations|1_2.png 0,19,255 0,19,255
LoveDADataset img_dir/train|0.png ann_dir/train|0.png 0,1,7 255,0,6
MapillaryDataset_v1 training/images|a_b.jpg training/v1.2/labels|a_b.png 0,65 0,65
MapillaryDataset_v2 training/images|a_b.jpg training/v2.0/labels|a_b.png 0,123 0,123
NightDrivingDataset leftImg8bit|n/0_leftImg8bit.png gt|n/0_gtCoarse_labelTrainIds.png 0,18 0,18
PascalContextDataset JPEGImages|1.jpg SegmentationClassContext|1.png 0,59 0,59
PascalContextDataset59 JPEGImages|1.jpg SegmentationClassContext|1.png 0,1,59 255,0,58
PotsdamDataset img_dir/val|2_13_0_0.png ann_dir/val|2_13_0_0.png 0,1,6 255,0,5
REFUGEDataset images/test|T0001.png annotations/test|T0001.png 0,1,2 0,1,2
STAREDataset images/training|im0001.png annotations/training|im0001.ah.png 0,1 0,1
SynapseDataset img_dir/train|c_s000.jpg ann_dir/train|c_s000.png 0,8 0,8
iSAIDDataset img_dir|P0_0_9_0_9.png ann_dir|P0_0_9_0_9_instance_color_RGB.png 0,15,255 0,15,255
""".strip().splitlines(),
    )
}


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def build(name: str, root: Path, **options):
    image, label, *_ = LAYOUTS[name]
    return DATASETS.build(
        dict(
            type=name,
            data_root=str(root),
            data_prefix=dict(img_path=image.split("|")[0], seg_map_path=label.split("|")[0]),
            pipeline=LOADING,
            **options,
        )
    )


@pytest.mark.parametrize("name", CHECKSUMS)
def test_names_and_colours_are_mmsegmentations(name):
    cls = getattr(datasets, name)
    assert DATASETS.get(name) is cls and pickle.loads(pickle.dumps(cls)) is cls
    facts = cls.METAINFO
    found = (
        len(facts["classes"]),
        *(
            zlib.crc32(repr(value).encode())
            for value in (facts["classes"], facts.get("palette", []))
        ),
    )
    assert found == CHECKSUMS[name]


def test_every_row_is_known_here():
    assert named.CLASSES.keys() == CHECKSUMS.keys() | {"CamVidDataset"}
    assert LAYOUTS.keys() < CHECKSUMS.keys()
    with pytest.raises(AttributeError, match="there are CityscapesDataset, "):
        named.CityscapeDataset  # noqa: B018


@pytest.mark.parametrize("name", LAYOUTS)
def test_files_and_labels_of_the_owners_layout(name, tmp_path):
    image, label, in_file, seen = (word.replace("|", "/") for word in LAYOUTS[name])
    write(tmp_path / image, np.zeros((1, len(in_file.split(",")), 3), np.uint8))
    write(tmp_path / label, np.array([in_file.split(",")], np.uint8))
    (sample,) = build(name, tmp_path)
    assert sample["img_path"] == str(tmp_path / image)
    assert sample["seg_map_path"] == str(tmp_path / label)
    assert sample["gt_seg_map"].tolist() == [[int(number) for number in seen.split(",")]]


def test_ids_of_the_smaller_coco_stuff_count_from_one(tmp_path):
    write(tmp_path / "images/val2017/7.jpg", np.zeros((1, 3, 3), np.uint8))
    write(tmp_path / "annotations/val2017/7_labelTrainIds.png", np.array([[0, 1, 171]], np.uint8))
    (sample,) = build("COCOStuffDataset", tmp_path, reduce_zero_label=True)
    assert sample["gt_seg_map"].tolist() == [[255, 0, 170]]


def test_masks_in_the_owners_colours_are_read_as_they_are(tmp_path):
    """Potsdam's: roads are white, buildings blue."""
    write(tmp_path / "img_dir/val/a.png", np.zeros((1, 2, 3), np.uint8))
    write(tmp_path / "ann_dir/val/a.png", np.array([[[0, 0, 255], [255, 255, 255]]], np.uint8))
    (sample,) = build("PotsdamDataset", tmp_path)
    assert sample["gt_seg_map"].tolist() == [[1, 0]]


@pytest.mark.parametrize(
    ("name", "image", "label", "ids", "words"),
    [
        (
            "LoveDADataset",
            "img_dir/train/0.jpg",
            "ann_dir/train/0.png",
            [[1]],
            "ends in '.png' .*'.jpg'",
        ),
        (
            "DRIVEDataset",
            "images/training/1.png",
            "annotations/training/1.png",
            [[1]],
            "no label.*'_manual1.png'",
        ),
        (
            "LoveDADataset",
            "img_dir/train/0.png",
            "ann_dir/train/0.png",
            [[8]],
            "outside the 7 classes: 8",
        ),
        (
            "SynapseDataset",
            "img_dir/train/0.jpg",
            "ann_dir/train/0.png",
            [[13]],
            "outside the 9 classes: 13",
        ),
    ],
)
def test_files_that_do_not_fit_the_facts(tmp_path, name, image, label, ids, words):
    write(tmp_path / image, np.zeros((1, 1, 3), np.uint8))
    write(tmp_path / label, np.array(ids, np.uint8))
    with pytest.raises(UserError, match=words):
        list(build(name, tmp_path))


def test_images_of_other_kinds_are_listed(tmp_path):
    for name, folder in (("1.npy", "images"), ("1.png", "labels")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).touch()
    dataset = datasets.HSIDrive20Dataset(
        data_root=tmp_path, data_prefix=dict(img_path="images", seg_map_path="labels")
    )
    assert dataset.get_data_info(0)["img_path"] == str(tmp_path / "images/1.npy")


def test_what_holds_no_classes_is_refused():
    with pytest.raises(UserError, match="NYUDataset can't be used: it holds depths"):
        DATASETS.build(dict(type="NYUDataset", data_root="data/nyu"))


def test_pairs_and_ids_of_ade20k(ade20k_root):
    dataset = datasets.ADE20KDataset(
        data_root=str(ade20k_root),
        data_prefix={"img_path": "images/training", "seg_map_path": "annotations/training"},
        pipeline=LOADING,
    )
    assert len(dataset) == 4
    assert dataset.metainfo["reduce_zero_label"] is True
    for sample in dataset:
        in_file = cv2.imread(sample["seg_map_path"], cv2.IMREAD_UNCHANGED).astype(int)
        assert (sample["gt_seg_map"] == np.where(in_file == 0, 255, in_file - 1)).all()


def test_pairs_of_cityscapes(cityscapes_root):
    dataset = datasets.CityscapesDataset(
        data_root=str(cityscapes_root),
        data_prefix={"img_path": "leftImg8bit/train", "seg_map_path": "gtFine/train"},
        pipeline=LOADING,
    )
    assert len(dataset) == 4
    sample = dataset[0]
    assert sample["seg_map_path"].endswith(
        "gtFine/train/aachen/aachen_000000_000000_gtFine_labelTrainIds.png"
    )
    assert sample["img"].shape == (64, 128, 3)
    assert set(np.unique(sample["gt_seg_map"])) <= {*range(19), 255}


def build_voc(root, **options):
    return PascalVOCDataset(
        data_root=str(root),
        data_prefix={"img_path": "JPEGImages", "seg_map_path": "SegmentationClass"},
        pipeline=LOADING,
        **options,
    )


def test_palette_png_of_voc(voc_root):
    dataset = build_voc(voc_root, ann_file="ImageSets/Segmentation/val.txt")
    assert len(dataset) == 2
    for sample in dataset:
        in_file = Image.open(sample["seg_map_path"])
        assert in_file.mode == "P"
        assert (sample["gt_seg_map"] == np.array(in_file)).all()


def test_without_a_list_the_cure_is_named(voc_root):
    with pytest.raises(UserError, match="3 of 8 images have no label.*ann_file"):
        build_voc(voc_root)


def build_camvid(root: Path, split: str) -> CamVidDataset:
    return CamVidDataset(
        data_root=str(root),
        data_prefix={"img_path": split, "seg_map_path": f"{split}annot"},
        pipeline=LOADING,
    )


def test_void_of_camvid_is_ignored(camvid_root):
    dataset = build_camvid(camvid_root, "train")
    assert dataset.metainfo["classes"][::5] == ("Sky", "Tree", "Bicyclist")
    assert len(dataset.metainfo["palette"]) == 11
    assert len(dataset) == 4
    assert dataset.ignore_index == dataset.get_data_info(0)["ignore_index"] == 11
    seen = np.unique(np.concatenate([sample["gt_seg_map"].ravel() for sample in dataset]))
    assert seen.tolist() == list(range(12))


REAL = Path(os.environ.get("MMSEG_GC_CAMVID", "../shared/camvid"))


@pytest.mark.skipif(not REAL.is_dir(), reason="MMSEG_GC_CAMVID names no CamVid folder")
def test_real_camvid_has_every_pair():
    assert [len(build_camvid(REAL, split)) for split in ("train", "val")] == [367, 101]
    assert build_camvid(REAL, "val")[100]["gt_seg_map"].shape == (360, 480)
