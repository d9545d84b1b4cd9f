"""Which packages, compilers and dtypes this machine has, and whether they fit together."""

import os
import re
import shutil
import sysconfig
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from mmseg_gc.errors import UserError

# Distributions that write into one folder: ours, and those that must not stand beside it.
CLASHES = {
    "onedl-mmengine": {"mmengine", "mmengine-lite"},
    "onedl-mmcv": {"mmcv", "mmcv-lite", "mmcv-full"},
}
DETECTION_SCOPE = "mmdet"
MEND = "run `make det` and use .venv-det/bin/python"
BF16_CAPABILITY = (8, 0)  # Ampere


def check_environment() -> None:
    """Refuse an installation that can't work, before anything heavy is imported.

    Raises:
        UserError: packages that overwrite each other are installed, or OpenCV can't start.
    """
    installed = {_canonical(d.metadata["Name"]) for d in metadata.distributions()}
    for kept, others in CLASHES.items():
        clash = sorted(others & installed)
        if kept in installed and clash:
            names = " ".join(clash)
            raise UserError(
                f"{names} is installed beside {kept} and both write the same folder: run "
                f"pip uninstall -y {names} {kept} && pip install {kept}."
            )
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"OpenCV can't start ({error}): on a server without a screen, run apt-get install "
            "libgl1 libglib2.0-0, or pip uninstall -y opencv-python && pip install "
            "opencv-python-headless."
        ) from error


def _canonical(name: str | None) -> str:
    return re.sub(r"[-_.]+", "-", name or "").lower()


def require_detection(what: str) -> None:
    """Refuse ``what``, a config or a module, unless detection is installed.

    Raises:
        UserError: mmdetection or mmcv's compiled ops are missing.
    """
    if find_spec("mmdet") is None:
        raise UserError(
            f"{what} needs detection (onedl-mmdetection and mmcv with compiled ops), which isn't "
            f"installed here: {MEND}."
        )
    require_ops(what)


def require_ops(what: str) -> None:
    """Refuse ``what`` unless mmcv has its compiled ops.

    Raises:
        UserError: they are missing, or were compiled for another torch.
    """
    if find_spec("mmcv._ext") is None:
        raise UserError(f"{what} needs mmcv with compiled ops: {MEND}.")
    try:
        import mmcv.ops  # noqa: F401  registers DCN, DCNv2 and others
    except ImportError as error:
        raise UserError(
            f"{what} needs mmcv's ops, which don't fit this torch ({error}): {MEND}."
        ) from error


def require_compiler(what: str, device_type: str) -> None:
    """Refuse ``what``, which compiles for ``device_type``, where torch's inductor would fail.

    It would do so hours later, or without a sentence.

    Raises:
        UserError: there is no C++ compiler, on a GPU no Triton, or there are no Python headers.
    """
    compiler = os.environ.get("CXX", "g++")  # the one that inductor takes
    lacking, cure = None, "install it"
    if device_type == "cuda" and find_spec("triton") is None:
        lacking, cure = "Triton", "pip install triton"
    elif shutil.which(compiler) is None:
        lacking, cure = f"a C++ compiler ({compiler})", "install g++ or name another one in CXX"
    elif not Path(sysconfig.get_path("include"), "Python.h").is_file():
        lacking, cure = "Python's headers", "install python3-dev"
    if lacking:
        raise UserError(f"{what} needs {lacking}, not found here: {cure}, or leave it out.")


def require_bf16(asked: str, cure: str) -> None:
    """Refuse what ``asked`` for bfloat16 where this process's GPU has no arithmetic for it.

    Raises:
        UserError: the GPU is older than Ampere.
    """
    import torch  # not above: `check_environment` comes before anything heavy

    if torch.cuda.get_device_capability() < BF16_CAPABILITY:
        name = torch.cuda.get_device_name()
        raise UserError(f"{asked}, which {name} can't compute in; {cure}.")


def cpu_has_bf16() -> bool:
    """Whether the processor has instructions for bfloat16; without them it is slow there."""
    import torch

    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
