"""Find the images of a data set, and the label that belongs to each."""

import os
import os.path as osp
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mmengine.fileio import list_dir_or_file, list_from_file

from mmseg_gc.datasets.files import (
    FolderListing,
    as_suffixes,
    is_hidden,
    left_out,
    shared_names,
    without_suffix,
)
from mmseg_gc.datasets.notices import is_first, warn
from mmseg_gc.errors import UserError


@dataclass
class Pairing:
    """What a data set's keys say about its files; ``folders`` is its ``data_prefix``.

    ``checks`` says whether a missing file is an error; ``left_out`` then holds, by suffix, the
    images of a folder that ``img_suffix`` passes over.
    """

    owner: str
    data_root: str
    ann_file: str
    folders: Mapping[str, str]
    img_suffix: str | Sequence[str]
    seg_map_suffix: str | Sequence[str]
    backend_args: dict | None
    is_local: bool
    checks: bool
    left_out: dict[str, list[str]] = field(default_factory=dict)
    listing: FolderListing = field(default_factory=FolderListing)

    @property
    def by_list(self) -> bool:
        """Whether a file names the images."""
        return bool(self.ann_file) and not osp.isdir(self.ann_file)

    @property
    def has_sources(self) -> bool:
        """Whether the files can be listed, which those of a packed copy needn't be."""
        place = self.ann_file if self.by_list else self.folders["img_path"]
        return osp.exists(place) or not self.is_local

    def pairs(self, names: Iterable[str] | None = None) -> list[dict]:
        """``img_path`` and, where there are labels, ``seg_map_path`` of each image.

        ``names`` stand in for the files where these are gone.

        Raises:
            UserError: A folder, list, image or label doesn't exist, or there is no image.
        """
        if self.checks:
            self._require_folders()
        if names is not None:
            pairs = [self._pair(name) for name in names]
        elif self.by_list:
            pairs = [self._pair(name) for name in self._listed_names()]
        else:
            pairs = [self._pair(name, file) for name, file in self._names_in_folder()]
        if not self.by_list:
            pairs.sort(key=lambda pair: pair["img_path"])
        if self.checks:
            self._require_files(pairs)
        return pairs

    def _require_folders(self) -> None:
        if self.data_root and not osp.isdir(self.data_root):
            raise UserError(
                f"{self.owner}: the folder {self.data_root!r} does not exist: put the data there "
                "(data/README.md shows the tree) or correct data_root."
            )
        for key, folder in self.folders.items():
            # An empty prefix with a list means that the list holds whole paths.
            if not osp.isdir(folder) and (folder or not self.ann_file):
                raise UserError(
                    f"{self.owner}: the folder {folder!r} does not exist: correct data_root or "
                    f"data_prefix.{key}."
                )

    def _listed_names(self) -> list[str]:
        if self.is_local and not osp.isfile(self.ann_file):
            raise UserError(
                f"{self.owner}: the list {self.ann_file!r} does not exist: correct ann_file."
            )
        lines = list_from_file(self.ann_file, backend_args=self.backend_args)
        suffixes, names = as_suffixes(self.img_suffix), []
        for line in lines:
            if listed := line.strip().lstrip("\ufeff"):  # Windows marks a text file by that
                name = without_suffix(listed, suffixes)
                names.append(listed if name is None else name)
        if not names:
            raise UserError(
                f"{self.owner}: the list {self.ann_file!r} is empty: write one image name a "
                "line, without suffix, or correct ann_file."
            )
        return names

    def _names_in_folder(self) -> list[tuple[str, str]]:
        """The name and the path, both below the image folder, of every image."""
        folder, suffixes = self.folders["img_path"], as_suffixes(self.img_suffix)
        files = list_dir_or_file(
            folder, list_dir=False, recursive=True, backend_args=self.backend_args
        )
        files = [file for file in files if not is_hidden(file)]
        names = {file: without_suffix(file, suffixes) for file in files}
        images = [(name, file) for file, name in names.items() if name is not None]
        if not images:
            by_suffix = Counter(osp.splitext(file)[1] for file in files)
            found = ", ".join(
                f"{count} of {suffix!r}" for suffix, count in by_suffix.most_common(3)
            )
            raise UserError(
                f"{self.owner}: no file in {folder!r} ends in {self.img_suffix!r} (it holds "
                f"{found or 'no file at all'}): correct data_prefix.img_path or img_suffix."
            )
        if twice := shared_names(name for name, _ in images):
            same = ", ".join(sorted(file for name, file in images if name == twice[0]))
            raise UserError(
                f"{self.owner}: {len(twice)} names in {folder!r} stand for several images, first "
                f"{same}: keep one of each, or narrow img_suffix ({self.img_suffix!r})."
            )
        self.left_out = left_out(self._not_labels(files), suffixes)
        if self.left_out and self.checks and is_first(f"left out {folder}"):
            found = ", ".join(
                f"{len(names)} of {suffix!r}" for suffix, names in self.left_out.items()
            )
            first = next(iter(self.left_out.values()))[0]
            every = (*suffixes, *self.left_out)
            warn(
                f"{self.owner}: {folder} holds images that img_suffix ({self.img_suffix!r}) leaves "
                f"out, {found}, first {first}: set img_suffix={every!r} to read them as well, or "
                "take them out of the folder."
            )
        return images

    def _not_labels(self, files: Iterable[str]) -> list[str]:
        """Those of ``files`` in the image folder that are no labels beside the images."""
        image_dir, label_dir = self.folders["img_path"], self.folders.get("seg_map_path")
        if label_dir is None:
            return list(files)
        below = osp.relpath(label_dir, image_dir) if self.is_local else ".."
        if below.startswith(".."):
            return list(files)
        suffixes = as_suffixes(self.seg_map_suffix)
        inside = "" if below == "." else below + os.sep
        return [
            file
            for file in files
            if not file.startswith(inside) or without_suffix(file, suffixes) is None
        ]

    def _pair(self, name: str, file: str | None = None) -> dict:
        """The paths of one sample; ``file`` is its image below the folder where that is known."""
        image_dir, label_dir = self.folders["img_path"], self.folders.get("seg_map_path")
        find = self.listing.find if self.is_local else _with_first
        image = osp.join(image_dir, file) if file else None
        pair = {"img_path": image or find(osp.join(image_dir, name), as_suffixes(self.img_suffix))}
        if label_dir is not None:
            suffixes = as_suffixes(self.seg_map_suffix)
            pair["seg_map_path"] = find(osp.join(label_dir, name), suffixes)
        return pair

    def _require_files(self, pairs: list[dict]) -> None:
        gone = self.listing.missing(pair["img_path"] for pair in pairs)
        if gone:
            raise UserError(
                f"{self.owner}: {len(gone)} of the {len(pairs)} images in {self.ann_file!r} do "
                f"not exist, first {_first(gone)}: correct ann_file, data_prefix.img_path or "
                f"img_suffix ({self.img_suffix!r})."
            )
        labels = [pair["seg_map_path"] for pair in pairs if "seg_map_path" in pair]
        if gone := self.listing.missing(labels):
            raise UserError(
                f"{self.owner}: {len(gone)} of {len(pairs)} images have no label, first "
                f"{_first(gone)}: add them, list the labelled images in ann_file, correct "
                f"seg_map_suffix ({self.seg_map_suffix!r}) or data_prefix.seg_map_path, or leave "
                "that out to predict only."
            )
        suffixes = as_suffixes(self.seg_map_suffix)
        orphans = [] if self.ann_file else self.listing.orphans(labels, suffixes)
        if orphans and is_first(f"orphans {self.folders['seg_map_path']}"):
            warn(
                f"{self.owner}: {len(orphans)} labels have no image of their name, first "
                f"{_first(orphans)}: add the images, or take these labels out."
            )


def _with_first(stem: str, suffixes: Sequence[str]) -> str:
    return stem + suffixes[0]


def _first(paths: list[str]) -> str:
    return ", ".join(repr(path) for path in paths[:3])
