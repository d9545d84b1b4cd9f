"""Published data sets, made small here in the owners' layouts, become what their configs read."""

import importlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmseg_gc.cli.converters import coco_stuff, pascal_context
from mmseg_gc.cli.converters.tiles import tiles
from mmseg_gc.registry import DATASETS

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture
def convert(capfd):
    """``convert("loveda", SOURCE, …)`` gives the exit status, what was printed, and the errors."""

    def call(name, *arguments):
        module = importlib.import_module(f"mmseg_gc.cli.converters.{name}")
        with pytest.raises(SystemExit) as end:
            module.main(["--nproc", "1", *map(str, arguments)])
        return end.value.code, *capfd.readouterr()

    return call


def write(path: Path, pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)


def pack(folder: Path, archive: Path) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w") as packed:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            packed.write(file, file.relative_to(folder.parent))


def read(path: Path) -> list:
    return np.asarray(Image.open(path)).tolist()


def samples(name: str, root: Path, images: str, labels: str, **options) -> list[list]:
    """What training sees of the labels, by the data set's own class."""
    dataset = DATASETS.build(
        dict(
            type=name,
            data_root=str(root),
            data_prefix=dict(img_path=images, seg_map_path=labels),
            pipeline=[dict(type="LoadImageFromFile"), dict(type="LoadAnnotations")],
            **options,
        )
    )
    return [sample["gt_seg_map"].tolist() for sample in dataset]


def test_old_and_new_folder_of_scripts_hold_the_same():
    old, new = (
        {path.name: path.read_text() for path in (TOOLS / folder).glob("*.py")}
        for folder in ("convert_datasets", "dataset_converters")
    )
    assert old == new and {"loveda.py", "coco_stuff164k.py", "pascal_context.py"} < old.keys()


@pytest.fixture
def loveda(tmp_path):
    """The folder of a download: three archives."""
    for split, places in (("Train", "Rural Urban"), ("Val", "Rural"), ("Test", "Urban")):
        for number, place in enumerate(places.split()):
            name = f"{split}{number}.png"
            write(tmp_path / split / place / "images_png" / name, np.zeros((1, 3, 3)))
            if split != "Test":
                write(tmp_path / split / place / "masks_png" / name, [[0, 1, 7]])
        pack(tmp_path / split, tmp_path / "zips" / f"{split}.zip")
    return tmp_path / "zips"


def test_loveda(convert, loveda, tmp_path):
    out = tmp_path / "out"
    status, printed, err = convert("loveda", loveda, "--tmp_dir", "x", "--out_dir", out)
    assert status == 0 and "pairs checked |    3 " in printed, err
    assert samples("LoveDADataset", out, "img_dir/train", "ann_dir/train") == [[[255, 0, 6]]] * 2
    assert (out / "img_dir/test/Test0.png").is_file() and not (out / "ann_dir/test").exists()


def test_what_loveda_lacks_is_named_and_nothing_written(convert, loveda, tmp_path):
    (tmp_path / "Val/Rural/masks_png/Val0.png").unlink()
    pack(tmp_path / "Val", loveda / "Val.zip")
    status, _, err = convert("loveda", loveda, "-o", tmp_path / "out")
    assert status == 1 and "val/Val0.png has no mask" in err and not (tmp_path / "out").exists()


COLOURS = [(0, 0, 0), (255, 255, 255), (0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0), (255, 0, 0)]  # fmt: skip # noqa: E501


def test_where_tiles_lie():
    assert list(tiles((4, 5), 3, 3)) == [(0, 0, 3, 3), (2, 0, 5, 3), (0, 1, 3, 4), (2, 1, 5, 4)]
    assert list(tiles((2, 6), 3, 3)) == [(0, 0, 3, 2), (3, 0, 6, 2)]  # lower than a tile
    assert [left for left, *_ in tiles((3, 6), 3, 2)] == [0, 2, 3]
    assert len(list(tiles((6000, 6000), 512, 512))) == 144  # Potsdam's


