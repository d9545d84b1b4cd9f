"""A packed copy of a data set: decoded pixels in one memory-mapped file beside their index.

A folder ``*.pack`` holds ``pixels.bin``, images and labels one after another as uint8, and
``index.jsonl``: a header, then one line a sample. ``tools/pack_dataset.py`` writes it.
"""

import errno
import json
import math
import os
import stat
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmseg_gc.errors import UserError

FORMAT = 1
PIXELS, INDEX = "pixels.bin", "index.jsonl"
AGAIN = "run tools/pack_dataset.py with --overwrite, or leave dataset.packed out"


class Source(NamedTuple):
    """A file that went into the pack, as it was then."""

    size: int
    mtime_ns: int
    crc: int

    @classmethod
    def of(cls, path: str | Path) -> "Source":
        stat = os.stat(path)
        return cls(stat.st_size, stat.st_mtime_ns, zlib.crc32(Path(path).read_bytes()))

    def is_still(self, path: str | Path) -> bool:
        """Whether ``path`` holds what it held: it is read if its time is another."""
        try:
            stat = os.stat(path)
            if stat.st_size != self.size:
                return False
            return stat.st_mtime_ns == self.mtime_ns or Source.of(path).crc == self.crc
        except OSError:
            return False


class Record(NamedTuple):
    """One sample: image of ``shape`` (h, w) or (h, w, c) from ``offset`` on, then its label."""

    name: str
    offset: int
    shape: tuple[int, ...]
    labelled: bool
    crc: int  # of both as they lie in the file
    sources: tuple[Source, ...]  # of the image and the label

    @property
    def image_size(self) -> int:
        return math.prod(self.shape)

    @property
    def end(self) -> int:
        return self.offset + self.image_size + self.labelled * self.shape[0] * self.shape[1]

    @classmethod
    def from_line(cls, line: str, offset: int) -> "Record":
        """The record in ``line``, which has to begin at ``offset``, where the one before it ends.

        Raises:
            ValueError: it isn't a record, or one of another place.
        """
        name, begin, shape, labelled, crc, sources = json.loads(line)
        sources = tuple(Source(*source) for source in sources)
        record = cls(name, begin, tuple(shape), labelled, crc, sources)
        numbers = (begin, *record.shape, crc, *(part for source in sources for part in source))
        if not (
            isinstance(name, str)
            and isinstance(labelled, bool | int)
            and labelled in (0, 1)
            and all(type(number) is int and number >= 0 for number in numbers)
            and len(record.shape) in (2, 3)
            and all(record.shape)
            and begin == offset
        ):
            raise ValueError(f"no record: {line[:80]}")
        return record


def header(label_rules: Mapping, loading: Mapping) -> str:
    """The index's first line: what the pixels depend on beside the files."""
    content = {"format": FORMAT, "label_rules": label_rules, "loading": loading}
    return json.dumps(content, sort_keys=True)


