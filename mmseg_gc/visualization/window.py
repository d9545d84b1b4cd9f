"""Images in a window, where there is a screen."""

import os
import sys

import cv2
import numpy as np

from mmseg_gc.errors import UserError


def require_screen(cure: str) -> None:
    """Refuse to open a window where none can be.

    Raises:
        UserError: there is no screen; ``cure`` is what to do instead.
    """
    on_linux = sys.platform.startswith("linux")
    if on_linux and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise UserError(f"there is no screen here to show images on: {cure}.")


def show(image: np.ndarray, title: str, seconds: float) -> None:
    """Show ``image``, RGB uint8 (H, W, 3), for ``seconds`` or until a key; 0: until a key."""
    cv2.imshow(title, np.ascontiguousarray(image[..., ::-1]))
    cv2.waitKey(round(seconds * 1000))
    cv2.destroyAllWindows()
