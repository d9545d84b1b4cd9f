"""What a checkpoint's data set says where the config's own can't."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.logging import print_log
from mmengine.visualization import Visualizer


def name_by_weights(loop: Any, stored: Mapping, visualizer: Visualizer) -> None:
    """Let ``loop`` score, draw and number label files as ``stored`` where its data has no names.

    ``stored`` is the ``dataset_meta`` of a checkpoint. Whether masks hold the grey levels of their
    palette only label files tell; without any, predictions are numbered as those trained on were.
    """
    evaluator = getattr(loop, "evaluator", None)  # of a loop that is built
    if evaluator is None:
        return
    for leaf in _leaves(loop.dataloader.dataset):
        is_open = getattr(leaf, "may_hold_grey_levels", False)
        if is_open and "seg_map_path" not in leaf.data_prefix:
            leaf.file_label_map = stored.get("file_label_map")
    if names := (evaluator.dataset_meta or {}).get("classes"):
        tell_other_classes(names, stored.get("classes"))
    else:
        evaluator.dataset_meta = {**(evaluator.dataset_meta or {}), **stored}
        visualizer.dataset_meta = evaluator.dataset_meta


def tell_other_classes(names: Sequence[str], stored: Sequence[str] | None) -> None:
    """Warn that the config's classes aren't those, or in that order, that weights were trained for.

    Names may be translations, so that nothing is refused.
    """
    stored = stored or ()
    pairs = list(zip(names, stored, strict=False))
    differing = [place for place, (own, of_weights) in enumerate(pairs) if own != of_weights]
    if not differing or len(names) != len(stored):
        return
    place = differing[0]
    is_turned = set(names) == set(stored)
    what = "these classes in another order" if is_turned else "other classes"
    print_log(
        f"The weights were trained for {what}: class {place} is {pairs[place][1]!r} there and "
        f"{pairs[place][0]!r} in the config's metainfo.classes; give them in the order of the "
        "weights, or every figure and colour is another class's.",
        logger="current",
        level=logging.WARNING,
    )


def _leaves(dataset: Any) -> Iterator[Any]:
    """The data sets inside of wrappers such as `ConcatDataset`."""
    inner = getattr(dataset, "datasets", None) or [getattr(dataset, "dataset", None)]
    if inner[0] is None:
        yield dataset
        return
    for part in inner:
        yield from _leaves(part)
