"""A folder in which a page's blocks run: six labelled images, and commands cut down to seconds."""

import os
import re
import runpy
import shlex
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pages import ROOT, Block

from mmseg_gc.cli.main import main
from mmseg_gc.visualization import SegLocalVisualizer

# Three iterations in place of thousands, of which the best weights are the last; R18's widest map
# is 64 wide in the narrow model of the tests.
SHORT = ["iters=3", "crop=32", "batch=2", "workers=0"]
REPLACED = (
    ("iter_20000", "iter_3"),
    ("iter_2000", "iter_3"),
    ("in_channels=512", "in_channels=64"),
)
SMALL = "img_scale = (48, 36)\n"


def set_up(folder: Path) -> None:
    """What the pages speak of: 6 labelled images, a photo and a video, 36 x 48."""
    rng = np.random.default_rng(0)
    for name in ("data/mine/images", "data/mine/labels", "photos"):
        (folder / name).mkdir(parents=True)
    for index in range(6):
        label = np.zeros((36, 48), np.uint8)
        label[:, 20 + index :] = 255
        image = (label[..., None] // 2 + rng.integers(0, 60, (36, 48, 3))).astype(np.uint8)
        cv2.imwrite(str(folder / f"data/mine/images/{index}.jpg"), image)
        cv2.imwrite(str(folder / f"data/mine/labels/{index}.png"), label)
        split = "val" if index > 3 else "train"
        for kind, content, suffix in (("images", image, "jpg"), ("labels", label // 255, "png")):
            own = folder / "data/own" / kind / split
            own.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(own / f"{index}.{suffix}"), content)
    cv2.imwrite(str(folder / "photos/one.jpg"), image)
    video = cv2.VideoWriter(str(folder / "trip.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 5, (48, 36))
    for _ in range(2):
        video.write(image)
    video.release()
    (folder / "home").mkdir()


class Stage:
    """Runs blocks in ``folder``, which is the current one, with an empty home."""

    def __init__(self, folder: Path, narrow: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.narrow = narrow
        monkeypatch.chdir(folder)
        monkeypatch.setenv("HOME", str(folder / "home"))
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *sys.path]))
        monkeypatch.setattr(sys, "argv", sys.argv)
        # A runner has its config laid out four times, which takes longer than all it does here.
        monkeypatch.setattr("yapf.yapflib.yapf_api.FormatCode", lambda text, **_: (text, True))

    def run(self, block: Block) -> None:
        if block.language == "bash":
            for line in block.commands():
                self.command(line)
        elif block.language == "python" and block.title:
            self.write(block.title, _replaced(block.text))
        elif block.language == "python":
            program = self.folder / "program.py"
            program.write_text(_replaced(block.text))
            runpy.run_path(str(program))

    def write(self, name: str, text: str) -> None:
        """A file that a page shows; a config on one of this package's bases gets a small one."""
        base = text.partition("\n")[0]
        if '"mmseg_gc::' in base:
            (self.folder / f"full_{name}").write_text(text)
            narrow = self.narrow
            if "_r50" in base:  # whose maps are four times as wide as R18's
                narrow = narrow.replace("=64", "=256").replace("=32", "=128")
            text = f'_base_ = "./full_{name}"\n{SMALL}{narrow}'
        (self.folder / name).write_text(text)

    def command(self, line: str) -> None:
        """Run a line in this process, as a shell would; it has to end with status 0."""
        words = shlex.split(_replaced(line), comments=True)
        while re.match(r"[A-Z_]+=", words[0]):
            words.pop(0)  # PYTHONPATH=., which the stage has set
        if words[:2] == ["mmseg_gc", "train"]:
            words = [w for w in words if not re.match(r"[a-z]+=", w)]
            words = [*words[:3], *SHORT, *words[3:]]
        if words[:2] == ["mmseg_gc", "compare"]:
            words = [w for w in words if not re.match(r"[a-z]+=", w)] + SHORT
        if words[:2] == ["mmseg_gc", "check"]:
            words += ["--nproc", "1"]
        # mmengine keeps one drawer a name in a process, with the folder of the run that made it.
        SegLocalVisualizer._instance_dict.clear()
        with pytest.raises(SystemExit) as stopped:
            if words[0] == "mmseg_gc":
                main(words[1:])
            else:
                assert words[0] == "python", f"fence this as console: {line}"
                script = ROOT / words[1]
                sys.argv = [str(script), *words[2:]]
                runpy.run_path(str(script), run_name="__main__")
        assert not stopped.value.code, line
        if words[1] == "init":
            with open(words[words.index("-o") + 1], "a") as config:
                config.write(self.narrow)


def _replaced(text: str) -> str:
    for old, new in REPLACED:
        text = text.replace(old, new)
    return text
