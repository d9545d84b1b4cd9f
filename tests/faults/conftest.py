"""Tools in forked processes, which can be killed, starved of disk, and set against each other."""

import os
import resource
import runpy
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmseg_gc.checkpoint import read_checkpoint
from mmseg_gc.datasets.pack import Pack

TOOLS = Path(__file__).parents[2] / "tools"
CONFIG = """
_base_ = "mmseg_gc::gcnet/gcnet_r18-d8_1xb8-20k_camvid-360x480.py"
data_root, crop_size = {root!r}, (48, 64)
test_pipeline = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations"),
                 dict(type="PackSegInputs")]
train_pipeline = [*test_pipeline[:2], dict(type="RandomCrop", crop_size=crop_size),
                  dict(type="PackSegInputs")]
model = dict(
    pretrained=None,
    backbone=dict(stem_channels=8, base_channels=8),
    data_preprocessor=dict(size=crop_size),
    decode_head=dict(in_channels=64, channels=8),
    auxiliary_head=dict(in_channels=32, channels=8),
)
loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    batch_size=2, **loader, dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(**loader, dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
train_cfg = dict(max_iters=6, val_interval=6)
param_scheduler = [dict(type="PolyLR", power=0.9, begin=0, end=6, by_epoch=False)]
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=-1), logger=dict(interval=1))
env_cfg = dict(cudnn_benchmark=False)
randomness = dict(seed=3)
del loader
"""


@dataclass(frozen=True)
class Job:
    """A tool at work: its command line, and what has to hold of its output at any moment."""

    command: list[str]
    out: Path
    num_results: int
    results: Callable[[], list[Path]]  # raises where one isn't whole
    resumes: tuple[str, ...] = ()  # what its command line needs to be run again

    def start(self, *more: str, file_bytes: int | None = None) -> "Running":
        return Running([*self.command, *more], file_bytes)

    def run(self, *more: str, file_bytes: int | None = None) -> tuple[int, str]:
        return self.start(*more, file_bytes=file_bytes).end()

    def half_written(self) -> list[Path]:
        names = (".*.????????", ".*.part", "*.partial")
        return [path for name in names for path in self.out.rglob(name) if path.stem != ".training"]


class Running:
    """A tool in a fork, with its streams in a file; ``file_bytes`` bounds the files it writes."""

    def __init__(self, command: list[str], file_bytes: int | None) -> None:
        self.log = Path(os.environ["FAULTS_LOGS"], f"{time.monotonic_ns()}.log")
        self.pid = os.fork()
        if self.pid == 0:
            _be(command, self.log, file_bytes)

    def kill(self, number: int) -> None:
        os.kill(self.pid, number)

    def end(self, seconds: float = 120) -> tuple[int, str]:
        """The exit status, negative after a signal, and what was printed."""
        limit = time.monotonic() + seconds
        while True:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status), self.log.read_text()
            if time.monotonic() > limit:
                os.killpg(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                pytest.fail(f"hangs: {self.log.read_text()[-2000:]}")
            time.sleep(0.005)


def _be(command: list[str], log: Path, file_bytes: int | None) -> None:
    """Be the tool, as the interpreter would run it, and never return."""
    status = 1
    try:
        os.setsid()
        file = os.open(log, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        if file_bytes is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
        script = TOOLS / command[0]
        sys.argv = [str(script), *command[1:]]
        sys.path.insert(0, str(script.parent))
        runpy.run_path(str(script), run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


@pytest.fixture(scope="session")
def made(tmp_path_factory, camvid_root) -> Path:
    """A folder with a config, the checkpoint of its training, images and a converter's source."""
    folder = tmp_path_factory.mktemp("faults")
    os.environ["FAULTS_LOGS"] = str(folder)
    torch.set_num_threads(1)
    # From a folder a converter makes links.
    shutil.make_archive(str(folder / "camvid"), "zip", camvid_root.parent, camvid_root.name)
    (folder / "c.py").write_text(CONFIG.format(root=str(camvid_root)))
    command = ["train.py", str(folder / "c.py"), "--work-dir", str(folder / "trained")]
    quick = ["--no-validate", "--cfg-options", "train_cfg.max_iters=1"]
    status, log = Running([*command, *quick], None).end()
    assert status == 0, log[-2000:]
    return folder


def _images(folder: Path) -> list[Path]:
    paths = [path for path in folder.rglob("[!.]*") if path.suffix in (".png", ".jpg")]
    for path in paths:
        content = path.read_bytes()
        pixels = np.frombuffer(content, np.uint8)
        assert cv2.imdecode(pixels, cv2.IMREAD_UNCHANGED) is not None, path
        end = b"IEND\xaeB`\x82" if path.suffix == ".png" else b"\xff\xd9"
        assert content.endswith(end), path
    return paths


def _checkpoints(folder: Path) -> list[Path]:
    paths = list(folder.glob("[!.]*.pth"))
    for path in paths:
        read_checkpoint(path)
    return [path for path in paths if path.name.startswith("iter_")]


def _packs(folder: Path) -> list[Path]:
    paths = list(folder.glob("*.pack"))
    for path in paths:
        assert [name for name in Pack(path).damaged() if name is not None] == []
    return paths


@pytest.fixture
def job(made, camvid_root, tmp_path) -> Iterator[Callable[[str], Job]]:
    """``job("train")`` is a tool with all that it needs, and a new folder for what it writes."""

    def make(kind: str, out: Path | None = None) -> Job:
        out = out or tmp_path / kind
        config, weights = str(made / "c.py"), str(made / "trained/iter_1.pth")
        val = str(camvid_root / "val")
        return {
            "train": Job(
                ["train.py", config, "--work-dir", str(out), "--no-validate"],
                out, 6, lambda: _checkpoints(out), ("--resume",),
            ),
            "test": Job(
                ["test.py", config, weights, "--work-dir", str(tmp_path / "w"), "--out", str(out),
                 "--show-dir", str(out / "show")],
                out, 4, lambda: _images(out),
            ),
            "predict": Job(
                ["label.py", config, weights, val, "--out-dir", str(out), "--device", "cpu"],
                out, 4, lambda: _images(out), ("--skip-existing",),
            ),
            "convert": Job(
                ["convert_datasets/camvid.py", str(made / "camvid.zip"), "-o", str(out),
                 "--nproc", "1"],
                out, 12, lambda: _images(out),
            ),
            "pack": Job(
                ["pack_dataset.py", config, "--split", "train,val", "--out-dir", str(out)],
                out, 2, lambda: _packs(out),
            ),
        }[kind]  # fmt: skip

    yield make
