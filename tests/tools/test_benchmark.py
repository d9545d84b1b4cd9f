"""The benchmarks of inference: what they print, and what they refuse."""

import re
import sys
from pathlib import Path

import pytest

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
