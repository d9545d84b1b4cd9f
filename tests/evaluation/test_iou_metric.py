import itertools
import math

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler
from PIL import Image

from mmseg_gc.errors import UserError
from mmseg_gc.evaluation import IoUMetric
from mmseg_gc.registry import METRICS


def metric(**options) -> IoUMetric:
    built = METRICS.build({"type": "IoUMetric", **options})
    built.dataset_meta = {"classes": ["sky", "road", "car", "tram"]}
    return built


def sample(pred: list, label: list | None, dtype=torch.uint8, **meta) -> dict:
    found = {"pred_sem_seg": {"data": torch.tensor([pred], dtype=dtype)}, **meta}
    if label is not None:
        found["gt_sem_seg"] = {"data": torch.tensor([label])}
    return found


# Over both: sky 2 hit of 3 true and 3 found; road 1 of 2 and 2; car 0 of 0 and 1; tram nowhere.
TWO = [
    sample([[0, 0, 1]], [[0, 0, 1]], img_path="a.png"),
    sample([[0, 1, 2, 3]], [[1, 0, 255, 255]], img_path="b.png"),
    sample([[2]], [[1]], img_path="c.png"),
]


def scored(**options) -> tuple[dict, IoUMetric]:
    built = metric(**options)
    built.process({}, TWO[:2])
    built.process({}, TWO[2:])
    return built.evaluate(3), built


def test_means_and_classes_by_hand():
    means, built = scored()
    # IoU: sky 2/4, road 1/4, car 0/1. Acc: sky 2/3, road 1/3.
    assert means == {"aAcc": 50.0, "mIoU": 25.0, "mAcc": 50.0}
    assert built.class_values["IoU"][:3] == [50.0, 25.0, 0.0]
    assert math.isnan(built.class_values["IoU"][3])
    assert built.confusion.tolist() == [[2, 1, 0, 0], [1, 1, 1, 0], [0] * 4, [0] * 4]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in built.table.split("\n")]
    assert rows[1] == ["Class", "IoU", "Acc"]
    assert rows[3:7] == [
        ["sky", "50.0", "66.67"],
        ["road", "25.0", "33.33"],
        ["car", "0.0", "nan"],
        ["tram", "nan", "nan"],
    ]


def test_every_figure_in_mmsegmentation_s_order():
    means, _ = scored(iou_metrics=["mIoU", "mDice", "mFscore"], beta=2)
    assert list(means) == ["aAcc", "mIoU", "mAcc", "mDice", "mFscore", "mPrecision", "mRecall"]
    assert all(type(value) is float for value in means.values())
    # Dice: 4/6, 2/5, 0/1. Precision: 2/3, 1/2, 0/1.
    assert means["mDice"] == round((4 / 6 + 2 / 5 + 0) / 3 * 100, 2)
    assert means["mPrecision"] == round((2 / 3 + 1 / 2 + 0) / 3 * 100, 2)
    assert means["mFscore"] == round((10 / 15 + 5 / 14 + 0) / 3 * 100, 2)


def test_nan_to_num_counts_absent_classes():
    means, _ = scored(nan_to_num=0, iou_metrics="mIoU")
    assert means == {"aAcc": 50.0, "mIoU": round(75 / 4, 2), "mAcc": 25.0}


def test_prefix_and_second_use():
    means, built = scored(prefix="val")
    assert list(means) == ["val/aAcc", "val/mIoU", "val/mAcc"]
    assert len(built.results) == 0
    built.process({}, [sample([[0]], [[0]])])
    assert built.evaluate(1) == {"val/aAcc": 100.0, "val/mIoU": 100.0, "val/mAcc": 100.0}


def test_one_matrix_whatever_the_number_of_samples():
    built = metric()
    for _ in range(5):
        built.process({}, TWO)
    assert [matrix.counts().shape for matrix in built.results] == [(4, 4)]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_ignore_index_of_the_data_set(dtype):
    built = metric(ignore_index=11)
    built.process({}, [sample([[0, 3]], [[0, 11]], dtype)])
    assert built.evaluate(1)["aAcc"] == 100.0


@pytest.mark.parametrize("nan_to_num", [None, 0])
def test_an_ignored_class_is_left_out_of_every_mean(nan_to_num):
    """Class 0 is ignored: what it is predicted for elsewhere is missed there, and nothing else."""
    draw = np.random.default_rng(0)
    label, pred = draw.integers(0, 4, (2, 30, 30))
    built = metric(ignore_index=0, iou_metrics=["mIoU", "mDice", "mFscore"], nan_to_num=nan_to_num)
    built.process({}, [sample(pred.tolist(), label.tolist())])
    means = built.evaluate(1)

    valid = label != 0
    hit = np.array([(valid & (label == c) & (pred == c)).sum() for c in (1, 2, 3)])
    true = np.array([(valid & (label == c)).sum() for c in (1, 2, 3)])
    found = np.array([(valid & (pred == c)).sum() for c in (1, 2, 3)])
    right = {
        "mIoU": hit / (true + found - hit),
        "mAcc": hit / true,
        "mDice": 2 * hit / (true + found),
        "mFscore": 2 * hit / (true + found),
        "mPrecision": hit / found,
        "mRecall": hit / true,
    }
    assert (pred[valid] == 0).any()
    assert means.pop("aAcc") == round(hit.sum() / valid.sum() * 100, 2)
    assert means == {name: round(values.mean() * 100, 2) for name, values in right.items()}
    assert all(math.isnan(values[0]) for values in built.class_values.values())


