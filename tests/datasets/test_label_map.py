"""What the values of a label file become: `label_map`, grey palettes, and what is refused."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from PIL import Image

from mmseg_gc.datasets import BaseSegDataset, ConcatDataset
from mmseg_gc.datasets.pack import INDEX
from mmseg_gc.datasets.transforms.labels import id_table
from mmseg_gc.errors import UserError
from mmseg_gc.evaluation import IoUMetric
from mmseg_gc.evaluation.label_files import label_file_ids

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import pack_dataset

LOAD = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}]
PREFIX = {"img_path": "images", "seg_map_path": "labels"}
BLACK_WHITE = {"classes": ["bg", "fg"], "palette": [[0, 0, 0], [255, 255, 255]]}


def write(root: Path, *labels: list) -> Path:
    for folder in ("images", "labels"):
        shutil.rmtree(root / folder, ignore_errors=True)
        (root / folder).mkdir()
    for index, label in enumerate(labels):
        pixels = np.array([label], np.uint8)
        Image.fromarray(pixels).save(root / f"labels/{index}.png")
        Image.fromarray(np.zeros((*pixels.shape, 3), np.uint8)).save(root / f"images/{index}.jpg")
    return root


def options(root: Path, **changes) -> dict:
    given = {"data_root": str(root), "data_prefix": PREFIX, "pipeline": LOAD}
    return given | {"metainfo": {"classes": ["bg", "fg"]}} | changes


def read(root: Path, **changes) -> list[list[int]]:
    dataset = BaseSegDataset(**options(root, **changes))
    return [dataset[index]["gt_seg_map"][0].tolist() for index in range(len(dataset))]


@pytest.mark.parametrize(
    ("label", "changes", "expected"),
    [
        ([0, 255], {}, [0, 255]),
        ([0, 255], {"label_map": {255: 1}}, [0, 1]),
        ([0, 255], {"label_map": {"255": "1"}}, [0, 1]),  # as --cfg-options and JSON have it
        ([0, 255, 7], {"label_map": {255: 1}, "ignore_index": 7}, [0, 1, 7]),
        ([128, 255], {"label_map": {128: 0, 255: 1}}, [0, 1]),
        ([0, 128, 255], {"label_map": {128: 255, 255: 1}}, [0, 255, 1]),
        # The map comes first; then 0 is void and the ids count from 1.
        ([0, 255, 1], {"label_map": {255: 2}, "reduce_zero_label": True}, [255, 1, 0]),
        ([0, 3, 127, 128, 250, 255], {"label_map": {i: int(i > 127) for i in range(256)}}, None),
    ],
)
def test_label_map_says_what_an_id_in_the_file_stands_for(tmp_path, label, changes, expected):
    expected = expected or [int(value > 127) for value in label]
    assert read(write(tmp_path, label), **changes) == [expected]


def test_label_map_comes_before_a_subset_of_the_classes():
    # File 9 stands for old class 2, which the subset calls 0; old class 1 is left out.
    table = id_table(False, {0: 1, 1: 255, 2: 0}, 255, {9: 2})
    assert table[[0, 1, 2, 9, 200]].tolist() == [1, 255, 0, 0, 200]


@pytest.mark.parametrize(
    ("label_map", "sentence"),
    [
        ({255: 2}, r"turns 255 into 2, but the 2 classes .* have the ids 0 to 1"),
        ({255: 300}, "ids of the label files"),
        ({-1: 0}, "ids of the label files"),
        ({"fg": 1}, "ids of the label files"),
        ([255, 1], "ids of the label files"),
    ],
)
def test_a_map_that_leads_nowhere_is_refused(tmp_path, label_map, sentence):
    with pytest.raises(UserError, match=sentence):
        BaseSegDataset(**options(tmp_path, label_map=label_map, lazy_init=True))


def test_one_bit_files_hold_one_and_not_255(tmp_path):
    write(tmp_path, [0, 1])
    Image.fromarray(np.array([[False, True]])).save(tmp_path / "labels/0.png")
    assert read(tmp_path, metainfo=BLACK_WHITE) == [[0, 1]]
    steps = [LOAD[0], {"type": "LoadAnnotations", "imdecode_backend": "cv2"}]
    assert read(tmp_path, pipeline=steps) == [[0, 1]]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([[0, 255], [0, 0]], [[0, 1], [0, 0]]),
        ([[0, 0], [255, 255]], [[0, 0], [1, 1]]),  # the first mask leaves it open
        ([[0, 1], [1, 255]], [[0, 1], [1, 255]]),  # ids, the palette is for drawing, 255 is void
        ([[0, 0], [0, 0]], [[0, 0], [0, 0]]),
    ],
)
def test_a_palette_of_greys_reads_masks_of_one_channel(tmp_path, labels, expected):
    assert read(write(tmp_path, *labels), metainfo=BLACK_WHITE) == expected
    assert read(tmp_path, metainfo=BLACK_WHITE, label_map={}) == labels  # said outright: ids


def test_grey_palettes_of_other_orders_and_with_ignored_levels(tmp_path):
    white_first = {"classes": ["bg", "fg"], "palette": [[255] * 3, [0] * 3]}
    assert read(write(tmp_path, [0, 255]), metainfo=white_first) == [[1, 0]]
    three = BLACK_WHITE | {"ignored_colors": [[128, 128, 128]]}
    assert read(write(tmp_path, [0, 128, 255]), metainfo=three) == [[0, 255, 1]]
    # As with colours, the palette leads to the ids of training at once.
    assert read(tmp_path, metainfo=three, reduce_zero_label=True) == [[0, 255, 1]]
    colour = {"classes": ["bg", "fg"], "palette": [[0, 0, 0], [255, 0, 0]]}
    assert read(write(tmp_path, [0, 255]), metainfo=colour) == [[0, 255]]


def test_ids_among_grey_levels_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"1\.png has label ids outside the 2 classes: 1;"):
        read(write(tmp_path, [0, 255], [1, 0]), metainfo=BLACK_WHITE)


def test_each_part_of_a_concatenation_has_its_own_map(tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    parts = [
        BaseSegDataset(**options(write(tmp_path / "a", [0, 255]), label_map={255: 1})),
        BaseSegDataset(**options(write(tmp_path / "b", [0, 1, 255]))),
    ]
    dataset = ConcatDataset(parts)
    assert [dataset[i]["gt_seg_map"][0].tolist() for i in (0, 1)] == [[0, 1], [0, 1, 255]]


@pytest.mark.parametrize(
    ("label", "changes"),
    [
        ([0, 255], {"label_map": {255: 1}}),
        ([0, 255], {"metainfo": BLACK_WHITE}),
        ([0, 1], {"metainfo": BLACK_WHITE}),
        ([64, 128], {"label_map": {64: 1, 128: 2}, "reduce_zero_label": True}),
    ],
)
def test_predictions_are_written_with_the_numbers_of_the_label_files(tmp_path, label, changes):
    """The first class is the first pixel's, the second the second's; by data set and by sample."""
    steps = [*LOAD, {"type": "PackSegInputs"}]
    root = write(tmp_path, label)
    dataset = BaseSegDataset(**options(root, pipeline=steps, **changes))
    assert label_file_ids(dataset.metainfo)[:2].tolist() == label
    metric = IoUMetric(output_dir=str(tmp_path / "out"), format_only=True)
    metric.dataset_meta = {"classes": ["bg", "fg"]}  # of another data set in a concatenation
    sample = dataset[0]["data_samples"]
    sample.pred_sem_seg = PixelData(data=torch.tensor([[[0, 1]]]))
    metric.process({}, [sample.to_dict()])
    assert np.array(Image.open(tmp_path / "out/0.png")).tolist() == [label]


@pytest.mark.parametrize("changes", [{"label_map": {255: 1}}, {"metainfo": BLACK_WHITE}])
def test_packed_copies_hold_the_mapped_ids_and_their_map(tmp_path, changes):
    root, target = write(tmp_path, [0, 255]), tmp_path / "train.pack"
    cfg = options(root, **changes)
    with DefaultScope.overwrite_default_scope("mmseg_gc"):
        pack_dataset.pack({"type": "BaseSegDataset", **cfg}, "dataset", target, False)
    assert read(root, packed=str(target), **changes) == [[0, 1]]
    header = json.loads((target / INDEX).read_text().splitlines()[0])
    assert header["label_rules"]["file_label_map"]["255"] == 1
    with pytest.raises(UserError, match="was packed with file_label_map="):
        read(root, packed=str(target), label_map={255: 0})
    for folder in PREFIX.values():
        shutil.rmtree(root / folder)
    assert read(root, packed=str(target), **changes) == [[0, 1]]
