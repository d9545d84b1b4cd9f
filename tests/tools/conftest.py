"""Run a command-line tool in this process, as a person would type it."""

import logging
import runpy
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from mmengine.logging import MessageHub, MMLogger

TOOLS = Path(__file__).parents[2] / "tools"


class Finished(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def narrow_options() -> list[str]:
    """``--cfg-options`` for an eighth of a model's width, where what is trained doesn't matter."""
    return [
        "model.backbone.stem_channels=8",
        "model.backbone.base_channels=8",
        "model.decode_head.in_channels=64",
        "model.decode_head.channels=8",
        "model.auxiliary_head.in_channels=32",
        "model.auxiliary_head.channels=8",
    ]


@pytest.fixture
def run_tool(monkeypatch, capsys):
    """``run_tool("train.py", CONFIG, …)`` gives the exit status and what was printed."""

    def run(name: str, *arguments) -> Finished:
        script = TOOLS / name
        # Loggers of earlier tests write to streams that pytest has closed since.
        monkeypatch.setattr(logging, "raiseExceptions", False)
        monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
        monkeypatch.syspath_prepend(str(script.parent))
        for kind in (MessageHub, MMLogger):  # of two runs in one second, both would be the first's
            kind._instance_dict.clear()
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            runpy.run_path(str(script), run_name="__main__")
        return Finished(stopped.value.code, *capsys.readouterr())

    threads = torch.get_num_threads()
    yield run
    torch.set_num_threads(threads)


@pytest.fixture
def camvid_options(camvid_root) -> list[str]:
    """What makes a CamVid config run on the tiny data set in a second or two."""
    loaders = [f"{split}_dataloader" for split in ("train", "val", "test")]
    return [
        "model.pretrained=None",
        "randomness.seed=1",
        "train_dataloader.batch_size=2",
        *[f"{loader}.dataset.data_root={camvid_root}" for loader in loaders],
        *[f"{loader}.num_workers=0" for loader in loaders],
        "train_dataloader.dataset.pipeline.2.scale=(96,72)",
        "train_dataloader.dataset.pipeline.3.crop_size=(48,64)",
        "model.data_preprocessor.size=(48,64)",
        *[f"{s}_dataloader.dataset.pipeline.1.scale=(96,72)" for s in ("val", "test")],
        "train_cfg.max_iters=2",
        "train_cfg.val_interval=2",
        "default_hooks.checkpoint.interval=2",
        "default_hooks.logger.interval=1",
        "default_hooks.curves=None",
    ]
