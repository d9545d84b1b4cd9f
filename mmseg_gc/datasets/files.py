"""Which files of a folder are data, and which image and label belong together."""

import os
import os.path as osp
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

# What a folder may hold of images; other files beside them are nobody's loss.
IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
# Left in folders by macOS, Windows and Synology; names that begin with a dot need no list.
JUNK = {"__macosx", "thumbs.db", "desktop.ini", "@eadir"}


def as_suffixes(suffix: str | Sequence[str]) -> tuple[str, ...]:
    """The suffixes that ``img_suffix`` or ``seg_map_suffix`` names."""
    return (suffix,) if isinstance(suffix, str) else tuple(suffix)


def is_hidden(path: str) -> bool:
    """Whether a file, or a folder on the relative ``path`` to it, is hidden or junk."""
    return any(part.startswith(".") or part.lower() in JUNK for part in path.split(os.sep))


def without_suffix(path: str, suffixes: Sequence[str]) -> str | None:
    """``path`` without the longest of ``suffixes`` that it ends in, in any case; None: in none."""
    lower = path.lower()
    fitting = [suffix for suffix in suffixes if lower.endswith(suffix.lower())]
    return path[: len(path) - max(map(len, fitting))] if fitting else None


def left_out(files: Iterable[str], suffixes: Sequence[str]) -> dict[str, list[str]]:
    """The images among ``files`` whose format is that of none of ``suffixes``, by suffix."""
    wanted = {osp.splitext(suffix)[1].lower() or suffix.lower() for suffix in suffixes}
    others = defaultdict(list)
    for file in files:
        suffix = osp.splitext(file)[1]
        if suffix.lower() in IMAGE_SUFFIXES and suffix.lower() not in wanted:
            others[suffix].append(file)
    return dict(others)


def shared_names(names: Iterable[str]) -> list[str]:
    """The names that stand for more than one file."""
    return [name for name, count in Counter(names).items() if count > 1]


class FolderListing:
    """The names in local folders, each listed once: a network drive answers a stat of every file
    in minutes."""

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = {}
        self._any_case: dict[str, dict[str, list[str]]] = {}

    def names(self, folder: str) -> set[str]:
        """What ``folder`` holds; nothing where it doesn't exist."""
        if folder not in self._names:
            there = osp.isdir(folder or ".")
            self._names[folder] = set(os.listdir(folder or ".")) if there else set()
        return self._names[folder]

    def has(self, path: str) -> bool:
        folder, name = osp.split(path)
        return name in self.names(folder)

    def find(self, stem: str, suffixes: Sequence[str]) -> str:
        """The path ``stem`` with the first of ``suffixes``, in any case, that exists.

        Without any, it is the path with the first suffix.
        """
        for suffix in suffixes:
            if self.has(stem + suffix):
                return stem + suffix
        folder, name = osp.split(stem)
        if folder not in self._any_case:
            by_lower = self._any_case[folder] = defaultdict(list)
            for entry in self.names(folder):
                by_lower[entry.lower()].append(entry)
        for suffix in suffixes:
            for entry in self._any_case[folder].get((name + suffix).lower(), ()):
                if entry.startswith(name):
                    return osp.join(folder, entry)
        return stem + suffixes[0]

    def missing(self, paths: Iterable[str]) -> list[str]:
        """The paths that do not exist."""
        return [path for path in paths if not self.has(path)]

    def orphans(self, paths: Iterable[str], suffixes: Sequence[str]) -> list[str]:
        """The files beside ``paths`` that end in one of ``suffixes`` and are none of ``paths``."""
        used = defaultdict(set)
        for path in paths:
            folder, name = osp.split(path)
            used[folder].add(name)
        return sorted(
            osp.join(folder, name)
            for folder, known in used.items()
            for name in self.names(folder) - known
            if not is_hidden(name) and without_suffix(name, suffixes) is not None
        )