@pytest.mark.parametrize(
    ("name", "of", "images", "labels", "area"),
    [
        ("potsdam", "PotsdamDataset", "2_Ortho_RGB/top_potsdam_{}_RGB.tif",
         "5_Labels_all_noBoundary/top_potsdam_{}_label_noBoundary.tif", ("2_10", "2_13")),
        ("vaihingen", "ISPRSDataset", "top/top_mosaic_09cm_{}.tif",
         "gt/top_mosaic_09cm_{}_noBoundary.tif", ("area1", "area2")),
    ],
)  # fmt: skip
def test_tiles_of_the_isprs(convert, tmp_path, name, of, images, labels, area):
    ids = np.random.default_rng(0).integers(0, 7, (4, 5))
    for one in area:
        write(tmp_path / "d" / images.format(one), np.stack([ids, ids + 10, ids + 20], -1))
        write(tmp_path / "d" / labels.format(one), np.array(COLOURS)[ids])
    for place in (images, labels):
        folder = place.split("/")[0]
        pack(tmp_path / "d" / folder, tmp_path / "zips" / f"{folder}.zip")
    out = tmp_path / "out"
    flags = ("--clip_size", 3, "-o", out)
    status, printed, err = convert(name, tmp_path / "zips", *flags)
    assert status == 0 and "labels cut |    2 " in printed, err
    for split, one in zip(("train", "val"), area, strict=True):
        for left, top, right, bottom in ((0, 0, 3, 3), (2, 0, 5, 3), (0, 1, 3, 4), (2, 1, 5, 4)):
            tile = f"{split}/{one}_{left}_{top}_{right}_{bottom}.png"
            part = ids[top:bottom, left:right]
            assert read(out / "ann_dir" / tile) == part.tolist()
            pixels = np.asarray(Image.open(out / "img_dir" / tile))
            assert (pixels == np.stack([part, part + 10, part + 20], -1)).all()
    seen = samples(of, out, "img_dir/val", "ann_dir/val")
    assert seen[0] == (ids[:3, :3] - 1 & 255).tolist()
    status, printed, _ = convert(name, tmp_path / "zips", *flags)
    assert status == 0 and "labels cut |    0 |       2 |" in printed


def test_what_is_none_of_the_isprs(convert, tmp_path):
    image = tmp_path / "d/top_potsdam_2_10_RGB.tif"
    label = tmp_path / "d/top_potsdam_2_10_label.tif"
    write(image, np.zeros((2, 2, 3)))
    status, _, err = convert("potsdam", tmp_path / "d", "-o", tmp_path / "o")
    assert status == 1 and "2_10 has no label" in err
    write(label, np.full((2, 2, 3), 9))
    status, _, err = convert("potsdam", tmp_path / "d", "-o", tmp_path / "o")
    assert status == 1 and "has the colour (9, 9, 9)" in err
    assert not (tmp_path / "o/ann_dir").exists() or not any((tmp_path / "o/ann_dir").rglob("*.png"))
    label.write_bytes(image.read_bytes()[:60])
    status, _, err = convert("potsdam", tmp_path / "d", "-o", tmp_path / "o")
    assert status == 1 and "is no readable image" in err
    status, _, err = convert("potsdam", tmp_path / "d", "--clip_size", -1)
    assert status == 1 and "give 1 or more" in err


def test_pascal_context(convert, tmp_path):
    voc = tmp_path / "VOCdevkit/VOC2010"
    whole = dict(images=[], annos_segmentation=[])
    for number, (stem, phase) in enumerate((("b", "train"), ("a", "train"), ("c", "val"))):
        write(voc / f"JPEGImages/{stem}.jpg", np.zeros((2, 3, 3)))
        facts = dict(image_id=number, file_name=f"{stem}.jpg", phase=phase, height=2, width=3)
        whole["images"].append(facts)
    # The owner's 2 and 458 are the classes 1 and 59; the later lies on top, down the columns.
    for category, runs in ((2, "04"), (458, "222")):
        one = dict(image_id=1, category_id=category, segmentation=dict(counts=runs, size=[2, 3]))
        whole["annos_segmentation"].append(one)
    whole["annos_segmentation"][0]["segmentation"]["counts"] = "042"
    (tmp_path / "x.json").write_text(json.dumps(whole))
    status, _, err = convert("pascal_context", tmp_path / "VOCdevkit", tmp_path / "x.json")
    assert status == 0, err
    assert read(voc / "SegmentationClassContext/a.png") == [[1, 59, 0], [1, 59, 0]]
    assert (voc / "ImageSets/SegmentationContext/train.txt").read_text() == "a\nb\n"
    assert (voc / "ImageSets/SegmentationContext/val.txt").read_text() == "c\n"
    options = dict(ann_file="ImageSets/SegmentationContext/train.txt")
    folders = "JPEGImages", "SegmentationClassContext"
    assert samples("PascalContextDataset59", voc, *folders, **options) == [
        [[0, 58, 255], [0, 58, 255]],
        [[255] * 3] * 2,
    ]
    for change, words in (
        (dict(category_id=1), "has the category 1, which is none of the 59"),
        (dict(segmentation=dict(counts="5", size=[2, 3])), "a has run lengths that aren't those"),
        (dict(segmentation=7), "is no file of PASCAL in Detail"),
    ):
        broken = whole | dict(annos_segmentation=[whole["annos_segmentation"][0] | change])
        (tmp_path / "y.json").write_text(json.dumps(broken))
        status, _, err = convert("pascal_context", voc, tmp_path / "y.json", "-o", tmp_path / "o")
        assert status == 1 and words in err
    assert len(pascal_context.CATEGORIES) == 60


