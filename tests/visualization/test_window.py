"""Windows are opened where there is a screen, and refused in a sentence elsewhere."""

import sys

import cv2
import numpy as np
import pytest

from mmseg_gc.errors import UserError
from mmseg_gc.visualization.window import require_screen, show


@pytest.mark.parametrize(
    ("platform", "variable", "opens"),
    [
        ("linux", None, False),
        ("linux", "DISPLAY", True),
        ("linux", "WAYLAND_DISPLAY", True),
        ("darwin", None, True),
        ("win32", None, True),
    ],
)
def test_a_screen_is_needed(monkeypatch, platform, variable, opens):
    monkeypatch.setattr(sys, "platform", platform)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, ":0")
    if opens:
        require_screen("write a file")
    else:
        with pytest.raises(UserError, match="no screen here to show images on: write a file."):
            require_screen("write a file")


def test_what_is_shown_is_in_opencvs_order(monkeypatch):
    shown, waited = {}, []
    monkeypatch.setattr(cv2, "imshow", shown.__setitem__)
    monkeypatch.setattr(cv2, "waitKey", waited.append)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: waited.append("closed"))
    show(np.full((2, 2, 3), (1, 2, 3), np.uint8), "a", 1.5)
    assert shown["a"].tolist() == [[[3, 2, 1]] * 2] * 2
    assert waited == [1500, "closed"]
