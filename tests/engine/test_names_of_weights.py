"""What data without names or labels takes from the weights."""

from types import SimpleNamespace

import pytest

from mmseg_gc.datasets import BaseSegDataset, ConcatDataset
from mmseg_gc.engine import names_of_weights
from mmseg_gc.engine.names_of_weights import name_by_weights, tell_other_classes

GREY = dict(classes=["bg", "fg"], palette=[[0, 0, 0], [255, 255, 255]])
STORED = {**GREY, "file_label_map": {0: 0, 1: 254, 255: 1}}


def unlabelled(**options):
    return BaseSegDataset(data_prefix=dict(img_path="x"), lazy_init=True, **options)


@pytest.mark.parametrize("concatenated", [False, True])
def test_without_labels_the_weights_say_what_a_mask_holds(concatenated):
    part = unlabelled(metainfo=GREY)
    own = unlabelled(metainfo=GREY, label_map={9: 1})
    labelled = BaseSegDataset(metainfo=GREY, lazy_init=True)
    parts = [part, own, labelled] if concatenated else [part]
    dataset = ConcatDataset(parts, lazy_init=True) if concatenated else part
    evaluator = SimpleNamespace(dataset_meta=dict(GREY))
    loop = SimpleNamespace(evaluator=evaluator, dataloader=SimpleNamespace(dataset=dataset))
    name_by_weights(loop, STORED, SimpleNamespace())
    assert part.label_rules["file_label_map"] == STORED["file_label_map"]
    assert own.label_rules["file_label_map"] == {9: 1}
    assert labelled.label_rules["file_label_map"] is None
    assert evaluator.dataset_meta == GREY


def test_names_come_from_the_weights_where_the_data_has_none():
    dataset = unlabelled()
    evaluator, visualizer = SimpleNamespace(dataset_meta={}), SimpleNamespace()
    loop = SimpleNamespace(evaluator=evaluator, dataloader=SimpleNamespace(dataset=dataset))
    name_by_weights(loop, STORED, visualizer)
    assert evaluator.dataset_meta == visualizer.dataset_meta == STORED


@pytest.mark.parametrize(
    "stored,said",
    [
        (["bg", "fg"], None),
        (None, None),
        (["bg", "fg", "more"], None),  # which doesn't fit the model either
        (["fg", "bg"], "these classes in another order: class 0 is 'fg' there and 'bg' in"),
        (["bg", "Riss"], "other classes: class 1 is 'Riss' there and 'fg' in"),
    ],
)
def test_classes_of_other_weights_are_told(stored, said, monkeypatch):
    logged = []
    monkeypatch.setattr(names_of_weights, "print_log", lambda text, **_: logged.append(text))
    tell_other_classes(["bg", "fg"], stored)
    assert [said in text for text in logged] == [True] * (said is not None)