def test_ids_of_coco_stuff():
    small, large = coco_stuff.table_10k(), coco_stuff.table_164k()
    assert len(small) == len(large) == 172
    # As in mmsegmentation's tables: the first, what follows an unused id, and the last.
    assert [small[number] for number in (0, 1, 11, 13, 182)] == [0, 1, 11, 12, 171]
    assert [large[number] for number in (0, 10, 12, 181, 255)] == [0, 10, 11, 170, 255]


def test_coco_stuff_164k(convert, tmp_path):
    root = tmp_path / "data"
    for split in ("train2017", "val2017"):
        write(root / "images" / split / "7.jpg", np.zeros((1, 4, 3)))
        write(root / "annotations" / split / "7.png", [[0, 12, 181, 255]])
    for _ in range(2):  # the second time there are labels of ids as well
        status, _, err = convert("coco_stuff164k", root, "--allow-partial")
        assert status == 0, err
        seen = samples("COCOStuffDataset", root, "images/val2017", "annotations/val2017")
        assert seen == [[[0, 11, 170, 255]]]
    status, _, err = convert("coco_stuff164k", root)
    assert status == 1 and "2 images instead of 123287" in err
    write(root / "annotations/val2017/7.png", [[11, 0, 0, 0]])
    status, _, err = convert("coco_stuff164k", root, "--allow-partial", "-o", tmp_path / "o")
    assert status == 1 and "has the ids [11], which COCO-Stuff does not have" in err
    assert not (tmp_path / "o/annotations/val2017/7_labelTrainIds.png").exists()
    (root / "annotations/val2017/7.png").unlink()
    status, _, err = convert("coco_stuff164k", root, "--allow-partial")
    assert status == 1 and "val2017/7 has no annotation" in err


def test_coco_stuff_10k(convert, tmp_path):
    scipy_io = pytest.importorskip("scipy.io")
    root = tmp_path / "cocostuff"
    for split, stem in (("train", "7"), ("test", "8")):
        write(root / f"images/{stem}.jpg", np.zeros((1, 4, 3)))
        (root / "annotations").mkdir(exist_ok=True)
        ids = np.array([[0, 1, 13, 182]], np.uint16)
        scipy_io.savemat(root / f"annotations/{stem}.mat", {"S": ids})
        (root / "imageLists").mkdir(exist_ok=True)
        (root / f"imageLists/{split}.txt").write_text(f"{stem}\n")
    archive = tmp_path / "cocostuff-10k-v1.1.zip"
    pack(root, archive)
    status, _, err = convert("coco_stuff10k", archive, "--allow-partial", "-o", tmp_path / "o")
    assert status == 0, err
    options = dict(reduce_zero_label=True)
    folders = "images/test2014", "annotations/test2014"
    seen = samples("COCOStuffDataset", tmp_path / "o", *folders, **options)
    assert seen == [[[255, 0, 11, 170]]]
    (root / "annotations/8.mat").write_bytes(b"none")
    status, _, err = convert("coco_stuff10k", root, "--allow-partial", "-o", tmp_path / "p")
    assert status == 1 and "is no file of COCO-Stuff's" in err
    (root / "annotations/8.mat").unlink()
    status, _, err = convert("coco_stuff10k", root, "--allow-partial", "-o", tmp_path / "q")
    assert status == 1 and "names 8, which lacks annotations/8.mat" in err
