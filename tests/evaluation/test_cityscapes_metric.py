"""cityscapesscripts' evaluator against hand counts and against `IoUMetric`."""

from pathlib import Path

import numpy as np
import pytest
import torch
from cityscapesscripts.helpers.labels import id2label, labels
from PIL import Image

from mmseg_gc.datasets import CityscapesDataset
from mmseg_gc.errors import UserError
from mmseg_gc.evaluation import CityscapesMetric, IoUMetric
from mmseg_gc.registry import METRICS

CLASSES = CityscapesDataset.METAINFO["classes"]


@pytest.fixture
def samples(tmp_path) -> list[dict]:
    """Three images of 32 x 64 with every label id, train ids and instances, and predictions."""
    rng, made = np.random.default_rng(0), []
    folder = tmp_path / "gtFine" / "val" / "ulm"
    folder.mkdir(parents=True)
    all_ids = [label.id for label in labels if label.id >= 0]
    for frame in range(3):
        stem = f"ulm_000000_{frame:06d}"
        ids = np.repeat(np.repeat(rng.choice(all_ids, (8, 16)), 4, 0), 4, 1)
        has_instances = np.isin(ids, [label.id for label in labels if label.hasInstances])
        train_ids = np.vectorize(lambda number: id2label[number].trainId)(ids)
        for name, pixels in (
            ("labelIds", ids.astype(np.uint8)),
            ("labelTrainIds", train_ids.astype(np.uint8)),
            ("instanceIds", np.where(has_instances, ids * 1000 + 1, ids).astype(np.uint16)),
        ):
            Image.fromarray(pixels).save(folder / f"{stem}_gtFine_{name}.png")
        noise = rng.integers(0, 19, ids.shape)
        pred = np.where((rng.random(ids.shape) < 0.7) & (train_ids < 19), train_ids, noise)
        made.append(
            {
                "img_path": f"leftImg8bit/val/ulm/{stem}_leftImg8bit.png",
                "seg_map_path": str(folder / f"{stem}_gtFine_labelTrainIds.png"),
                "pred_sem_seg": {"data": torch.from_numpy(pred[None].astype(np.uint8))},
                "gt_sem_seg": {"data": torch.from_numpy(train_ids[None].astype(np.int64))},
            }
        )
    return made


def metric(tmp_path: Path, **options) -> CityscapesMetric:
    built = METRICS.build(
        {"type": "CityscapesMetric", "output_dir": str(tmp_path / "out"), **options}
    )
    built.dataset_meta = {"classes": CLASSES}
    return built


def test_agrees_with_the_iou_metric(samples, tmp_path):
    built, ours = metric(tmp_path), IoUMetric()
    ours.dataset_meta = {"classes": CLASSES}
    for one in (built, ours):
        one.process({}, samples[:2])
        one.process({}, samples[2:])
    scores, means = built.evaluate(3), ours.evaluate(3)
    assert round(scores["averageScoreClasses"] * 100, 2) == means["mIoU"]
    assert 40 < means["mIoU"] < 80
    assert set(scores) == {
        "averageScoreClasses",
        "averageScoreCategories",
        "averageScoreInstClasses",
        "averageScoreInstCategories",
    }
    assert 0 < scores["averageScoreInstClasses"] < scores["averageScoreInstCategories"] < 1
    assert not (tmp_path / "out").exists()


def test_perfect_predictions_score_one(samples, tmp_path):
    for sample in samples:
        truth = sample["gt_sem_seg"]["data"]
        sample["pred_sem_seg"]["data"] = truth.to(torch.uint8)  # 255 is written as unlabeled
    built = metric(tmp_path, prefix="city")
    built.process({}, samples)
    scores = built.evaluate(3)
    assert scores["city/averageScoreClasses"] == scores["city/averageScoreCategories"] == 1.0


def test_other_files_of_the_folder_stay(samples, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    built = metric(tmp_path)
    built.process({}, samples)
    assert len(list((tmp_path / "out").iterdir())) == 4
    built.evaluate(3)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("options", [{"keep_results": True}, {"format_only": True}])
def test_files_in_label_ids_are_kept(samples, tmp_path, options):
    if "format_only" in options:
        for sample in samples:
            del sample["gt_sem_seg"], sample["seg_map_path"]
    built = metric(tmp_path, **options)
    built.process({}, samples)
    assert bool(built.evaluate(3)) == ("keep_results" in options)
    files = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in files] == [
        f"ulm_000000_{i:06d}_leftImg8bit.png" for i in range(3)
    ]
    pred = samples[0]["pred_sem_seg"]["data"][0].numpy()
    expected = np.vectorize(lambda number: [x.id for x in labels if x.trainId == number][0])(pred)
    assert np.array_equal(np.array(Image.open(files[0])), expected)


def test_without_instances_no_instance_scores(samples, tmp_path):
    next(tmp_path.rglob("*_instanceIds.png")).unlink()
    built = metric(tmp_path)
    built.process({}, samples)
    assert set(built.evaluate(3)) == {"averageScoreClasses", "averageScoreCategories"}


def test_wrong_input_is_named(samples, tmp_path):
    built = metric(tmp_path)
    samples[0]["pred_sem_seg"]["data"][0, 0, 0] = 19
    with pytest.raises(UserError, match=r"000000_leftImg8bit\.png.*up to 19, outside the 19 clas"):
        built.process({}, samples)
    next(tmp_path.rglob("ulm_000000_000001_gtFine_labelIds.png")).unlink()
    with pytest.raises(UserError, match=r"000001_leftImg8bit\.png has no \*_gtFine_labelIds\.png"):
        built.process({}, samples[1:])
    built.dataset_meta = {"classes": ["road", "boat"]}
    with pytest.raises(UserError, match=r"\['boat'\], which Cityscapes does not have"):
        built.process({}, samples)


def test_a_truth_of_another_size_ends_in_a_sentence(samples, tmp_path):
    path = next(tmp_path.rglob("ulm_000000_000001_gtFine_labelIds.png"))
    Image.new("L", (8, 8), 7).save(path)
    built = metric(tmp_path)
    built.process({}, samples)
    with pytest.raises(UserError, match="the line that begins with ERROR"):
        built.evaluate(3)
