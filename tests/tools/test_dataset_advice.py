"""The settings that the doctor suggests."""

import importlib

import numpy as np
import pytest

THRESHOLD = {number: int(number >= 128) for number in range(256)}


@pytest.fixture
def doctor():
    return lambda name: importlib.import_module(f"mmseg_gc.cli.dataset_doctor.{name}")


@pytest.mark.parametrize(
    ("ids", "rules", "expected"),
    [
        # num_classes, ignore_index, reduce_zero_label
        (range(3), (3, 255, False), (3, 255, False)),
        ([*range(3), 255], (3, 255, False), (3, 255, False)),
        ([*range(3), 255], (3, 9, False), (3, 255, False)),
        ([0, 1, 2, 3], (3, 255, False), (3, 3, False)),
        ([1, 2, 3], (3, 255, False), (3, 255, True)),
        ([1, 2, 3, 255], (3, 255, False), (3, 255, True)),
        ([0, 1, 2, 3], (3, 255, True), (3, 255, True)),
        ([0, 1, 2], (3, 255, True), (3, 255, False)),
        ([0, 1, 2, 7], (3, 255, False), (8, 255, False)),
        ([0, 1, 5], (None, 255, False), (6, 255, False)),
        ([0, 1, 2, 3], (3, 3, False), (3, 3, False)),
    ],
)
def test_numbers(doctor, ids, rules, expected):
    num_classes, ignore_index, reduce_zero_label = rules
    rules = {
        "num_classes": num_classes,
        "ignore_index": ignore_index,
        "reduce_zero_label": reduce_zero_label,
        "label_map": None,
    }
    report = doctor("reading").Report(raw=dict.fromkeys(ids, 10))
    report.counts = doctor("reading").sort_ids(report.raw, rules)[0]
    advice = doctor("advice").advise([report] * 3, rules)
    found = advice.num_classes, advice.ignore_index, advice.reduce_zero_label
    assert found == expected
    assert len(advice.class_weight) == expected[0]
    assert bool(advice.reasons) == advice.differs(rules) or num_classes is None


def test_a_stray_id_of_one_file_changes_no_setting(doctor):
    rules = {"num_classes": 2, "ignore_index": 255, "reduce_zero_label": False, "label_map": None}
    report = doctor("reading").Report
    reports = [report(raw={0: 5, 1: 5}, counts={0: 5, 1: 5}) for _ in range(20)]
    reports.append(report(raw={0: 5, 77: 5}, counts={0: 5}))
    assert not doctor("advice").advise(reports, rules).differs(rules)


@pytest.mark.parametrize(
    ("pixels", "num_classes", "label_map"),
    [
        ({0: 60, 255: 40}, 2, {255: 1}),
        ({128: 60, 255: 40}, 2, {128: 0, 255: 1}),
        ({0: 50, 128: 20, 255: 30}, 3, {128: 1, 255: 2}),
        ({0: 60, 128: 5, 255: 35}, 2, {128: 255, 255: 1}),  # a band of void between the two
        ({0: 60, 3: 1, 127: 1, 200: 2, 255: 36}, 2, THRESHOLD),
        ({0: 50, 1: 2, 2: 1, 128: 1, 253: 2, 254: 3, 255: 40}, 2, THRESHOLD),  # a JPEG
        # Ids as they should be, of which 255 is void.
        ({0: 60, 1: 20, 255: 20}, 2, None),
        ({0: 60, 1: 1, 255: 39}, 2, None),
        ({0: 60, 1: 20, 255: 20}, 3, None),
        ({1: 60, 2: 20, 255: 20}, 2, None),
        ({0: 60, 1: 10, 2: 10, 255: 20}, 2, None),
        ({0: 60, 1: 40}, 2, None),
    ],
)
def test_grey_levels_are_read_as_ids(doctor, pixels, num_classes, label_map):
    rules = {"ignore_index": 255, "reduce_zero_label": False, "label_map": None}
    rules |= {"num_classes": num_classes, "file_label_map": None}
    report = doctor("reading").Report(raw=pixels)
    report.counts = doctor("reading").sort_ids(pixels, rules)[0]
    advice = doctor("advice").advise([report] * 3, rules)
    assert advice.label_map == label_map
    assert label_map is None or (advice.differs(rules) and "label_map" in " ".join(advice.reasons))


def test_weights_follow_the_map(doctor):
    rules = {"ignore_index": 255, "reduce_zero_label": True, "label_map": None, "num_classes": 2}
    report = doctor("reading").Report(raw={0: 75, 255: 25})
    advice = doctor("advice").advise([report], rules)
    # Shares 0.75 and 0.25, whose median is 0.5; with a map, ids no longer count from 1.
    assert (advice.class_weight, advice.reduce_zero_label) == ([0.6667, 2.0], False)


def test_median_frequency_by_hand(doctor):
    # Class 0: 60 of the 200 pixels of both images, 1: 90 of 200, 2: 25 of the second's 100.
    counts = np.array([[40, 50, 0, 0], [20, 40, 25, 0]])
    weights = doctor("advice").median_frequency_weights(counts, np.array([100, 100]))
    assert weights == [1.0, round(0.3 / 0.45, 4), 1.2, 1.0]


def test_ids_as_training_sees_them(doctor):
    rules = {"num_classes": 2, "ignore_index": 255, "reduce_zero_label": True, "label_map": None}
    counts, ignored, wrong = doctor("reading").sort_ids({0: 1, 1: 2, 2: 3, 3: 4, 255: 5}, rules)
    assert (counts, ignored, wrong) == ({0: 2, 1: 3}, 6, {3: 4})
    rules |= {"reduce_zero_label": False, "label_map": {0: 255, 1: 0, 2: 1}}
    counts, ignored, wrong = doctor("reading").sort_ids({0: 1, 1: 2, 2: 3, 300: 4, 0.5: 6}, rules)
    assert (counts, ignored, wrong) == ({0: 2, 1: 3}, 1, {300: 4, 0.5: 6})
