"""Several data sets as one."""

from types import SimpleNamespace

import pytest

from mmseg_gc.datasets import BaseSegDataset, ConcatDataset
from mmseg_gc.datasets.concat import leaves
from mmseg_gc.errors import UserError
from mmseg_gc.registry import DATASETS


def part(classes=("a", "b"), **options):
    metainfo = dict(classes=list(classes), **options)
    return dict(type="BaseSegDataset", metainfo=metainfo, lazy_init=True, test_mode=True)


def test_other_colours_and_zero_labels_may_stand_side_by_side():
    first, second = part(palette=[[0, 0, 0], [9, 9, 9]]), part(palette=[[7, 7, 7], [8, 8, 8]])
    second["reduce_zero_label"] = True
    whole = DATASETS.build(dict(type="ConcatDataset", datasets=[first, second], lazy_init=True))
    assert type(whole) is ConcatDataset
    assert [type(one) for one in whole.datasets] == [BaseSegDataset] * 2
    assert whole.metainfo["palette"] == [[0, 0, 0], [9, 9, 9]]


@pytest.mark.parametrize("classes", [("b", "a"), ("a",), ("a", "c")])
def test_other_classes_are_refused(classes):
    parts = [part(), part(classes)]
    with pytest.raises(UserError, match=r"datasets\.1 has the classes .* but datasets\.0 has"):
        ConcatDataset(parts, lazy_init=True)
    assert ConcatDataset(parts, lazy_init=True, ignore_keys="classes").metainfo["classes"] == [
        "a",
        "b",
    ]


def test_no_part_at_all():
    with pytest.raises(UserError, match="datasets is empty"):
        ConcatDataset([])


def test_parts_for_several_benchmarks_have_no_one_form():
    parts = [part(submission="palette"), part()]
    assert ConcatDataset(parts, lazy_init=True).metainfo["submission"] == "differing"
    same = ConcatDataset([parts[0], parts[0]], lazy_init=True)
    assert same.metainfo["submission"] == "palette"


def test_leaves_are_the_data_sets_inside_of_wrappers():
    first, second, third = (SimpleNamespace(number=i) for i in range(3))
    repeated = SimpleNamespace(dataset=SimpleNamespace(datasets=[first, second]))
    assert list(leaves(SimpleNamespace(datasets=[repeated, third]))) == [first, second, third]
    assert list(leaves(first)) == [first]
