"""The benchmarks of inference: what they print, and what they refuse."""

import re
import runpy
from pathlib import Path

import pytest

CONFIG = Path(__file__).parents[2] / "configs/gcnet/gcnet_r18-d8_1xb8-20k_camvid-360x480.py"


def test_every_stage_is_measured(run_tool):
    finished = run_tool(
        "analysis_tools/benchmark.py", CONFIG, "--size", 64, 96, "--repeat", 1, "--device", "cpu"
    )
    assert finished.status == 0, finished.err
    for stage in ("backbone", "decode head", "labels (whole)", "counts", "end to end", "peak mem"):
        assert stage in finished.out
    assert float(re.search(r"([\d.]+) images/s", finished.out)[1]) > 0


def test_operations_of_the_published_model():
    """790 GFLOP for R50-D8 on 512x1024, without the auxiliary head."""
    from mmseg_gc.apis import init_model

    root = CONFIG.parents[2]
    path = root / "tools/analysis_tools/benchmark.py"
    num_operations = runpy.run_path(str(path))["num_operations"]
    model = init_model(root / "configs/gcnet/gcnet_r50-d8_4xb2-40k_cityscapes-512x1024.py")
    assert round(num_operations(model, (512, 1024)) / 1e9) == 790


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
