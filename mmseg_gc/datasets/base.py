"""The data set base class: pairs images with labels and says at once what is missing."""

import os
import os.path as osp
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from mmengine.dataset import BaseDataset

from mmseg_gc.colors import bright_colors
from mmseg_gc.datasets.files import (
    as_suffixes,
    without_suffix,
)
from mmseg_gc.datasets.label_rules import (
    checked_label_map,
    grey_levels,
    holds_grey_levels,
    map_of_grey_levels,
    require_colors,
)
from mmseg_gc.datasets.pack import Pack, PackedSample
from mmseg_gc.datasets.pairing import Pairing
from mmseg_gc.datasets.transforms.decoding import read_image
from mmseg_gc.datasets.transforms.labels import count_ids
from mmseg_gc.datasets.transforms.loading import LoadAnnotations, LoadImageFromFile
from mmseg_gc.datasets.transforms.resized_crop import ResizedCrop, fuse
from mmseg_gc.errors import UserError
from mmseg_gc.registry import DATASETS, TRANSFORMS


@DATASETS.register_module()
class BaseSegDataset(BaseDataset):
    """Images and the label files of the same name, from two folders or one list of names.

    It serves a user's own folders without a subclass: ``metainfo=dict(classes=[...],
    palette=[...])`` names the classes. A label holds one id per pixel, or the colours of the
    palette; colours in ``metainfo["ignored_colors"]`` are read as ``ignore_index``. With
    ``classes`` a subset of a subclass's own, the ids are mapped and dropped classes ignored.
    ``label_map``, such as ``{255: 1}`` for masks of 0 and 255, says what an id in the file stands
    for, before ``reduce_zero_label`` and ``ignore_index`` are looked at. Without it, a palette of
    greys alone reads masks of one channel by their grey level, unless they turn out to hold ids.
    ``img_suffix`` and ``seg_map_suffix`` take several, in any case; hidden files are no data.
    ``data_prefix`` without ``seg_map_path`` is a data set without labels, for prediction.
    ``packed`` is a copy that ``tools/pack_dataset.py`` made, which then is read instead of the
    files; these may be gone, but where they are they must be what was packed.

    Raises:
        UserError: A folder, ``ann_file``, image or label does not exist, or the split is empty.

    Source: ``mmseg.datasets.BaseSegDataset``; a subclass sets the attributes below instead of
    wrapping the constructor.
    """

    METAINFO: dict = {}
    img_suffix: str | Sequence[str] = ".jpg"
    seg_map_suffix: str | Sequence[str] = ".png"
    ignore_index = 255
    reduce_zero_label = False
    # False, set on an instance before it reads its list, leaves missing files to be found later.
    checks_files = True

    def __init__(
        self,
        ann_file: str = "",
        img_suffix: str | Sequence[str] | None = None,
        seg_map_suffix: str | Sequence[str] | None = None,
        metainfo: dict | None = None,
        data_root: str | None = None,
        data_prefix: dict | None = None,
        filter_cfg: dict | None = None,
        indices: int | Sequence[int] | None = None,
        serialize_data: bool = True,
        pipeline: Sequence[dict | Callable] = (),
        test_mode: bool = False,
        lazy_init: bool = False,
        max_refetch: int = 1000,
        ignore_index: int | None = None,
        reduce_zero_label: bool | None = None,
        backend_args: dict | None = None,
        packed: str | None = None,
        label_map: Mapping[int, int] | None = None,
    ) -> None:
        given = {
            "img_suffix": img_suffix,
            "seg_map_suffix": seg_map_suffix,
            "ignore_index": ignore_index,
            "reduce_zero_label": reduce_zero_label,
        }
        for name, value in given.items():
            if value is not None:
                setattr(self, name, value)
        if not 0 <= self.ignore_index <= 255:
            raise UserError(
                f"{self._name}.ignore_index is {self.ignore_index}, but labels hold ids of 8 bits: "
                "choose one from 0 to 255."
            )
        for name in ("img_suffix", "seg_map_suffix"):
            if not as_suffixes(getattr(self, name)):
                raise UserError(f"{self._name}.{name} is empty: name one suffix or several.")
        self.backend_args = dict(backend_args) if backend_args else None
        if data_prefix is None:
            data_prefix = {"img_path": "", "seg_map_path": ""}
        if data_prefix.get("img_path") is None:
            raise UserError(
                f"{self._name}.data_prefix has the keys {sorted(data_prefix)}, but needs img_path "
                "(the image folder) and seg_map_path (the label folder)."
            )
        self.file_label_map: dict[int, int] | None = None
        self.packed = os.fspath(packed) if packed else None
        self._pack: Pack | None = None
        self.left_out: dict[str, list[str]] = {}  # images that no suffix names, by suffix
        # Built here, a pipeline finds this package's transforms without a default scope.
        steps = fuse([TRANSFORMS.build(t) if isinstance(t, dict) else t for t in pipeline])
        super().__init__(
            ann_file=ann_file,
            metainfo=metainfo,
            data_root=os.fspath(data_root) if data_root else "",
            data_prefix={key: path for key, path in data_prefix.items() if path is not None},
            filter_cfg=filter_cfg,
            indices=indices,
            serialize_data=serialize_data,
            pipeline=steps,
            test_mode=test_mode,
            lazy_init=True,
            max_refetch=max_refetch,
        )
        self._set_classes(own_palette=bool(metainfo and metainfo.get("palette")))
        if label_map is not None:
            self.file_label_map = checked_label_map(label_map, self.label_rules)
        if not lazy_init:
            self.full_init()

    @classmethod
    def get_label_map(
        cls, new_classes: Sequence[str] | None = None, ignore_index: int | None = None
    ) -> dict[int, int] | None:
        """The new id of each id of ``METAINFO["classes"]``; None where nothing changes.

        Raises:
            UserError: A new class is not in ``METAINFO``.
        """
        old_classes = cls.METAINFO.get("classes")
        if new_classes is None or old_classes is None or list(new_classes) == list(old_classes):
            return None
        unknown = [name for name in new_classes if name not in old_classes]
        if unknown:
            raise UserError(
                f"metainfo.classes names {unknown}, which {cls.__name__} does not have: choose "
                f"from {list(old_classes)}, or use BaseSegDataset for other classes."
            )
        dropped = cls.ignore_index if ignore_index is None else ignore_index
        new_ids = {name: new_id for new_id, name in enumerate(new_classes)}
        return {old_id: new_ids.get(name, dropped) for old_id, name in enumerate(old_classes)}

    def load_data_list(self) -> list[dict]:
        """The paths ``img_path`` and, where there are labels, ``seg_map_path`` of every image."""
        if self.packed:
            self._open_pack(self.packed)
        pairing = Pairing(
            owner=self._name,
            data_root=self.data_root,
            ann_file=self.ann_file,
            folders=self.data_prefix,
            img_suffix=self.img_suffix,
            seg_map_suffix=self.seg_map_suffix,
            backend_args=self.backend_args,
            is_local=self.is_local,
            checks=self.checks_files and self.is_local and not self.packed,
        )
        packed_names = self._pack.rows if self._pack and not pairing.has_sources else None
        pairs = pairing.pairs(packed_names)
        self.left_out = pairing.left_out
        self._look_for_grey_levels(pairs)
        if self._pack:
            self._place_in_pack(self._pack, pairs)
        return pairs

    def get_data_info(self, idx: int) -> dict:
        """The paths of one pair and what `LoadAnnotations` needs to read the label."""
        info = {**self.label_rules, "seg_fields": [], **super().get_data_info(idx)}
        if self._pack:
            info["packed"] = PackedSample(self._pack, info["packed"])
        return info

    def get_cat_ids(self, idx: int) -> list[int]:
        """The ids of the classes in a label, which `ClassBalancedDataset` asks of every image."""
        load = next((t for t in self.pipeline.transforms if isinstance(t, LoadAnnotations)), None)
        info = (load or LoadAnnotations())(self.get_data_info(idx))
        ids = np.flatnonzero(count_ids(info["gt_seg_map"]))
        return [int(number) for number in ids if number != self.ignore_index]

    @property
    def metainfo(self) -> dict:
        """Classes, palette, and what `label_file_ids` needs to number predictions as labels are."""
        return {**super().metainfo, "file_label_map": self.file_label_map}

    @property
    def label_rules(self) -> dict:
        """What turns the pixels of a label file into the ids that training sees."""
        return {
            "file_label_map": self.file_label_map,
            "label_map": self.label_map,
            "reduce_zero_label": self.reduce_zero_label,
            "num_classes": self._num_classes,
            "ignore_index": self.ignore_index,
            "mask_colors": self._mask_colors,
        }

    @property
    def may_hold_grey_levels(self) -> bool:
        """Whether only the label files can tell if they hold ids or a palette's grey levels."""
        is_open = self.file_label_map is None and self.label_map is None
        return is_open and grey_levels(self._mask_colors) is not None

    @property
    def is_local(self) -> bool:
        """Whether the images are files of this machine."""
        # Asking a remote store for each file takes minutes; there the loader names what is missing.
        backend = (self.backend_args or {}).get("backend", "local")
        return backend == "local" and "://" not in self.data_prefix["img_path"]

    def name_of(self, img_path: str) -> str:
        """The name of a sample: its path below the image folder, without the suffix."""
        below = img_path[len(self.data_prefix["img_path"]) :].lstrip(os.sep)
        name = without_suffix(below, as_suffixes(self.img_suffix))
        return below if name is None else name

    @property
    def _num_classes(self) -> int | None:
        classes = self._metainfo.get("classes")
        return None if classes is None else len(classes)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _serialize_data(self) -> tuple[np.ndarray, np.ndarray]:
        if not self.data_list:
            raise UserError(
                f"{self._name} has no sample left: correct indices, filter_cfg or ann_file."
            )
        return super()._serialize_data()

    def _set_classes(self, own_palette: bool) -> None:
        classes = self._metainfo.get("classes")
        if isinstance(classes, str):
            raise UserError(
                f"metainfo.classes is the text {classes!r}: give a list of names, or the path of a "
                "text file with one name a line."
            )
        if classes is None and self.test_mode:
            raise UserError(f"{self._name} has no classes to test: set metainfo.classes.")
        twice = [name for name, count in Counter(classes or ()).items() if count > 1]
        if twice:
            raise UserError(f"metainfo.classes names {twice} more than once: keep one of each.")
        self.label_map = self.get_label_map(classes, self.ignore_index)
        self._metainfo["label_map"] = self.label_map
        self._metainfo["reduce_zero_label"] = self.reduce_zero_label
        self._set_palette(own_palette)

    def _set_palette(self, own: bool) -> None:
        """Set one colour (r, g, b) for each class, and the id of every colour that a mask may hold.

        ``own`` says that the palette came by the ``metainfo`` argument, so it may already be that
        of the chosen classes.
        """
        palette, classes = self._metainfo.get("palette") or (), self._metainfo.get("classes") or ()
        self._mask_colors: list[tuple[Sequence[int], int]] | None = None
        if not palette:
            self._metainfo["palette"] = bright_colors(len(classes)).tolist()
            return
        require_colors(palette)
        fits = len(palette) == len(classes)
        if not fits and len(palette) != len(self.label_map or ()):
            raise UserError(
                f"metainfo.palette has {len(palette)} colours for {len(classes)} classes: give one "
                "colour (r, g, b) for each class, or leave the palette out."
            )
        ids: Iterable[int] = range(len(palette))
        if self.label_map and not (own and fits):
            ids = self.label_map.values()
            old_classes = list(self.METAINFO["classes"])
            self._metainfo["palette"] = [palette[old_classes.index(name)] for name in classes]
        ignored = self._metainfo.get("ignored_colors") or ()
        self._mask_colors = [
            *zip(palette, ids, strict=True),
            *((color, self.ignore_index) for color in ignored),
        ]

    def _open_pack(self, folder: str) -> None:
        fused = any(isinstance(step, ResizedCrop) for step in self.pipeline.transforms)
        self._pack = Pack(folder, copies=not fused)
        for step in self.pipeline.transforms:
            if isinstance(step, LoadImageFromFile):
                self._pack.require_loading(step.decoding)

    def _place_in_pack(self, pack: Pack, pairs: list[dict]) -> None:
        names = [self.name_of(pair["img_path"]) for pair in pairs]
        pack.require(self.label_rules, names, "seg_map_path" in self.data_prefix)
        if self.checks_files and self.is_local and osp.isdir(self.data_prefix["img_path"]):
            pack.require_fresh(
                (name, [pair[key] for key in ("img_path", "seg_map_path") if key in pair])
                for name, pair in zip(names, pairs, strict=True)
            )
        for name, pair in zip(names, pairs, strict=True):
            pair["packed"] = pack.rows[name]

    def _look_for_grey_levels(self, pairs: list[dict]) -> None:
        """Read masks of one channel through a palette of greys, if that is what they hold."""
        if not self.may_hold_grey_levels or "seg_map_path" not in pairs[0]:
            return
        if self._pack:
            self.file_label_map = self._pack.file_label_map
            return
        levels, num_classes = grey_levels(self._mask_colors), self._num_classes
        assert levels is not None and num_classes is not None  # or it could not hold them
        paths = (pair["seg_map_path"] for pair in pairs)
        if holds_grey_levels(paths, self._read_label, levels, num_classes):
            self.file_label_map = map_of_grey_levels(levels, self.label_rules)

    def _read_label(self, path: str) -> np.ndarray | None:
        try:
            return read_image(path, "unchanged", "pillow", self.backend_args)
        except UserError:  # named when it is its turn
            return None