class Pack:
    """A finished packed copy; pixels are read when asked for.

    ``copies=False`` hands out views of the file, which can't be written to.

    Raises:
        UserError: ``folder`` is no packed copy, or not a whole one.
    """

    def __init__(self, folder: str | Path, copies: bool = True) -> None:
        self.folder = Path(folder)
        self.copies = copies
        try:
            for path in (self.folder / INDEX, self.folder / PIXELS):
                if not stat.S_ISREG(path.stat().st_mode):  # a pipe's end may never come
                    raise OSError(errno.EINVAL, f"{path.name} is no regular file")
            lines = (self.folder / INDEX).read_bytes().splitlines()
            size = (self.folder / PIXELS).stat().st_size
        except OSError as error:
            raise UserError(
                f"dataset.packed is {str(folder)!r}, which is no packed copy ({error.strerror}): "
                "make one with tools/pack_dataset.py, or leave the key out."
            ) from error
        try:
            self.header = lines[0].decode()
            content = json.loads(self.header)
            known = content["format"] == FORMAT and all(
                isinstance(content[key], dict) for key in ("label_rules", "loading")
            )
            self.records, end = [], 0
            for line in lines[1:]:
                self.records.append(Record.from_line(line.decode(), end))
                end = self.records[-1].end
        except (ValueError, KeyError, TypeError, IndexError, RecursionError):
            known = False
        if not known or size != end or len({r.name for r in self.records}) != len(self.records):
            raise UserError(f"{self.folder} is damaged or of another version: {AGAIN}.")
        self.rows = {record.name: row for row, record in enumerate(self.records)}

    def __getstate__(self) -> dict:
        # A worker that isn't forked maps the file by itself, rather than be sent its bytes.
        return {key: value for key, value in self.__dict__.items() if key != "_pixels"}

    @cached_property
    def _pixels(self) -> np.ndarray:
        if not self.records:  # a file of no bytes can't be mapped
            return np.empty(0, np.uint8)
        return np.memmap(self.folder / PIXELS, np.uint8, mode="r")

    def image(self, row: int) -> np.ndarray:
        """(h, w) or (h, w, c), uint8, as `LoadImageFromFile` reads it."""
        record = self.records[row]
        return self._part(record.offset, record.shape)

    def label(self, row: int) -> np.ndarray:
        """(h, w), uint8: the ids that training sees."""
        record = self.records[row]
        return self._part(record.offset + record.image_size, record.shape[:2])

    def _part(self, offset: int, shape: Sequence[int]) -> np.ndarray:
        part = self._pixels[offset : offset + int(np.prod(shape))].reshape(shape)
        return np.array(part) if self.copies else part

    @property
    def file_label_map(self) -> dict[int, int] | None:
        """What an id in the packed label files stood for."""
        stored = json.loads(self.header)["label_rules"].get("file_label_map")
        return None if stored is None else {int(old): new for old, new in stored.items()}

    def require(self, label_rules: Mapping, names: Iterable[str], labelled: bool) -> None:
        """Refuse a pack made under other rules, or without one of ``names``."""
        stored, now = json.loads(self.header)["label_rules"], _plain(label_rules)
        for key, value in now.items():
            if stored.get(key) != value:
                raise UserError(
                    f"{self.folder} was packed with {key}={_short(stored.get(key))} where the data "
                    f"set has {_short(value)}: {AGAIN}."
                )
        names = list(names)
        gone = [name for name in names if name not in self.rows]
        if gone:
            raise UserError(
                f"{self.folder} lacks {len(gone)} of the data set's {len(names)} samples, first "
                f"{gone[0]!r}: {AGAIN}."
            )
        if labelled and not all(self.records[self.rows[name]].labelled for name in names):
            raise UserError(f"{self.folder} was packed without labels: {AGAIN}.")

    def require_fresh(self, files: Iterable[tuple[str, Sequence[str]]]) -> None:
        """Refuse if a file isn't what was packed; ``files`` holds a name and its paths each.

        A file of the same size and time is taken for the same; of another time it is read.
        """
        for name, paths in files:
            for path, packed in zip(paths, self.records[self.rows[name]].sources, strict=False):
                if not packed.is_still(path):
                    raise UserError(f"{path} isn't what {self.folder} was packed from: {AGAIN}.")

    def require_loading(self, loading: Mapping) -> None:
        """Refuse if the pipeline would decode files in another way."""
        stored = json.loads(self.header)["loading"]
        for key, value in loading.items():
            if stored.get(key) != value:
                raise UserError(
                    f"{self.folder} was packed with LoadImageFromFile.{key}={stored.get(key)!r} "
                    f"where the pipeline has {value!r}: {AGAIN}."
                )

    def damaged(self) -> Iterator[str | None]:
        """For each sample, its name if its pixels aren't what was written, else None."""
        for record in self.records:
            crc = zlib.crc32(self._pixels[record.offset : record.end].data)
            yield None if crc == record.crc else record.name


class PackedSample(NamedTuple):
    """The place of one sample, as the results of a pipeline carry it."""

    pack: Pack
    row: int

    def image(self) -> np.ndarray:
        return self.pack.image(self.row)

    def label(self) -> np.ndarray:
        return self.pack.label(self.row)


def _plain(value: Mapping) -> dict:
    """``value`` with the keys and lists that JSON has."""
    return json.loads(json.dumps(value))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
