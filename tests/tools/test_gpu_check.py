"""The tool that checks a GPU: what it refuses, how it stops, and that its checks can fail."""

import os
import re
import shutil
import subprocess
import sys
import time
import traceback
import warnings
from functools import partial
from pathlib import Path

import pytest
import torch

from mmseg_gc.errors import UserError

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "tools"), str(ROOT / "tools/benchmarks")]
from gpu_check import (  # noqa: E402
    inputs,
    label_checks,
    loss_checks,
    nets,
    resume_checks,
    runs,
    training_checks,
    wait_checks,
)  # fmt: skip
from gpu_check.catalogue import CHECKS, choose, listing  # noqa: E402
from gpu_check.check import Check, CheckFailed, SkipCheck, run_check  # noqa: E402
from gpu_check.peer import ask_for_peer  # noqa: E402
from gpu_check.setting import Setting  # noqa: E402
from gpu_check.speed_checks import Figures, Rates  # noqa: E402

CPU = Setting(torch.device("cpu"), tiny=True)
GPU = Setting(torch.device("cuda", 0))
MAIN = "gpu_check/__main__.py"


def check(function, limit=60.0, name="a/b") -> Check:
    return Check(name, "what it says", function, limit)


# The command line


def test_names_are_listed_and_chosen_by_their_first_word(run_tool):
    finished = run_tool(MAIN, "--list", "--only", "loss", "counts")
    assert finished.status == 0
    names = [line.split()[0] for line in finished.out.splitlines()]
    assert names == ["counts", *(f"loss/{case}" for case in loss_checks.CASES)]
    assert len({one.name for one in CHECKS}) == len(CHECKS)
    assert [one.name for one in choose(["labels/slide"])] == ["labels/slide"]
    assert len(listing(CHECKS).splitlines()) == len(CHECKS)


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (
            ["--device", "cpu", "--only", "lables"],
            "no check 'lables'; choose from labels,",
        ),
        (["--device", "gpu"], "--device gpu is no device; choose cpu, cuda or cuda:N."),
        (["--device", "cpu", "--peer", "/no/python"], "/no/python doesn't exist: run tools/bench"),
    ],
)
def test_wrong_input_gets_one_sentence(arguments, sentence, run_tool, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    finished = run_tool(MAIN, *arguments)
    assert finished.status == 1 and finished.err.count("\n") == 1
    assert sentence in finished.err


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_make_passes_the_peer_on():
    command = ["make", "-n", "-o", "ready", "READY=ready", "gpu-check"]
    # Below another make this one would tell which folder it enters.
    env = {
        key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))
    }
    run = partial(subprocess.run, cwd=ROOT, env=env, capture_output=True, text=True)
    assert run(command).stdout.split()[-2:] == [".venv/bin/python", "tools/gpu_check"]
    given = run([*command, "PEER=p/python", "GPU_CHECK_ARGS=--only labels"]).stdout
    assert given.endswith("tools/gpu_check --peer p/python --only labels\n")


def test_without_a_gpu_the_default_says_so(run_tool, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    finished = run_tool(MAIN)
    assert finished.status == 1 and "sees no GPU here; pass --device cpu" in finished.err


def test_a_peer_without_mmsegmentation(tmp_path):
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/sh\necho \"ModuleNotFoundError: No module named 'mmseg'\" >&2\nexit 1\n"
    )
    python.chmod(0o755)
    with pytest.raises(UserError, match=r"no usable mmsegmentation \(ModuleNotFoundError: No mod"):
        ask_for_peer(str(python))
    python.write_text("#!/bin/sh\n")
    assert ask_for_peer(str(python)) == python


# How checks are run


def fail(setting):
    raise CheckFailed("3, not 4")


def skip(setting):
    raise SkipCheck("nothing here")


def crash(setting):
    return 1 / 0


def hang(setting):
    while True:
        time.sleep(0.01)