def test_no_sample_at_all_in_one_process():
    built = metric()
    means = built.evaluate(0)
    assert all(math.isnan(value) for value in means.values())


@pytest.mark.parametrize("reduce_zero_label", [False, True])
def test_predictions_as_png(tmp_path, reduce_zero_label):
    built = metric(output_dir=str(tmp_path / "out"), format_only=True)
    for name in ("a", "b"):
        pred = sample([[0, 1], [2, 3]], None, img_path=f"x/{name}.jpg")
        built.process({}, [pred | {"reduce_zero_label": reduce_zero_label}])
    assert built.evaluate(2) == {}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png"]
    written = np.array(Image.open(tmp_path / "out" / "b.png"))
    assert written.tolist() == (np.array([[0, 1], [2, 3]]) + reduce_zero_label).tolist()


def test_predictions_are_scored_and_written(tmp_path):
    means, _ = scored(output_dir=str(tmp_path))
    assert means["aAcc"] == 50.0 and len(list(tmp_path.iterdir())) == 3


def test_two_images_of_one_name_do_not_overwrite_each_other(tmp_path):
    built = metric(output_dir=str(tmp_path), format_only=True)
    built.process({}, [sample([[0]], None, img_path="x/a.jpg")])
    with pytest.raises(UserError, match=r"y/a\.jpg and x/a\.jpg would both be written to .*a\.png"):
        built.process({}, [sample([[0]], None, img_path="y/a.jpg")])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"iou_metrics": ["mIoU", "IoU"]}, r"\['IoU'\]: choose from mIoU, mDice, mFscore"),
        ({"format_only": True}, "format_only needs output_dir"),
    ],
)
def test_options_are_checked_at_once(options, sentence):
    with pytest.raises(UserError, match=sentence):
        metric(**options)


def test_unknown_option_is_named():
    with pytest.raises(UserError, match="efficient_test"):
        metric(efficient_test=True)


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (sample([[0]], None, img_path="a.png"), r"a\.png has no label.*format_only"),
        (
            sample([[0, 0]], [[0]], seg_map_path="l.png"),
            r"l\.png has a label of shape \(1, 1\) but a prediction of \(1, 2\)",
        ),
        (
            sample([[0]], [[11]], seg_map_path="l.png"),
            r"l\.png: label ids \[11\] are outside the 4 classes;.*ignore_index \(255\)",
        ),
        (sample([[7]], [[0]], img_path="a.png"), r"a\.png: predicted ids \[7\] are outside"),
    ],
)
def test_wrong_sample_is_named(bad, sentence):
    with pytest.raises(UserError, match=sentence):
        metric().process({}, [bad])


@pytest.mark.parametrize("size", [2, 4])
def test_samples_seen_twice_or_never_are_an_error(size):
    built = metric()
    built.process({}, TWO)
    with pytest.raises(UserError, match=rf"saw 3 samples of a data set of {size}: set round_up=F"):
        built.evaluate(size)
    built.process({}, TWO)
    assert built.evaluate(3)["aAcc"] == 50.0


def scores_of(size: int, batch: int, round_up: bool = False) -> list:
    """Of ``size`` samples that the ranks share, a ``batch`` at a time; with the counts."""

    def read(index: int) -> dict:
        ids = torch.randint(0, 4, (2, 1, 9, 9), generator=torch.Generator().manual_seed(index))
        ids[1, 0, index] = 255
        return {"pred_sem_seg": {"data": ids[0].to(torch.uint8)}, "gt_sem_seg": {"data": ids[1]}}

    built = metric(iou_metrics=["mIoU", "mFscore"])
    order = list(DefaultSampler(range(size), shuffle=False, round_up=round_up))
    for first in range(0, len(order), batch):
        built.process({}, [read(index) for index in order[first : first + batch]])
    return [built.evaluate(size), built.confusion.tolist()]


@pytest.mark.parametrize("world_size", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_several_processes_give_the_numbers_of_one(world_size, in_ranks):
    def scores() -> list:
        return [scores_of(size, batch) for size, batch in itertools.product((1, 5, 7), (1, 3))]

    def work(rank: int) -> tuple[list, str]:
        found = scores()
        with pytest.raises(UserError) as twice:
            scores_of(5, 1, round_up=True)
        return found, str(twice.value)

    alone = scores()
    for found, twice in in_ranks(work, world_size):
        assert found == alone
        assert "saw 6 samples of a data set of 5" in twice
    assert sum(map(sum, alone[4][1])) == 7 * 8 * 9
