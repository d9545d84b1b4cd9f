"""What becomes of a data set's config where nobody has labels."""

from mmengine.config import ConfigDict

from mmseg_gc.config.unlabelled import drop_labels, has_labels, without_labels
from mmseg_gc.datasets import LoadAnnotations, PackSegInputs
from mmseg_gc.datasets.transforms import TestTimeAug

STEPS = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}, {"type": "PackSegInputs"}]
LABELLED = {"type": "A", "data_prefix": {"img_path": "p", "seg_map_path": "l"}, "pipeline": STEPS}


def test_label_folder_decides():
    assert has_labels(LABELLED) and has_labels({"type": "A"})
    assert not has_labels({"type": "A", "data_prefix": {"img_path": "p"}})
    assert not has_labels({"data_prefix": {"img_path": "p", "seg_map_path": None}})
    both = {"type": "ConcatDataset", "datasets": [LABELLED, {"data_prefix": {"img_path": "p"}}]}
    assert not has_labels(both)
    assert has_labels({"type": "RepeatDataset", "dataset": LABELLED})


def test_labels_leave_every_leaf():
    dataset = ConfigDict(type="ConcatDataset", datasets=[LABELLED, {"type": "B"}])
    drop_labels(dataset)
    assert not has_labels(dataset)
    first, second = dataset.datasets
    assert first.data_prefix == {"img_path": "p", "seg_map_path": None}
    assert [step["type"] for step in first.pipeline] == ["LoadImageFromFile", "PackSegInputs"]
    assert second.data_prefix == {"img_path": "", "seg_map_path": None}


def test_steps_are_known_by_class_and_with_a_scope():
    """As in pure Python, whose loader of labels would ask for one at prediction."""
    for kind in (LoadAnnotations, "mmcv.LoadAnnotations"):
        assert without_labels([STEPS[0], {"type": kind}, STEPS[2]]) == [STEPS[0], STEPS[2]]


def test_labels_leave_the_views_of_aug_test():
    flip, load = [{"type": "RandomFlip"}], [{"type": "LoadAnnotations"}]
    aug = {"type": "TestTimeAug", "transforms": [flip, load]}
    kept = without_labels([STEPS[0], aug])
    assert kept == [STEPS[0], {"type": "TestTimeAug", "transforms": [flip]}]
    assert aug["transforms"] == [flip, load]


def test_a_pure_python_config_holds_the_class_itself():
    steps = [{"type": LoadAnnotations}, {"type": PackSegInputs}]
    assert without_labels(steps) == [{"type": PackSegInputs}]
    views = [{"type": TestTimeAug, "transforms": [[{"type": LoadAnnotations}], steps[1:]]}]
    assert without_labels(views) == [{"type": TestTimeAug, "transforms": [steps[1:]]}]
