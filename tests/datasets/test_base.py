import shutil
from pathlib import Path

import numpy as np
import pytest
from mmengine.dataset import ConcatDataset
from PIL import Image

from mmseg_gc.datasets import BaseSegDataset, CityscapesDataset
from mmseg_gc.errors import UserError, user_sentence
from mmseg_gc.registry import DATASETS

LOAD = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}]
PREFIX = {"img_path": "images", "seg_map_path": "labels"}


@pytest.fixture
def own_root(tmp_path: Path) -> Path:
    """A user's images/{a,a-b,deep/c}.jpg and their labels of ids 0..2 and 255."""
    for name in ("a", "a-b", "deep/c"):
        label = np.array([[0, 1], [2, 255]], np.uint8)
        for folder, suffix, pixels in (
            ("images", ".jpg", np.zeros((2, 2, 3), np.uint8)),
            ("labels", "_ids.png", label),
        ):
            path = tmp_path / folder / f"{name}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return tmp_path


def own_dataset(root: Path, **changes) -> BaseSegDataset:
    options = {
        "data_root": str(root),
        "data_prefix": PREFIX,
        "seg_map_suffix": "_ids.png",
        "metainfo": {"classes": ["sky", "road", "car"]},
        "pipeline": LOAD,
    }
    return BaseSegDataset(**(options | changes))


def pixels(dataset: BaseSegDataset, index: int = 0) -> list[list[int]]:
    return dataset[index]["gt_seg_map"].tolist()


def test_pairs_come_sorted_from_all_folders(own_root):
    dataset = own_dataset(own_root)
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    assert [Path(info["img_path"]).relative_to(own_root).as_posix() for info in infos] == [
        "images/a-b.jpg",
        "images/a.jpg",
        "images/deep/c.jpg",
    ]
    assert infos[2]["seg_map_path"] == str(own_root / "labels/deep/c_ids.png")
    assert pixels(dataset, 2) == [[0, 1], [2, 255]]


def test_list_gives_names_order_and_subfolders(own_root):
    (own_root / "train.txt").write_text("deep/c\n\na.jpg\n")
    dataset = own_dataset(own_root, ann_file="train.txt")
    names = [Path(dataset.get_data_info(index)["img_path"]).name for index in range(len(dataset))]
    assert names == ["c.jpg", "a.jpg"]


def test_list_may_hold_whole_paths(own_root):
    (own_root / "train.txt").write_text(f"{own_root}/images/a\n")
    dataset = BaseSegDataset(
        ann_file=str(own_root / "train.txt"),
        data_prefix={"img_path": ""},
        metainfo={"classes": ["sky"]},
        test_mode=True,
    )
    assert dataset.get_data_info(0)["img_path"] == f"{own_root}/images/a.jpg"


@pytest.mark.parametrize(("indices", "length"), [(2, 2), ([0], 1), (None, 3)])
def test_indices_take_a_part(own_root, indices, length):
    assert len(own_dataset(own_root, indices=indices)) == length


def test_lazy_init_reads_nothing_until_asked(tmp_path):
    dataset = own_dataset(tmp_path / "nowhere", lazy_init=True)
    assert dataset.metainfo["classes"] == ["sky", "road", "car"]
    with pytest.raises(UserError, match="nowhere.*data_root"):
        dataset.full_init()


@pytest.mark.parametrize("prefix", [{"img_path": "images"}, PREFIX | {"seg_map_path": None}])
def test_without_labels_for_prediction(own_root, prefix):
    shutil.rmtree(own_root / "labels")
    dataset = own_dataset(own_root, data_prefix=prefix, test_mode=True, pipeline=LOAD[:1])
    assert "seg_map_path" not in dataset[0]
    with pytest.raises(UserError, match=r"a-b\.jpg has no label.*leave LoadAnnotations out"):
        own_dataset(own_root, data_prefix=prefix)[0]


class ThreeClasses(BaseSegDataset):
    METAINFO = {"classes": ("sky", "road", "car"), "palette": [[1, 1, 1], [2, 2, 2], [3, 3, 3]]}
    seg_map_suffix = "_ids.png"


@pytest.mark.parametrize(
    ("classes", "label_map", "palette", "expected"),
    [
        (("sky", "road", "car"), None, [[1, 1, 1], [2, 2, 2], [3, 3, 3]], [[0, 1], [2, 255]]),
        (["car", "sky"], {0: 1, 1: 255, 2: 0}, [[3, 3, 3], [1, 1, 1]], [[1, 255], [0, 255]]),
        (
            ["car", "road", "sky"],
            {0: 2, 1: 1, 2: 0},
            [[3, 3, 3], [2, 2, 2], [1, 1, 1]],
            [[2, 1], [0, 255]],
        ),
    ],
)
def test_subset_of_classes_maps_labels_and_palette(own_root, classes, label_map, palette, expected):
    dataset = ThreeClasses(
        data_root=str(own_root), data_prefix=PREFIX, metainfo={"classes": classes}, pipeline=LOAD
    )
    assert dataset.label_map == dataset.metainfo["label_map"] == label_map
    assert dataset.metainfo["palette"] == palette
    assert pixels(dataset) == expected


