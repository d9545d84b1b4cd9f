"""A data set whose pipeline sees several samples at a time."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

from mmengine.dataset import BaseDataset

from mmseg_gc.errors import UserError
from mmseg_gc.registry import DATASETS, TRANSFORMS


@DATASETS.register_module()
class MultiImageMixDataset:
    """The samples of ``dataset``, as its own pipeline leaves them, through one more ``pipeline``.

    A transform there that has ``get_indices``, such as `RandomMosaic`, finds the samples that it
    names in ``mix_results``. Types in ``skip_type_keys`` are left out.

    Raises:
        UserError: the inner pipeline packs samples already.

    Source: ``mmseg.datasets.MultiImageMixDataset``.
    """

    def __init__(
        self,
        dataset: BaseDataset | dict,
        pipeline: Sequence[dict | Callable],
        skip_type_keys: Sequence[str] | None = None,
        lazy_init: bool = False,
    ) -> None:
        # Built here, both find this package's classes without a default scope.
        self.dataset: Any = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.pipeline: list[Callable] = []
        self.pipeline_types: list[str] = []
        for step in pipeline:
            built = TRANSFORMS.build(step) if isinstance(step, dict) else step
            name = step["type"] if isinstance(step, dict) else type(built)
            self.pipeline.append(built)
            self.pipeline_types.append(name if isinstance(name, str) else name.__name__)
        self.update_skip_type_keys(skip_type_keys)
        if not lazy_init:
            self.full_init()

    @property
    def metainfo(self) -> dict:
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Read the inner data set's list."""
        self.dataset.full_init()

    def get_data_info(self, idx: int) -> dict:
        return self.dataset.get_data_info(idx)

    def get_cat_ids(self, idx: int) -> list[int]:
        """The classes of the sample itself, without those that it is mixed with."""
        return self.dataset.get_cat_ids(idx)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, idx: int) -> Any:
        results = self._sample(idx)
        for step, name in zip(self.pipeline, self.pipeline_types, strict=True):
            if name in self._skip_type_keys:
                continue
            if hasattr(step, "get_indices"):
                indices = step.get_indices(self.dataset)
                indices = indices if isinstance(indices, Sequence) else [indices]
                results["mix_results"] = [self._sample(index) for index in indices]
            results = step(results)
            results.pop("mix_results", None)
        return results

    def update_skip_type_keys(self, skip_type_keys: Sequence[str] | None) -> None:
        """Leave out other types from now on: what a hook calls that ends mixing near the end."""
        self._skip_type_keys = set(skip_type_keys or ())

    def _sample(self, idx: int) -> dict:
        sample = self.dataset[idx]
        if not isinstance(sample, dict) or "img" not in sample:
            raise UserError(
                "MultiImageMixDataset mixes images, but its dataset's pipeline packs or drops "
                "them: end that pipeline after loading, and put PackSegInputs into the outer one."
            )
        # Transforms may write into what they get; a pack, which has been read, is all samples'.
        return copy.deepcopy({key: value for key, value in sample.items() if key != "packed"})
