"""The data set base class: pairs pictures with labels and says at once what is missing."""

import os
import os.path as osp
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.fileio import list_dir_or_file, list_from_file

from mmseg_gc.datasets.pack import Pack, PackedSample
from mmseg_gc.datasets.transforms.loading import LoadImageFromFile
from mmseg_gc.datasets.transforms.resized_crop import ResizedCrop, fuse
from mmseg_gc.errors import UserError
from mmseg_gc.registry import DATASETS, TRANSFORMS


@DATASETS.register_module()
class BaseSegDataset(BaseDataset):
    """Pictures and the label files of the same name, from two folders or one list of names.

    It serves a user's own folders without a subclass: ``metainfo=dict(classes=[...],
    palette=[...])`` names the classes. A label holds one id per pixel, or the colours of the
    palette; colours in ``metainfo["ignored_colors"]`` are read as ``ignore_index``. With
    ``classes`` a subset of a subclass's own, the ids are mapped and dropped classes ignored.
    ``data_prefix`` without ``seg_map_path`` is a data set without labels, for prediction.
    ``packed`` is a copy that ``tools/pack_dataset.py`` made, which then is read instead of the
    files; these may be gone, but where they are they must be what was packed.

    Raises:
        UserError: A folder, ``ann_file``, picture or label does not exist, or the split is empty.

    Source: ``mmseg.datasets.BaseSegDataset``; a subclass sets the attributes below instead of
    wrapping the constructor.
    """

    METAINFO: dict = {}
    img_suffix = ".jpg"
    seg_map_suffix = ".png"
    ignore_index = 255
    reduce_zero_label = False
    # False, set on an instance before it reads its list, leaves missing files to be found later.
    checks_files = True

    def __init__(
        self,
        ann_file: str = "",
        img_suffix: str | None = None,
        seg_map_suffix: str | None = None,
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
        self.backend_args = dict(backend_args) if backend_args else None
        if data_prefix is None:
            data_prefix = {"img_path": "", "seg_map_path": ""}
        if data_prefix.get("img_path") is None:
            raise UserError(
                f"{self._name}.data_prefix has the keys {sorted(data_prefix)}, but needs img_path "
                "(the picture folder) and seg_map_path (the label folder)."
            )
        self.packed = os.fspath(packed) if packed else None
        self._pack: Pack | None = None
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
        """The paths ``img_path`` and, where there are labels, ``seg_map_path`` of every picture."""
        if self.packed:
            self._open_pack()
        checks = self.checks_files and self.is_local and not self.packed
        if checks:
            self._require_folders()
        by_list = bool(self.ann_file) and not osp.isdir(self.ann_file)
        if self._pack and not self._has_sources(by_list):
            names = list(self._pack.rows)
        else:
            names = self._listed_names() if by_list else self._names_in_folder()
        image_dir, label_dir = self.data_prefix["img_path"], self.data_prefix.get("seg_map_path")
        pairs = []
        for name in names:
            pair = {"img_path": osp.join(image_dir, name + self.img_suffix)}
            if label_dir is not None:
                pair["seg_map_path"] = osp.join(label_dir, name + self.seg_map_suffix)
            pairs.append(pair)
        if not by_list:
            pairs.sort(key=lambda pair: pair["img_path"])
        if checks:
            self._require_files(pairs)
        if self._pack:
            self._place_in_pack(pairs)
        return pairs

    def get_data_info(self, idx: int) -> dict:
        """The paths of one pair and what `LoadAnnotations` needs to read the label."""
        info = {**self.label_rules, "seg_fields": [], **super().get_data_info(idx)}
        if self._pack:
            info["packed"] = PackedSample(self._pack, info["packed"])
        return info

    @property
    def label_rules(self) -> dict:
        """What turns the pixels of a label file into the ids that training sees."""
        classes = self._metainfo.get("classes")
        return {
            "label_map": self.label_map,
            "reduce_zero_label": self.reduce_zero_label,
            "num_classes": None if classes is None else len(classes),
            "ignore_index": self.ignore_index,
            "mask_colors": self._mask_colors,
        }

    @property
    def is_local(self) -> bool:
        """Whether the pictures are files of this machine."""
        # Asking a remote store for each file takes minutes; there the loader names what is missing.
        backend = (self.backend_args or {}).get("backend", "local")
        return backend == "local" and "://" not in self.data_prefix["img_path"]

    @property
    def _name(self) -> str:
        return type(self).__name__

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
            draw = np.random.RandomState(42)
            self._metainfo["palette"] = draw.randint(0, 255, size=(len(classes), 3)).tolist()
            return
        fits = len(palette) == len(classes)
        if not fits and len(palette) != len(self.label_map or ()):
            raise UserError(
                f"metainfo.palette has {len(palette)} colours for {len(classes)} classes: give one "
                "colour (r, g, b) for each class, or leave the palette out."
            )
        ids = range(len(palette))
        if self.label_map and not (own and fits):
            ids = self.label_map.values()
            old_classes = list(self.METAINFO["classes"])
            self._metainfo["palette"] = [palette[old_classes.index(name)] for name in classes]
        ignored = self._metainfo.get("ignored_colors") or ()
        self._mask_colors = [
            *zip(palette, ids, strict=True),
            *((color, self.ignore_index) for color in ignored),
        ]

    def _require_folders(self) -> None:
        if self.data_root and not osp.isdir(self.data_root):
            raise UserError(
                f"{self._name}: the folder {self.data_root!r} does not exist: put the data there "
                "(data/README.md shows the tree) or correct data_root."
            )
        for key, folder in self.data_prefix.items():
            # An empty prefix with a list means that the list holds whole paths.
            if not osp.isdir(folder) and (folder or not self.ann_file):
                raise UserError(
                    f"{self._name}: the folder {folder!r} does not exist: correct data_root or "
                    f"data_prefix.{key}."
                )

    def _open_pack(self) -> None:
        fused = any(isinstance(step, ResizedCrop) for step in self.pipeline.transforms)
        self._pack = Pack(self.packed, copies=not fused)
        for step in self.pipeline.transforms:
            if isinstance(step, LoadImageFromFile):
                self._pack.require_loading(step.decoding)

    def _has_sources(self, by_list: bool) -> bool:
        """Whether the files that were packed can be listed."""
        place = self.ann_file if by_list else self.data_prefix["img_path"]
        return osp.exists(place) or not self.is_local

    def _place_in_pack(self, pairs: list[dict]) -> None:
        image_dir = self.data_prefix["img_path"]
        names = [
            pair["img_path"].removesuffix(self.img_suffix)[len(image_dir) :].lstrip(os.sep)
            for pair in pairs
        ]
        self._pack.require(self.label_rules, names, "seg_map_path" in self.data_prefix)
        if self.checks_files and self.is_local and osp.isdir(image_dir):
            self._pack.require_fresh(
                (name, [pair[key] for key in ("img_path", "seg_map_path") if key in pair])
                for name, pair in zip(names, pairs, strict=True)
            )
        for name, pair in zip(names, pairs, strict=True):
            pair["packed"] = self._pack.rows[name]

    def _listed_names(self) -> list[str]:
        if self.is_local and not osp.isfile(self.ann_file):
            raise UserError(
                f"{self._name}: the list {self.ann_file!r} does not exist: correct ann_file."
            )
        lines = list_from_file(self.ann_file, backend_args=self.backend_args)
        names = [line.strip().removesuffix(self.img_suffix) for line in lines if line.strip()]
        if not names:
            raise UserError(
                f"{self._name}: the list {self.ann_file!r} is empty: write one picture name a "
                "line, without suffix, or correct ann_file."
            )
        return names

    def _names_in_folder(self) -> list[str]:
        folder = self.data_prefix["img_path"]
        files = list(
            list_dir_or_file(folder, list_dir=False, recursive=True, backend_args=self.backend_args)
        )
        names = [f[: -len(self.img_suffix)] for f in files if f.endswith(self.img_suffix)]
        if not names:
            suffixes = Counter(osp.splitext(file)[1] for file in files)
            found = ", ".join(f"{count} of {suffix!r}" for suffix, count in suffixes.most_common(3))
            raise UserError(
                f"{self._name}: no file in {folder!r} ends in {self.img_suffix!r} (it holds "
                f"{found or 'no file at all'}): correct data_prefix.img_path or img_suffix."
            )
        return names

    def _require_files(self, pairs: list[dict]) -> None:
        gone = missing_files(pair["img_path"] for pair in pairs)
        if gone:
            raise UserError(
                f"{self._name}: {len(gone)} of the {len(pairs)} pictures in {self.ann_file!r} do "
                f"not exist, first {_first(gone)}: correct ann_file, data_prefix.img_path or "
                f"img_suffix ({self.img_suffix!r})."
            )
        gone = missing_files(pair["seg_map_path"] for pair in pairs if "seg_map_path" in pair)
        if gone:
            raise UserError(
                f"{self._name}: {len(gone)} of {len(pairs)} pictures have no label, first "
                f"{_first(gone)}: add them, list the labelled pictures in ann_file, correct "
                f"seg_map_suffix ({self.seg_map_suffix!r}) or data_prefix.seg_map_path, or leave "
                "that out to predict only."
            )


def missing_files(paths: Iterable[str]) -> list[str]:
    """The paths that do not exist."""
    # Each folder is listed once: a network drive answers a stat of every file in minutes.
    listed: dict[str, set[str]] = {}
    missing = []
    for path in paths:
        folder, name = osp.split(path)
        if folder not in listed:
            listed[folder] = set(os.listdir(folder or ".")) if osp.isdir(folder or ".") else set()
        if name not in listed[folder]:
            missing.append(path)
    return missing


def _first(paths: list[str]) -> str:
    return ", ".join(repr(path) for path in paths[:3])
