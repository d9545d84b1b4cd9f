"""What a person sees of a training, and what the log's file keeps."""

import io
import logging
import re
import sys
import warnings
from collections import OrderedDict
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger
from tqdm import tqdm

from mmseg_gc.engine.console import AboveBars, is_brief, tell_briefly
from mmseg_gc.errors import UserError

CONFIG = Path(__file__).parents[2] / "configs/gcnet/gcnet_r18-d8_1xb8-20k_camvid-360x480.py"


@pytest.fixture
def train(run_tool, camvid_options, narrow_options, tmp_path):
    short = ("train_cfg.", "train_dataloader.batch_size", "default_hooks.")
    kept = [option for option in camvid_options if not option.startswith(short)]
    own = f"visualizer.name={tmp_path.name}"  # a name's visualizer is made once in a process
    options = ["--cfg-options", *kept, *narrow_options, "default_hooks.logger.interval=4", own]

    def run(*settings, more=()):
        words = ("train.py", CONFIG, *settings, "--work-dir", tmp_path / "work")
        return run_tool(*words, *options, *more)

    return run


def test_ten_lines_then_how_far_it_is_then_what_came_of_it(train, run_tool, tmp_path):
    with warnings.catch_warnings(record=True) as told:
        finished = train("iters=6", "val_interval=3", "batch=1")
    assert finished.status == 0, finished.err
    lines = finished.out.splitlines()
    head = lines[: next(i for i, line in enumerate(lines) if line.startswith("Iter(train) [1/"))]
    assert 6 <= len(head) <= 12
    topics = {line.split()[0]: line for line in head}
    assert "4 images for training, 2 for validation" in topics["data"]
    assert "11: Sky, Building" in topics["classes"] and "and 3 more" in topics["classes"]
    assert "ResNetV1c-18 + GCHead" in topics["model"] and "float32" in topics["precision"]
    assert "6 iterations of 1 images, validation every 3" in topics["run"]
    shown = re.findall(
        r"^Iter\(train\) \[(\d+)/6\]  lr: \S+  eta: [\d:]+  .*  [\d.]+ images/s$",
        finished.out,
        re.M,
    )
    assert shown == ["1", "2", "4", "5", "6"]
    [about] = re.findall(r"^estimate   (.*)$", finished.out, re.M)
    assert re.fullmatch(r"\d+ seconds of training, [\d.]+ images/s", about)
    assert len(re.findall(r"^validation at \d+: aAcc: [\d.]+  mIoU: ", finished.out, re.M)) == 2
    assert "| Building" in finished.out.replace("|  Building", "| Building")
    [best] = re.findall(r"^best mIoU [\d.]+: (\S+)$", finished.out, re.MULTILINE)
    assert Path(best).is_file()
    commands = [line for line in lines if line.startswith("  mmseg_gc ")]
    assert [line.split()[1] for line in commands] == ["test", "predict", "curves"]
    own = Path(commands[0].split()[2])  # what was changed is in the run's own config
    assert own.parent == tmp_path / "work" and "max_iters" in own.read_text()
    assert finished.err == "" and told == []
    [log] = (tmp_path / "work").glob("*/*.log")
    text = log.read_text()
    # The rate is of the iteration, not of the next, and both spell all figures alike.
    figures = r"Iter\(train\) \[\s*(\d+)/6\].*? (lr: [\de.+-]+) .* (decode\.acc_seg: [\d.]+)"
    told, logged = re.findall(figures, finished.out), re.findall(figures, text)
    assert len(logged) == 1 and [one[:2] for one in logged] == [one[:2] for one in told[2:3]]
    assert {"loss: ", "decode.loss_ce: ", "aux.acc_seg: "} <= set(
        re.findall(r"\S+: ", finished.out)
    )
    assert "System environment" in text and "Hooks will be executed" in text
    assert "Iter(train)" in text and "System environment" not in finished.out
    _tests_briefly(run_tool, own, best, float(re.search(r"best mIoU ([\d.]+)", finished.out)[1]))


