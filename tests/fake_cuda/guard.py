"""Compile the device guard, once for each torch."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import torch
from torch.utils.cpp_extension import include_paths

SOURCE = Path(__file__).with_name("guard.cpp")
LIBRARIES = Path(torch.__file__).with_name("lib")


class GuardError(Exception):
    """Why there is no guard, in one sentence."""


def compiled_guard() -> Path:
    """The guard as a shared library, made anew only when its source or torch changed.

    Raises:
        GuardError: There is no C++ compiler, or it refuses.
    """
    if torch.cuda.is_available():
        raise GuardError("torch has a real GPU here, which a fake one must not stand in for")
    compiler = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    if compiler is None:
        raise GuardError("there is no C++ compiler to make the no-op device guard with")
    key = hashlib.sha256(f"{SOURCE.read_text()}{torch.__version__}{LIBRARIES}".encode())
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "mmseg_gc")
    library = cache / f"fake_cuda_guard-{key.hexdigest()[:16]}.so"
    if library.exists():
        return library
    cache.mkdir(parents=True, exist_ok=True)
    unfinished = library.with_suffix(f".{os.getpid()}")  # other workers make it as well
    command = [
        *(compiler, "-O0", "-shared", "-fPIC", "-std=c++20", str(SOURCE), "-o", str(unfinished)),
        *(f"-I{path}" for path in include_paths()),
        *(f"-L{LIBRARIES}", f"-Wl,-rpath,{LIBRARIES}", "-lc10", "-ltorch_cpu"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise GuardError(f"the no-op device guard can't be compiled: {done.stderr.strip()[-2000:]}")
    unfinished.replace(library)
    return library
