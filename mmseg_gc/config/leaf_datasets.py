"""The data sets of a config, inside of the wrappers around them."""

from collections.abc import Iterator, Mapping
from typing import Any


def leaf_datasets(dataset: Mapping) -> list[dict[str, Any]]:
    """The configs of the data sets inside of wrappers such as ``ConcatDataset``."""
    return [leaf for _, leaf in keyed_leaf_datasets(dataset, "")]


def keyed_leaf_datasets(dataset: Mapping, key: str) -> Iterator[tuple[str, Any]]:
    """The same, each with its dotted key, where ``key`` is that of ``dataset``."""
    if dataset.get("datasets"):
        for index, part in enumerate(dataset["datasets"]):
            yield from keyed_leaf_datasets(part, f"{key}.datasets.{index}")
    elif "dataset" in dataset:
        yield from keyed_leaf_datasets(dataset["dataset"], f"{key}.dataset")
    else:
        yield key, dataset