@pytest.mark.parametrize(
    "function, verdict, note",
    [
        (lambda setting: "fine", "ok", "fine"),
        (fail, "FAIL", "3, not 4"),
        (skip, "skipped", "nothing here"),
        (crash, "FAIL", r"ZeroDivisionError at test_gpu_check.py:\d+: division by zero"),
    ],
)
def test_verdicts(function, verdict, note):
    outcome = run_check(check(function), GPU, 60)
    assert outcome.verdict == verdict and re.fullmatch(note, outcome.note)


def test_a_check_that_hangs_fails_and_the_end_of_the_run_skips():
    hung = run_check(check(hang, limit=0.1), GPU, 60)
    assert hung.verdict == "FAIL" and hung.note == "took longer than the 0 s it may"
    over = run_check(check(hang), GPU, 0.1)
    assert over.verdict == "skipped" and "time of the whole run is over" in over.note


@pytest.mark.slow
def test_one_failure_is_the_exit_status_and_the_table_comes_last(capsys, monkeypatch):
    monkeypatch.setattr(runs.logging, "disable", lambda level: None)
    figures = Figures("whole", 10.0, 500.0, 25.0, 1000.0, 0.5, "bf16")
    good = [
        check(lambda s: "fine"),
        check(lambda s: Rates({"bf16": 2e12})),
        check(lambda s: figures),
    ]
    with warnings.catch_warnings():
        assert runs.run_all(good, CPU, 60) == 0
        out = capsys.readouterr().out
        assert "| whole | 10.0 | 25.0 | 2.50 × | 500 | 1000 | 0.50 | 50% of bf16 |" in out
        assert "matrix products: bf16 2.00 TFLOP/s." in out and f"torch {torch.__version__}" in out
        assert out.endswith("3 ok, 0 failed, 0 skipped\n")
        assert runs.run_all([*good, check(fail, name="x/y")], CPU, 60) == 1
        assert "1 failed, 0 skipped; failed: x/y\n" in capsys.readouterr().out
        assert runs.run_all([check(fail)], CPU, 1) == 0  # not begun
        assert "0 failed, 1 skipped" in capsys.readouterr().out


# What is checked


def test_labels_that_are_wrong_fail(monkeypatch):
    """Every second class of the network on the device has logits a little too high."""
    monkeypatch.setattr(label_checks, "PRECISIONS", {None: (1e-4, 1e-4)})
    way = label_checks.WAYS["padded-flipped"]
    assert label_checks.labels_agree(CPU, way) == "plain 0.000% of the labels differ"

    def wrong(model, precision):
        model.decode_head.conv_seg.bias.data[::2] += 0.05
        return model

    monkeypatch.setattr(nets, "prepared", wrong)
    with pytest.raises(CheckFailed, match=r"^plain \d+\.\d+% of the labels differ, more than 0.01"):
        label_checks.labels_agree(CPU, way)


def test_a_precision_that_raises_does_not_hide_the_others(monkeypatch):
    def difference(precision):
        if precision is None:
            raise RuntimeError("no such kernel")
        return 0.5

    with pytest.raises(CheckFailed) as failed:
        label_checks._in_each_precision(CPU, difference, {None: 0.1, "fp32": 0.1}, "{:.1f} off")
    assert (
        str(failed.value)
        == "plain raised RuntimeError: no such kernel; fp32 0.5 off, more than 0.1 off"
    )


def test_networks_of_the_checks_tell_many_classes_apart():
    labels = nets.labels(nets.build_small(label_checks.WHOLE, "cpu"), inputs.test_batch((64, 128)))
    counts = torch.bincount(labels.flatten().long(), minlength=19)
    assert (counts > 40).sum() >= 12 and counts.max() < labels.numel() / 3