def test_dropped_classes_become_the_ignore_index(own_root):
    for path in (own_root / "labels").rglob("*.png"):
        Image.fromarray(np.array([[0, 1], [2, 9]], np.uint8)).save(path)
    dataset = ThreeClasses(
        data_root=str(own_root),
        data_prefix=PREFIX,
        metainfo={"classes": ["car"]},
        ignore_index=9,
        pipeline=LOAD,
    )
    assert pixels(dataset) == [[9, 9], [0, 9]]


def test_colours_are_bright_where_none_are_given(own_root):
    # Hues of 0, 222.5 and 85 degrees, of full value and saturation 0.9, 0.75 and 0.6.
    assert own_dataset(own_root).metainfo["palette"] == [
        [255, 25, 25],
        [64, 120, 255],
        [191, 255, 102],
    ]


def test_own_palette_wins_over_the_subset_rule():
    dataset = CityscapesDataset(
        metainfo={"classes": ["car", "bus"], "palette": [[1, 2, 3], [4, 5, 6]]}, lazy_init=True
    )
    assert dataset.metainfo["palette"] == [[1, 2, 3], [4, 5, 6]]


def test_own_palette_of_all_classes_follows_the_subset():
    metainfo = {"classes": ["car", "sky"], "palette": [[7, 7, 7], [8, 8, 8], [9, 9, 9]]}
    assert ThreeClasses(metainfo=metainfo, lazy_init=True).metainfo["palette"] == [
        [9, 9, 9],
        [7, 7, 7],
    ]


def test_classes_from_a_text_file(own_root):
    (own_root / "classes.txt").write_text("sky\nroad\ncar\n")
    dataset = own_dataset(own_root, metainfo={"classes": str(own_root / "classes.txt")})
    assert dataset.metainfo["classes"] == ["sky", "road", "car"]


@pytest.mark.parametrize("serialize", [True, False])
def test_each_sample_has_its_own_fields(own_root, serialize):
    dataset = own_dataset(own_root, serialize_data=serialize)
    dataset[0]
    info = dataset.get_data_info(0)
    assert info["seg_fields"] == []
    assert (info["num_classes"], info["ignore_index"], info["sample_idx"]) == (3, 255, 0)


def test_color_masks_are_read_through_the_palette(own_root):
    mask = np.array([[[9, 0, 0], [0, 9, 0]], [[0, 0, 9], [0, 0, 0]]], np.uint8)
    for path in (own_root / "labels").rglob("*.png"):
        Image.fromarray(mask).save(path)
    meta = {
        "classes": ["sky", "road", "car"],
        "palette": [[9, 0, 0], [0, 9, 0], [0, 0, 9]],
        "ignored_colors": [[0, 0, 0]],
    }
    assert pixels(own_dataset(own_root, metainfo=meta)) == [[0, 1], [2, 255]]
    # A subset of a subclass's classes: the colours keep their meaning, the ids change.
    subclass = type("Colored", (ThreeClasses,), {"METAINFO": meta})
    options = {"data_root": str(own_root), "data_prefix": PREFIX, "pipeline": LOAD}
    dataset = subclass(metainfo={"classes": ["car", "sky"]}, **options)
    assert pixels(dataset) == [[1, 255], [0, 255]]
    with pytest.raises(UserError, match=r"a-b_ids\.png.*1 colours.*\(0, 0, 0\).*ignored_colors"):
        own_dataset(own_root, metainfo=meta | {"ignored_colors": []})[0]
    with pytest.raises(UserError, match=r"3 channels.*give metainfo\.palette"):
        own_dataset(own_root)[0]


def test_concatenation_of_two_splits_as_in_voc_aug(voc_root):
    def split(name: str, folder: str) -> dict:
        return {
            "type": "mmseg_gc.PascalVOCDataset",
            "data_root": str(voc_root),
            "data_prefix": {"img_path": "JPEGImages", "seg_map_path": folder},
            "ann_file": f"ImageSets/Segmentation/{name}.txt",
            "pipeline": LOAD,
        }

    parts = [split("train", "SegmentationClass"), split("aug", "SegmentationClassAug")]
    dataset = DATASETS.build({"type": "ConcatDataset", "datasets": parts})
    assert isinstance(dataset, ConcatDataset) and len(dataset) == 6
    assert "SegmentationClassAug" in dataset[3]["seg_map_path"]
    assert len(dataset.metainfo["classes"]) == 21


