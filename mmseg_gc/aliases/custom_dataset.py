"""``CustomDataset``, the base of a user's own data set in mmsegmentation 0.x."""

from collections.abc import Sequence
from typing import Any

from mmseg_gc.datasets import BaseSegDataset
from mmseg_gc.registry import DATASETS


@DATASETS.register_module()
class CustomDataset(BaseSegDataset):
    """A data set whose subclasses name ``CLASSES`` and ``PALETTE``, and hand on 0.x's keys.

    ``img_dir``, ``ann_dir``, ``split``, ``classes`` and ``palette`` are what `BaseSegDataset`
    calls ``data_prefix``, ``ann_file`` and ``metainfo``; both are taken.

    Source: ``mmseg.datasets.custom.CustomDataset`` of 0.x.
    """

    CLASSES: Sequence[str] | None = None
    PALETTE: Sequence[Sequence[int]] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.CLASSES is not None and "METAINFO" not in cls.__dict__:
            cls.METAINFO = _named(cls.CLASSES, cls.PALETTE)

    def __init__(
        self,
        pipeline: Sequence[dict] = (),
        img_dir: str | None = None,
        img_suffix: str | Sequence[str] | None = None,
        ann_dir: str | None = None,
        seg_map_suffix: str | Sequence[str] | None = None,
        split: str | None = None,
        classes: Sequence[str] | None = None,
        palette: Sequence[Sequence[int]] | None = None,
        metainfo: dict | None = None,
        data_prefix: dict | None = None,
        ann_file: str = "",
        **kwargs: Any,
    ) -> None:
        # `**kwargs` are `BaseSegDataset`'s.
        old_prefix = {"img_path": img_dir, "seg_map_path": ann_dir}
        super().__init__(
            pipeline=pipeline,
            img_suffix=img_suffix,
            seg_map_suffix=seg_map_suffix,
            ann_file=split or ann_file,
            data_prefix=old_prefix if data_prefix is None and img_dir is not None else data_prefix,
            metainfo={**_named(classes, palette), **(metainfo or {})} or None,
            **kwargs,
        )


def _named(
    classes: Sequence[str] | None, palette: Sequence[Sequence[int]] | None
) -> dict[str, Any]:
    named = {"classes": classes, "palette": palette}
    return {key: list(value) for key, value in named.items() if value is not None}
