"""The images that a call asks for, each with a name for its results."""

import glob
import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image as PILImage

from mmseg_gc.datasets.files import IMAGE_SUFFIXES, is_hidden
from mmseg_gc.errors import UserError
from mmseg_gc.evaluation.label_files import result_names


class Source(NamedTuple):
    """An image: a file, with a folder below which its results keep its folders, or pixels."""

    image: Any  # an `Image`, or what else the caller's reader takes
    root: str = ""

    @property
    def is_file(self) -> bool:
        return isinstance(self.image, str | Path)


class Named(NamedTuple):
    image: Any
    name: str
    is_file: bool

    @property
    def origin(self) -> str:
        """What no other image is called: a file's whole path, or the number of pixels."""
        return os.path.abspath(self.image) if self.is_file else self.name


def find(
    inputs: object, unnamed: Iterator[int], left_out: Iterable[str] = ()
) -> tuple[list[Named], Iterator[Named]]:
    """The files that ``inputs`` begins with, and what follows, taken from it one by one.

    A folder stands for the images in it and below it, but for those in ``left_out``, a pattern such
    as ``day*/**/*.jpg`` for all that it matches. Results are named by `result_names`, images that
    are no files by the numbers of ``unnamed``.

    Raises:
        UserError: a folder can't be read, or a pattern matches nothing.
    """
    sources = _expand(inputs, {os.path.realpath(folder) for folder in left_out})
    files: list[Source] = []
    rest: Iterator[Source] = iter(())
    for source in sources:
        if not source.is_file:
            rest = chain([source], sources)  # such as the frames of a video: too many to hold
            break
        files.append(source)
    return _named_files(files), chain.from_iterable(_named_one(one, unnamed) for one in rest)


def _named_one(source: Source, unnamed: Iterator[int]) -> list[Named]:
    if source.is_file:
        return _named_files([source])
    return [Named(source.image, f"{next(unnamed):08d}", False)]


def _named_files(files: list[Source]) -> list[Named]:
    names = result_names(
        [str(file.image) for file in files],
        [file.root or os.path.dirname(str(file.image)) for file in files],
    )
    return [Named(file.image, name, True) for file, name in zip(files, names, strict=True)]


def _expand(inputs: object, left_out: set[str]) -> Iterator[Source]:
    if isinstance(inputs, str | Path):
        if glob.has_magic(str(inputs)) and not os.path.lexists(inputs) and "://" not in str(inputs):
            yield from _expand(_matches(str(inputs)), left_out)
        elif os.path.isdir(inputs):
            yield from (Source(path, str(inputs)) for path in _walk(str(inputs), left_out))
        else:
            yield Source(inputs)
    elif isinstance(inputs, Iterable) and not isinstance(
        inputs, np.ndarray | PILImage.Image | torch.Tensor | bytes
    ):
        for item in inputs:
            yield from _expand(item, left_out)
    else:
        yield Source(inputs)


def _matches(pattern: str) -> list[str]:
    found = sorted(glob.glob(pattern, recursive=True))
    if not found:
        raise UserError(f"no file matches {pattern}; check the pattern, ** walks all folders.")
    return found


def _walk(top: str, left_out: set[str]) -> Iterator[str]:
    """The images in ``top`` and below, also behind links, folder by folder and sorted in each."""
    seen = set()
    for folder, folders, files in os.walk(top, onerror=_unreadable, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen or (real in left_out and folder != top):
            folders.clear()  # links can lead in a circle
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        for name in sorted(files):
            if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and not is_hidden(name):
                yield os.path.join(folder, name)


def _unreadable(error: OSError) -> None:
    raise UserError(
        f"folder {error.filename} can't be read ({error.strerror}); mend its rights or leave it "
        "out."
    ) from error