def _tests_briefly(run_tool, config: Path, weights: str, figure: float) -> None:
    """``test`` tells what it tests, each class, and where the results are, and nothing else."""
    folder = config.parent / "tested"
    finished = run_tool("test.py", config, weights, "--work-dir", folder, "--out", folder / "ids")
    assert finished.status == 0, finished.err
    lines = finished.out.splitlines()
    topics = {line.split()[0]: line for line in lines if line}
    assert "2 images" in topics["data"] and weights in topics["model"]
    assert "ResNetV1c-18 + GCHead: " in topics["model"]
    assert "whole images" in topics["test"] and "| Building" in re.sub(" +", " ", finished.out)
    assert re.search(rf"^aAcc: [\d.]+  mIoU: {figure:.2f}  mAcc", finished.out, re.M)
    assert Path(topics["figures"].split()[1]).is_file()
    assert len(list(Path(lines[-1].split(maxsplit=2)[2]).glob("*.png"))) == 2
    assert "System environment" not in finished.out and "mmengine" not in finished.out
    assert re.search(r"^WARNING: No pixel in the labels of the test", finished.out, re.M)


def test_a_terminal_gets_a_bar(train, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    finished = train("iters=2", "val_interval=2", "batch=1")
    assert finished.status == 0
    assert "Iter(train)" not in finished.out and "validation at 2" in finished.out
    bar = screen.getvalue()
    assert re.search(r"1/2 .*loss [\d.]+  lr [\de.-]+  [\d.]+ images/s", bar) and "2/2" in bar
    assert "validation 1/2" in bar or "validation 2/2" in bar


def test_a_warning_gets_a_line_above_the_bar():
    screen = io.StringIO()
    bar = tqdm(total=3, file=screen, ascii=True)
    handler = logging.StreamHandler(AboveBars(screen))
    handler.emit(logging.makeLogRecord({"msg": "mind the gap"}))
    bar.close()
    shown = [re.split(r"\r", line)[-1] for line in screen.getvalue().split("\n")]
    assert shown[0].strip() == "mind the gap" and "0/3" in shown[1]


def test_what_is_set_anew_is_told_once_on_the_screen_and_in_the_file(train, tmp_path, monkeypatch):
    monkeypatch.setattr(MMLogger, "_instance_dict", OrderedDict())  # as in a fresh process
    finished = train("iters=1", more=["optimizer.lr=0.005"])
    assert finished.status == 0, finished.err
    told = "optimizer set anew, carried through to optim_wrapper.optimizer.lr=0.005."
    [log] = (tmp_path / "work").glob("*/*.log")
    assert f"WARNING: {told}" not in finished.out  # it is none
    assert finished.out.count(told) == 1 and log.read_text().count(told) == 1
    assert re.search(r"^Iter\(train\) \[1/1\]  lr: 5\.0000e-03 ", finished.out, re.MULTILINE)


@pytest.mark.parametrize("screen", [None, "brief", "full"])
def test_a_config_tells_briefly_once_unless_it_says_full(screen):
    cfg = Config(dict(screen=screen) if screen else {})
    for _ in range(2):  # a training's own config holds the hook already
        tell_briefly(cfg, "own.py")
    expected = [] if screen == "full" else [dict(type="mmseg_gc.ScreenHook", config="own.py")]
    assert cfg.custom_hooks == expected and is_brief(cfg.screen) == (screen != "full")


@pytest.mark.slow
def test_all_of_it_on_request(train):
    finished = train("iters=1", more=["screen=full"])
    assert "System environment" in finished.out and "next:" not in finished.out
    with pytest.raises(UserError, match="screen='loud': choose 'brief', or 'full'"):
        is_brief("loud")


def test_short_keys_are_refused_where_they_do_nothing(train):
    finished = train("val_interval=5", "--no-validate")
    assert finished.status == 1 and "would do nothing with --no-validate" in finished.err
    finished = train("seed=3")
    assert (
        finished.status == 1 and "seed=3 and --cfg-options both set randomness.seed" in finished.err
    )
