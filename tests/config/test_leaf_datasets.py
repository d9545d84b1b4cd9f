from mmseg_gc.config.leaf_datasets import keyed_leaf_datasets, leaf_datasets

FIRST, SECOND, THIRD = dict(type="A"), dict(type="B"), dict(type="C", datasets=[])
NESTED = dict(
    type="ConcatDataset",
    datasets=[dict(type="RepeatDataset", times=2, dataset=FIRST), dict(datasets=[SECOND, THIRD])],
)


def test_a_data_set_alone_is_its_own_leaf():
    assert leaf_datasets(FIRST) == [FIRST]
    assert list(keyed_leaf_datasets(FIRST, "dataset")) == [("dataset", FIRST)]


def test_leaves_in_wrappers_come_in_order_each_with_its_key():
    assert leaf_datasets(NESTED) == [FIRST, SECOND, THIRD]
    assert [key for key, _ in keyed_leaf_datasets(NESTED, "d")] == [
        "d.datasets.0.dataset",
        "d.datasets.1.datasets.0",
        "d.datasets.1.datasets.1",
    ]


def test_they_are_the_config_s_own():
    """What is written to one is written to the config."""
    for leaf in leaf_datasets(NESTED):
        assert any(leaf is one for one in (FIRST, SECOND, THIRD))