@pytest.mark.parametrize("name", ["19-classes", "sigmoid"])
def test_a_loss_that_is_off_fails(name, monkeypatch):
    case = loss_checks.CASES[name]
    results = []
    ours = loss_checks.ours
    monkeypatch.setattr(
        loss_checks, "ours", lambda *args: results.append(ours(*args)) or results[0]
    )
    assert "gradient within" in loss_checks.loss_is_right(CPU, case)
    for field, change in (("loss", 1.001), ("grad", 1.001), ("accuracy", 1.1)):
        off = results[0]._replace(**{field: getattr(results[0], field) * change})
        monkeypatch.setattr(loss_checks, "ours", lambda *args, off=off: off)
        with pytest.raises(CheckFailed, match="in float64"):
            loss_checks.loss_is_right(CPU, case)


def test_counts_that_are_off_fail(monkeypatch):
    from mmseg_gc.evaluation import confusion

    assert label_checks.counts_are_equal(CPU) == "2, 19 and 150 classes, exact"
    counts = confusion.confusion_counts
    monkeypatch.setattr(confusion, "confusion_counts", lambda *args: counts(*args).T)
    with pytest.raises(CheckFailed, match="counts of 2 classes differ"):
        label_checks.counts_are_equal(CPU)


def test_tensors_are_found_wherever_a_checkpoint_holds_them():
    held = {"a": [torch.zeros(1), ({"b": torch.ones(2)},)], "c": 3}
    assert [tensor.numel() for tensor in training_checks.tensors(held)] == [1, 2]


def test_the_distance_of_two_checkpoints_sees_each_kind_of_state():
    def checkpoint(weight=0.0, averaged=0.0, momentum=0.0):
        buffers = {0: {"momentum_buffer": torch.full((2,), momentum)}}
        return dict(
            state_dict={"w": torch.full((2,), weight)},
            ema_state_dict={"w": torch.full((2,), averaged)},
            optimizer={"state": buffers},
        )

    plain = checkpoint()
    assert resume_checks.distance(plain, checkpoint()) == 0
    for changed in (dict(weight=0.5), dict(averaged=0.5), dict(momentum=0.5)):
        assert resume_checks.distance(plain, checkpoint(**changed)) == 0.5
    assert resume_checks.distance(plain, checkpoint(weight=float("nan"))) == float("inf")


def test_waits_are_counted_by_file_and_line(monkeypatch):
    modes = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    with wait_checks.waits() as found:
        for _ in range(3):
            warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
        warnings.warn("something else", stacklevel=1)
    assert modes == ["warn", "default"]
    [(place, count)] = found.items()
    assert count == 3 and re.fullmatch(r"tools/test_gpu_check\.py:\d+", place)


def test_a_wait_inside_torch_is_named_by_the_line_that_led_to_it():
    frames = [
        ("/x/tools/train.py", 1),
        ("/x/mmseg_gc/engine/runner.py", 7),
        ("/t/amp/scaler.py", 9),
    ]
    stack = traceback.StackSummary.from_list([(name, line, "f", "") for name, line in frames])
    assert wait_checks.place(stack) == "engine/runner.py:7 (amp/scaler.py:9)"
    assert wait_checks.place(stack[:2]) == "engine/runner.py:7"
    assert wait_checks.place(stack[:1]) == "tools/train.py:1"


def test_more_waits_than_meant_fail():
    found = wait_checks.Counter({"a.py:1": 2, "b.py:2": 4})
    assert (
        wait_checks.judge(found, 3, 2, "iteration") == "2 waits an iteration: a.py:1 x2, b.py:2 x4"
    )
    with pytest.raises(CheckFailed, match="3 waits an iteration: .*; at most 2 are meant"):
        wait_checks.judge(found, 2, 2, "iteration")


@pytest.mark.slow
def test_the_whole_tool_on_a_cpu():
    finished = subprocess.run(
        [sys.executable, ROOT / "tools/gpu_check", "--device=cpu", "--tiny", "--seconds=3000"],
        capture_output=True, text=True, timeout=3100,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout
    assert "0 failed" in finished.stdout and "| whole, 128x256, fp32 |" in finished.stdout
