"""Config of a data set without labels: what is left of one for prediction only."""

from collections.abc import Mapping, Sequence

from mmseg_gc.config.leaf_datasets import leaf_datasets
from mmseg_gc.config.names import type_name


def has_labels(dataset: Mapping) -> bool:
    """Whether every data set in a config has a label folder."""
    prefixes = [leaf.get("data_prefix") for leaf in leaf_datasets(dataset)]
    return all(prefix is None or prefix.get("seg_map_path") is not None for prefix in prefixes)


def drop_labels(dataset: Mapping) -> None:
    """Make the config of a data set one without labels, in place."""
    for leaf in leaf_datasets(dataset):
        leaf["data_prefix"] = {**(leaf.get("data_prefix") or {"img_path": ""})}
        leaf["data_prefix"]["seg_map_path"] = None
        leaf["pipeline"] = without_labels(leaf.get("pipeline") or ())


def without_labels(pipeline: Sequence[dict]) -> list[dict]:
    """The pipeline for images that have no label, also inside of ``TestTimeAug``."""
    kept = []
    for step in pipeline:
        if type_name(step) == "LoadAnnotations":
            continue
        step = dict(step)
        if type_name(step) == "TestTimeAug":
            branches = [without_labels(branch) for branch in step["transforms"]]
            step["transforms"] = [branch for branch in branches if branch]
        kept.append(step)
    return kept
