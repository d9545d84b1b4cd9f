"""Predicted label maps as PNG files, each under the name of its picture."""

import os.path as osp
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from mmengine import fileio
from PIL import Image

from mmseg_gc.errors import UserError


class LabelFiles:
    """The files ``folder/NAME.png`` of one test; ``folder`` may be remote, by ``backend_args``."""

    def __init__(self, folder: str, backend_args: dict | None = None) -> None:
        self.folder = folder
        self.backend_args = dict(backend_args) if backend_args else None
        self._source_of: dict[str, str] = {}

    def write(
        self, ids: np.ndarray, picture: str, palette: Sequence[Sequence[int]] | None = None
    ) -> str:
        """Write ``ids`` (h, w), uint8, with the colours (r, g, b) of ``palette`` where it is given.

        Returns the path.

        Raises:
            UserError: Another picture of that name was written before.
        """
        target = osp.join(self.folder, osp.splitext(osp.basename(picture))[0] + ".png")
        if self._source_of.setdefault(target, picture) != picture:
            raise UserError(
                f"{picture} and {self._source_of[target]} would both be written to {target}: give "
                "every picture a name of its own."
            )
        image = Image.fromarray(ids)
        if palette is not None:
            image.putpalette([level for color in palette for level in color])
        png = BytesIO()
        image.save(png, "PNG")
        fileio.put(png.getvalue(), target, backend_args=self.backend_args)
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
