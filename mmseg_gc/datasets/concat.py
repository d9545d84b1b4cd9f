"""Several data sets as one, for classes that all of them count alike."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.dataset import ConcatDataset as MMEngineConcatDataset

from mmseg_gc.errors import UserError
from mmseg_gc.registry import DATASETS


@DATASETS.register_module()
class ConcatDataset(MMEngineConcatDataset):
    """The samples of ``datasets``, configs or built, one after the other.

    All name the same classes in the same order; what else ``metainfo`` says, such as the palette,
    is the first one's. ``ignore_keys="classes"`` lets classes differ, and takes the first one's.

    Raises:
        UserError: The classes differ.

    Source: ``mmengine.dataset.ConcatDataset``, which asks for the same palette as well.
    """

    def __init__(
        self,
        datasets: Sequence[BaseDataset | dict],
        lazy_init: bool = False,
        ignore_keys: str | list[str] | None = None,
    ) -> None:
        # Built here, a part finds this package's classes without a default scope.
        parts = [DATASETS.build(part) if isinstance(part, dict) else part for part in datasets]
        if not parts:
            raise UserError("ConcatDataset.datasets is empty: name one data set or several.")
        ignored = [ignore_keys] if isinstance(ignore_keys, str) else list(ignore_keys or ())
        if "classes" not in ignored:
            _require_same_classes([part.metainfo.get("classes") for part in parts])
        every_key = {key for part in parts for key in part.metainfo}
        # mmengine takes a wrapper, which is no data set of its class, as something to build alone.
        as_they_are = [
            part if isinstance(part, BaseDataset) else {"type": lambda part=part: part}
            for part in parts
        ]
        super().__init__(as_they_are, lazy_init=lazy_init, ignore_keys=list(every_key))

    @property
    def metainfo(self) -> dict:
        """The first part's; a ``submission`` that isn't all parts' is "differing"."""
        forms = {part.metainfo.get("submission") for part in self.datasets}
        return super().metainfo | ({"submission": "differing"} if len(forms) > 1 else {})

    def get_cat_ids(self, idx: int) -> list[int]:
        """The ids of the classes in a label, which `ClassBalancedDataset` asks of every image."""
        place = bisect_right(self.cumulative_sizes, idx)
        return self.datasets[place].get_cat_ids(idx - [0, *self.cumulative_sizes][place])


def _require_same_classes(classes: Sequence[Sequence[str] | None]) -> None:
    for place, names in enumerate(classes):
        if list(names or ()) != list(classes[0] or ()):
            raise UserError(
                f"ConcatDataset.datasets.{place} has the classes {_named(names)}, but "
                f"datasets.0 has {_named(classes[0])}: give all the same metainfo.classes in the "
                "same order."
            )


def _named(classes: Sequence[str] | None) -> str:
    return "no names" if classes is None else str(list(classes))


def leaves(dataset: object) -> Iterator[Any]:
    """The data sets inside of wrappers, which have ``datasets`` or a ``dataset``."""
    inner = getattr(dataset, "datasets", None) or [getattr(dataset, "dataset", None)]
    if inner[0] is None:
        yield dataset
        return
    for part in inner:
        yield from leaves(part)
