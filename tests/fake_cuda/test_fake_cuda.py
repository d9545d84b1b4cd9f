"""What a GPU would do, on a machine without one: all checks, in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .guard import GuardError, compiled_guard

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def run(markers: str) -> None:
    """Let pytest run the checks where CUDA tensors are fake; what it prints is the message.

    All other tests must go on to see that there is no GPU.
    """
    try:
        guard = compiled_guard()
    except GuardError as error:
        pytest.skip(f"no fake GPU: {error}")
    options = ["-p", "fake_cuda.plugin", "-p", "no:cacheprovider", "-m", markers]
    paths = {"PYTHONPATH": f"{ROOT}{os.pathsep}{HERE.parent}", "FAKE_CUDA_GUARD": str(guard)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *sorted(HERE.glob("checks/check_*.py"))],
        cwd=ROOT,
        env={**os.environ, **paths},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.fail(f"{done.stdout[-30000:]}{done.stderr[-5000:]}", pytrace=False)


def test_on_a_fake_gpu():
    run("not slow")


@pytest.mark.slow
def test_on_a_fake_gpu_in_every_precision():
    run("slow")
