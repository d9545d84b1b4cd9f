"""Data sets of two images of one place, and a label of what changed between them."""

import os.path as osp
from collections.abc import Sequence
from typing import Any

from mmseg_gc.datasets.base import BaseSegDataset
from mmseg_gc.datasets.files import FolderListing, as_suffixes
from mmseg_gc.errors import UserError
from mmseg_gc.registry import DATASETS


@DATASETS.register_module()
class BaseCDDataset(BaseSegDataset):
    """Images of one name in the folders ``img_path`` and ``img_path2``, and their label.

    ``img_suffix2`` is what names in the second folder end in; other keys are `BaseSegDataset`'s.

    Raises:
        UserError: as `BaseSegDataset`, also for the second images.

    Source: ``mmseg.datasets.BaseCDDataset``.
    """

    img_suffix2: str | Sequence[str] = ".jpg"

    def __init__(
        self,
        ann_file: str = "",
        img_suffix: str | Sequence[str] | None = None,
        img_suffix2: str | Sequence[str] | None = None,
        data_prefix: dict | None = None,
        **kwargs: Any,
    ) -> None:
        # `**kwargs` are `BaseSegDataset`'s.
        if kwargs.get("packed"):
            raise UserError(f"{self._name} has two images a sample, which no packed copy holds.")
        if img_suffix2 is not None:
            self.img_suffix2 = img_suffix2
        if data_prefix is None:
            data_prefix = {"img_path": "", "img_path2": "", "seg_map_path": ""}
        if data_prefix.get("img_path2") is None:
            raise UserError(
                f"{self._name}.data_prefix has the keys {sorted(data_prefix)}, but needs img_path2 "
                "(the folder of the later images) as well."
            )
        super().__init__(ann_file, img_suffix, data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """The paths ``img_path``, ``img_path2`` and, if labelled, ``seg_map_path`` of samples."""
        pairs, listing = super().load_data_list(), FolderListing()
        folder, suffixes = self.data_prefix["img_path2"], as_suffixes(self.img_suffix2)
        stems = [osp.join(folder, self.name_of(pair["img_path"])) for pair in pairs]
        if not self.is_local:
            second = [stem + suffixes[0] for stem in stems]
        else:
            second = [listing.find(stem, suffixes) for stem in stems]
            if self.checks_files and (gone := listing.missing(second)):
                raise UserError(
                    f"{self._name}: {len(gone)} of {len(pairs)} images have no second one, first "
                    f"{gone[0]!r}: add them, or correct data_prefix.img_path2 or img_suffix2 "
                    f"({self.img_suffix2!r})."
                )
        return [{**pair, "img_path2": path} for pair, path in zip(pairs, second, strict=True)]
