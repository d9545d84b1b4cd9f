"""The benchmarks of inference: what they print, and what they refuse."""

import re
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from mmseg_gc.errors import UserError

BENCHMARKS = Path(__file__).parents[2] / "tools/benchmarks"
CONFIG = Path(__file__).parents[2] / "configs/gcnet/gcnet_r18-d8_1xb8-20k_camvid-360x480.py"


def test_every_stage_is_measured(run_tool, tiny_text, tmp_path):
    config = tmp_path / "tiny.py"
    config.write_text(f"_base_ = {str(CONFIG)!r}\n{tiny_text}")
    finished = run_tool(
        "analysis_tools/benchmark.py", config, "--size", 64, 96, "--repeat", 1, "--device", "cpu"
    )
    assert finished.status == 0, finished.err
    for stage in ("backbone", "decode head", "labels (whole)", "counts", "end to end", "peak mem"):
        assert stage in finished.out
    for stage in ("product in fp32", "product in bf16", "reached by the network, in fp32"):
        assert stage in finished.out
    assert float(re.search(r"([\d.]+) images/s", finished.out)[1]) > 0


def test_sizes_come_from_the_config_or_have_to_be_said(run_tool, tmp_path):
    config = tmp_path / "own.py"
    config.write_text(
        f'_base_ = "{CONFIG}"\n'
        'test_dataloader = dict(dataset=dict(pipeline=[dict(type="LoadImageFromFile"), '
        'dict(type="PackSegInputs")]))\n'
    )
    finished = run_tool("analysis_tools/benchmark.py", config, "--device", "cpu")
    assert finished.status == 1
    assert "pass --size H W" in finished.err


@pytest.mark.parametrize("tool", ["compare_inference", "compare_training"])
def test_comparing_needs_the_peer(tool, run_tool, tmp_path):
    finished = run_tool(f"benchmarks/{tool}.py", "--peer", tmp_path / "none")
    assert finished.status == 1
    assert "run tools/benchmarks/setup_peer.sh" in finished.err


@pytest.mark.parametrize("tool", ["compare_inference", "compare_training"])
def test_the_device_is_named_and_has_to_be_there(tool, run_tool):
    finished = run_tool(f"benchmarks/{tool}.py", "--peer", sys.executable, "--device", "gpu")
    assert finished.status == 1 and "--device gpu is no device" in finished.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--configs", "x.py", "--rows", "whole"], "--configs labels whole images, and --rows"),
        (["--clock", "processor", "--device", "cuda:0"], "--clock processor is for CPUs"),
        (["--configs", "pspnet_r50"], "config pspnet_r50 doesn't exist"),
        (["--processes", "0"], "--processes 0: give 1 or more"),
        (["--rounds", "-1"], "--rounds -1: give 1 or more"),
    ],
)
def test_what_can_not_be_compared(words, told, run_tool):
    finished = run_tool("benchmarks/compare_inference.py", "--peer", sys.executable, *words)
    assert finished.status == 1 and told in finished.err