def test_subclass_written_for_mmsegmentation(own_root):
    class Own(BaseSegDataset):
        METAINFO = {"classes": ("sky", "road", "car")}

        def __init__(self, **kwargs):
            super().__init__(img_suffix=".jpg", seg_map_suffix="_ids.png", **kwargs)

        def load_data_list(self):
            return [
                pair | {"label_map": {0: 2}, "reduce_zero_label": False, "seg_fields": []}
                for pair in super().load_data_list()
            ]

    dataset = Own(data_root=str(own_root), data_prefix=PREFIX, pipeline=LOAD)
    assert pixels(dataset) == [[2, 1], [2, 255]]


def drop(*names: str):
    def change(root: Path) -> None:
        for name in names:
            path = root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def write(name: str, text: str):
    def change(root: Path) -> None:
        (root / name).write_text(text)

    return change


def nothing(root: Path) -> None: ...


@pytest.mark.parametrize(
    ("change", "options", "sentence"),
    [
        (drop("images"), {}, r"images' does not exist.*data_prefix\.img_path"),
        (drop("labels"), {}, r"labels' does not exist.*data_prefix\.seg_map_path"),
        (nothing, {"data_root": "no/where"}, r"'no/where' does not exist.*data_root"),
        (nothing, {"data_root": None, "data_prefix": None}, r"'' does not exist.*data_root"),
        (nothing, {"data_prefix": {"img": "images"}}, r"\['img'\].*img_path"),
        (nothing, {"img_suffix": ".png"}, r"ends in '\.png' \(it holds 3 of '\.jpg'\).*img_suffix"),
        (
            drop("images/a.jpg", "images/a-b.jpg", "images/deep"),
            {},
            r"no file in .*images' ends in '\.jpg' \(it holds no file at all\)",
        ),
        (
            drop("labels/a_ids.png"),
            {"backend_args": {"backend": "local"}},
            r"1 of 3 images have no label",
        ),
        (nothing, {"ann_file": "val.txt"}, r"val\.txt' does not exist: correct ann_file"),
        (write("val.txt", "\n \n"), {"ann_file": "val.txt"}, r"val\.txt' is empty"),
        (
            write("val.txt", "a\nb\nc\nd\ne"),
            {"ann_file": "val.txt"},
            r"4 of the 5 images in .*val\.txt' do not exist, first .*b\.jpg.*c\.jpg.*d\.jpg': ",
        ),
        (
            drop("labels/a_ids.png", "labels/deep"),
            {},
            r"2 of 3 images have no label, first .*labels/a_ids\.png', .*deep/c_ids\.png'.*ann_f",
        ),
        (nothing, {"metainfo": {}, "test_mode": True}, r"no classes.*metainfo\.classes"),
        (nothing, {"metainfo": {"classes": ["a", "b", "a"]}}, r"\['a'\] more than once"),
        (nothing, {"metainfo": {"classes": "sky"}}, r"is the text 'sky'"),
        (
            nothing,
            {"metainfo": {"classes": ["a", "b"], "palette": [[0, 0, 0]]}},
            r"palette has 1 colours for 2 classes",
        ),
        (nothing, {"ignore_index": -100}, r"ignore_index is -100.*0 to 255"),
    ],
)
def test_wrong_input_is_named_at_the_start(own_root, change, options, sentence):
    change(own_root)
    with pytest.raises(UserError, match=sentence) as caught:
        own_dataset(own_root, **options)
    assert "\n" not in user_sentence(caught.value)


def test_classes_that_the_data_set_does_not_have():
    with pytest.raises(UserError, match=r"\['boat'\].*CityscapesDataset.*BaseSegDataset"):
        CityscapesDataset(metainfo={"classes": ["car", "boat"]}, lazy_init=True)


def test_label_ids_outside_the_classes_are_named(own_root):
    with pytest.raises(UserError, match=r"a-b_ids\.png.*outside the 2 classes: 2;.*reduce_zero"):
        own_dataset(own_root, metainfo={"classes": ["sky", "road"]})[0]
    with pytest.raises(UserError, match=r"outside the 3 classes: 255;.*ignore_index \(11\)"):
        own_dataset(own_root, ignore_index=11)[0]


def test_classes_of_a_label_for_balancing(own_root):
    dataset = own_dataset(own_root, pipeline=[], metainfo=dict(classes=["sky", "road", "car"]))
    assert dataset.get_cat_ids(0) == [0, 1, 2]
    label = np.full((2, 2), 2, np.uint8)
    Image.fromarray(label).save(own_root / "labels/a-b_ids.png")
    assert dataset.get_cat_ids(0) == [2]
