"""Predicted label maps as PNG files, each under the name of its image."""

import os
import os.path as osp
from collections import Counter
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from mmseg_gc.atomic import put
from mmseg_gc.errors import UserError

# What `label_file_ids` needs besides the classes.
NUMBERING = ("label_map", "reduce_zero_label", "file_label_map")
# The first and the last bytes of a PNG and of a JPEG.
WHOLE = ((b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"), (b"\xff\xd8", b"\xff\xd9"))
EVERY_UINT8 = 256  # entries that a table of uint8 labels needs, whatever the number of classes


def label_file_ids(meta: Mapping) -> np.ndarray:
    """The number that stands for each class in the label files: (C or more,), uint8 or uint16.

    ``meta`` is the data set's ``metainfo``, whose ``label_map``, ``reduce_zero_label`` (with it the
    first class is 1) and ``file_label_map``, all from a file's number to a class, are undone.
    """
    num_classes = len(meta.get("classes") or ())
    ids = np.arange(max(num_classes, EVERY_UINT8))
    for old_id, new_id in (meta.get("label_map") or {}).items():
        if new_id < num_classes:
            ids[new_id] = old_id
    ids += bool(meta.get("reduce_zero_label"))
    in_file = {new_id: old_id for old_id, new_id in (meta.get("file_label_map") or {}).items()}
    ids = np.array([in_file.get(number, number) for number in ids.tolist()])
    return ids.astype(np.uint8 if ids[:num_classes].max(initial=0) < EVERY_UINT8 else np.uint16)


def result_names(images: Sequence[str], roots: Sequence[str] | None = None) -> list[str]:
    """What each image's results are called, without suffix: by its own name where that is enough.

    ``roots`` has a folder above each image, below which its folders are kept: ``day1/0001``.
    Images that would have one name keep the folders below the one that holds all; those that
    differ in the suffix alone keep it, ``0001.jpg``.
    """
    if not images:
        return []
    paths = [osp.abspath(image) for image in images]
    tops = list(map(osp.abspath, roots)) if roots else list(map(osp.dirname, paths))
    top = osp.commonpath([osp.dirname(path) for path in paths])
    whole = [osp.relpath(path, top) for path in paths]
    without_suffix = [osp.splitext(path)[0] for path in whole]
    names = [
        osp.splitext(osp.relpath(path, root))[0] for path, root in zip(paths, tops, strict=True)
    ]
    for longer in (without_suffix, whole, whole):  # the last for what ``0001.jpg`` has come to be
        count = Counter(dict(zip(paths, names, strict=True)).values())  # a path given twice is one
        names = [
            long if count[name] > 1 else name for name, long in zip(names, longer, strict=True)
        ]
    return names


def is_whole(path: str | Path) -> bool:
    """Whether ``path`` is a PNG or JPEG that has its end."""
    try:
        with open(path, "rb") as file:
            start = file.read(8)
            file.seek(-min(12, file.seek(0, os.SEEK_END)), os.SEEK_END)
            end = file.read()
    except OSError:
        return False
    return any(start.startswith(first) and end.endswith(last) for first, last in WHOLE)


class LabelFiles:
    """The files ``folder/NAME.png`` of one test, each whole or not there.

    ``folder`` may be remote, by ``backend_args``.
    """

    def __init__(self, folder: str, backend_args: dict | None = None) -> None:
        self.folder = folder
        self.backend_args = dict(backend_args) if backend_args else None
        self.names: dict[str, str] = {}  # by path of the image; without one it is the image's
        self._source_of: dict[str, str] = {}

    def claim(self, image: str) -> str:
        """The path that is ``image``'s: under what ``names`` has for it.

        Raises:
            UserError: Another image of that name was there before.
        """
        name = self.names.get(image) or osp.splitext(osp.basename(image))[0]
        target = osp.join(self.folder, f"{name}.png")
        if self._source_of.setdefault(target, image) != image:
            raise UserError(
                f"{image} and {self._source_of[target]} would both be written to {target}: give "
                "every image a name of its own."
            )
        return target

    def write(
        self,
        ids: np.ndarray,
        image: str,
        palette: np.ndarray | Sequence[Sequence[int]] | None = None,
    ) -> str:
        """Write ``ids`` (h, w), uint8 or uint16, under what ``names`` has for ``image``.

        ``palette`` has colours (r, g, b) for uint8. Returns the path.

        Raises:
            UserError: Another image has that path, as `claim` says.
        """
        target = self.claim(image)
        labels = Image.fromarray(ids)
        if palette is not None:
            labels.putpalette([level for color in palette for level in color])
        png = BytesIO()
        labels.save(png, "PNG")
        put(png.getvalue(), target, self.backend_args)
        return target

    def forget(self) -> None:
        """Let the next test write the same names again."""
        self._source_of.clear()

    def remove(self) -> None:
        """Delete what was written, and the folder if nothing else is in it."""
        for target in self._source_of:
            Path(target).unlink(missing_ok=True)
        self.forget()
        folder = Path(self.folder)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