def test_each_process_counts_once(monkeypatch):
    """The median of processes: one that was slow in every round doesn't move it."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from compare_inference import BASE, Measured, table_lines

    mib = 2**20
    ours = [([1.0, 1.0, 4.0], 500), ([3.0, 3.0, 3.0], 900), ([1.2, 1.0, 1.1], 400)]
    peers = [([4.0, 4.4, 4.4], 1000), ([4.4] * 3, 1200), ([5.0] * 3, 1000)]
    processes = [
        {
            BASE: Measured(seconds, peak * mib, 0.0),
            "mmseg_gc bf16": Measured(own[0], own[1] * mib, 0.001),
        }
        for (seconds, peak), own in zip(peers, ours, strict=True)
    ]
    assert table_lines("whole", processes) == [
        ["whole", BASE, "4.400", "1.00x", "1000 MiB (1.00)", "0.0000%"],
        ["whole", "mmseg_gc bf16", "1.100", "4.00x", "500 MiB (0.50)", "0.1000%"],
    ]
    scores = [{BASE: Measured([0.2], None, None)}]
    assert table_lines("counting", scores) == [["counting", BASE, "0.200", "1.00x", "", ""]]


def test_each_process_is_a_new_one(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import compare_inference as tool

    started = []

    @contextmanager
    def start(side, *_):
        started.append(side)
        yield side

    monkeypatch.setattr(tool, "make_weights", lambda *_: None)
    monkeypatch.setattr(tool, "start", start)
    found = {side: tool.Measured([1.0], 1, 0.0) for side in (tool.BASE, "mmseg_gc fp32")}
    monkeypatch.setattr(tool, "measure", lambda *_: found)
    words = ["--peer", sys.executable, "--rows", "whole", "slide", "--processes", "2"]
    monkeypatch.setattr(sys, "argv", ["x", *words, "--sides", "mmseg_gc fp32"])
    assert len(tool.compare(Path("config.py"), tool.parse_args())) == 4
    assert started == [tool.BASE, "mmseg_gc fp32"] * 4


def test_a_side_labels_with_another_config(tmp_path, tiny_text, monkeypatch):
    """By the processor's clock: a side that sleeps has taken no time."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import inference_worker
    from compare_inference import make_weights

    from mmseg_gc.models import FCNHead, GCHead

    config = tmp_path / "fcn_tiny.py"
    fcn = CONFIG.parents[1] / "camvid_heads/fcn_r18-d8_1xb8-20k_camvid-360x480.py"
    config.write_text(f'_base_ = "{fcn}"\n{tiny_text}')
    make_weights(config, tmp_path / "weights.pth")
    monkeypatch.setitem(inference_worker.IMAGES, "whole", ("no_such_config.py", (32, 48)))
    options = dict(configs="", weights=str(tmp_path / "weights.pth"), config=str(config))
    side = inference_worker.Side("mmseg_gc", **options, precision="fp32", device="cpu")
    side.load("whole")
    assert isinstance(side.model.decode_head, FCNHead)
    assert not isinstance(side.model.decode_head, GCHead)
    assert side.seconds() > 0 and side.labels.shape == (32, 48)
    side.label = lambda: time.sleep(0.3)
    assert side.seconds() >= 0.3
    side.clock = inference_worker.CLOCKS["processor"]
    assert side.seconds() < 0.1


def test_some_techniques_alone(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from compare_techniques import chosen
    from techniques_worker import TECHNIQUES

    assert chosen(None) == list(TECHNIQUES)
    assert [name.split()[0] for name in chosen(["scratch", "tiles are"])] == ["tiles", "scratch"]
    with pytest.raises(UserError, match="--without tricks: no technique begins so; Winograd"):
        chosen(["scratch", "tricks"])


@pytest.mark.parametrize("words", [[], ["--config", "own.py"], ["--without", "scratch"]])
def test_techniques_are_measured_on_weights_of_the_model(words, tmp_path, tiny_text, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import compare_inference
    import compare_techniques

    own, made, started = tmp_path / "own.py", [], []
    own.write_text(f'_base_ = "{CONFIG}"\n{tiny_text}')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compare_inference, "make_weights", lambda *args: made.append(args))
    monkeypatch.setattr(compare_techniques, "start", lambda *args: started.append(args[1:]))
    monkeypatch.setattr(compare_techniques, "measure", lambda *args: [])
    monkeypatch.setattr(sys, "argv", ["compare_techniques.py", *words])
    with pytest.raises(SystemExit) as stopped:
        compare_techniques.main()
    assert not stopped.value.code
    [(config, weights)] = made
    row = "gcnet_r50-d8_4xb2-40k_cityscapes-512x1024.py"
    assert Path(config).name == ("own.py" if "own.py" in words else row)
    assert {args[2] for args in started} == {weights}
    names = [args[0] for args in started]
    if "scratch" in words:
        assert names == ["", "scratch is used again"]
    else:
        assert len(names) > 10


def test_kill_resume_trains_on_no_gpu_unless_told(monkeypatch, tmp_path):
    """What the trained process would see is asked of a program in the trainer's place."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    import kill_resume

    started = {}

    def popen(command, env, **_):
        started.update(env)
        raise SystemExit

    monkeypatch.setattr(kill_resume.subprocess, "Popen", popen)
    monkeypatch.setattr(sys, "argv", ["kill_resume.py", "--work-dir", str(tmp_path)])
    with pytest.raises(SystemExit):
        kill_resume.main()
    assert started["CUDA_VISIBLE_DEVICES"] == ""
