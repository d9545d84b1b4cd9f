"""The only place that reads or writes weights.

Reading never runs code: every file goes through ``torch.load(weights_only=True)`` with the short
list of harmless types below, and mmengine's own loaders, which fall back to plain unpickling, are
replaced scheme by scheme. Writing is atomic: a reader sees the old file or the new one.
"""

import json
import logging
import os
import pickle
import re
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, print_log
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner.checkpoint import CheckpointLoader, get_external_models
from torch import nn

from mmseg_gc.download import download, sha256_of
from mmseg_gc.errors import UserError
from mmseg_gc.finite import listed, spoilt
from mmseg_gc.weight_names import (
    backbone_weights,
    clean_state_dict,
    describe_mismatch,
    is_added_later,
)

__all__ = [
    "DamagedCheckpointError",
    "clean_state_dict",
    "load_backbone",
    "load_checkpoint",
    "load_into",
    "publish_checkpoint",
    "read_checkpoint",
    "save_checkpoint",
    "trust_pickle",
    "write_atomically",
]

TORCHVISION_WEIGHTS = "https://download.pytorch.org/models/"
TORCHVISION_FILES = {
    "resnet18": "resnet18-f37072fd.pth",
    "resnet34": "resnet34-b627a593.pth",
    "resnet50": "resnet50-0676ba61.pth",
    "resnet101": "resnet101-63fe2227.pth",
    "resnet152": "resnet152-394f9c45.pth",
    "resnext50_32x4d": "resnext50_32x4d-7cdf4587.pth",
    "resnext101_32x8d": "resnext101_32x8d-8ba56ff5.pth",
}


class DamagedCheckpointError(UserError):
    """A checkpoint was cut off or its content changed; an older one may be whole."""


_trusting_pickle = False


@contextmanager
def trust_pickle(enabled: bool = True):
    """Read files with plain ``pickle`` inside this block: only for files you made yourself."""
    global _trusting_pickle
    before, _trusting_pickle = _trusting_pickle, enabled
    try:
        yield
    finally:
        _trusting_pickle = before


def _history_buffer_method(owner: type, name: str) -> Callable:
    """Stand in for ``getattr``, which a pickled `HistoryBuffer` calls for its four methods."""
    if owner is HistoryBuffer and name in ("min", "max", "mean", "current"):
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(f"getattr({owner!r}, {name!r}) is not among the allowed types")


def _allowed_types() -> list:
    multiarray = np._core.multiarray
    dtypes = {type(np.dtype(kind)) for kind in "?bBhHiIlLqQefdU"}
    return [
        HistoryBuffer,
        (_history_buffer_method, "builtins.getattr"),
        (_history_buffer_method, "__builtin__.getattr"),
        np.ndarray,
        np.dtype,
        *dtypes,
        # Files written by numpy 1.x and 2.x name the same functions differently.
        *[
            (function, f"numpy.{core}.multiarray.{name}")
            for core in ("core", "_core")
            for name, function in (
                ("scalar", multiarray.scalar),
                ("_reconstruct", multiarray._reconstruct),
            )
        ],
    ]


def read_checkpoint(path: str | Path, map_location: str | torch.device = "cpu") -> dict:
    """Read a local ``.pth``/``.pt`` or ``.safetensors`` file without running code from it.

    Raises:
        UserError: the file is missing, damaged, or asks for types that are not allowed.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"checkpoint {path} doesn't exist; check the path.")
    if path.suffix == ".safetensors":
        return _read_safetensors(path, map_location)
    try:
        _check_sums(path)
        if _trusting_pickle:
            return torch.load(path, map_location=map_location, weights_only=False)
        with torch.serialization.safe_globals(_allowed_types()):
            return torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL ([\w.]+)|getattr\(.*\)", str(error))
        if asked is None:
            raise DamagedCheckpointError(_damaged(path)) from error
        raise UserError(
            f"checkpoint {path} asks to load {asked.group(1) or asked.group()}, which could run "
            "code, so it was refused; if you made the file yourself, pass --trust-pickle."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DamagedCheckpointError(_damaged(path)) from error


def _check_sums(path: Path) -> None:
    """Compare the CRC-32 that torch stores for every tensor; its own reader doesn't."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(damaged)


def _damaged(path: Path) -> str:
    size = path.stat().st_size
    return f"checkpoint {path} ({size} bytes) is truncated or damaged; fetch or save it again."


def _read_safetensors(path: Path, map_location: str | torch.device) -> dict:
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise UserError(
            f"{path} needs the safetensors package: pip install safetensors."
        ) from error
    try:
        with safe_open(path, framework="pt", device=str(map_location)) as file:
            state_dict = OrderedDict((key, file.get_tensor(key)) for key in file.keys())  # noqa: SIM118
            metadata = file.metadata() or {}
    except Exception as error:  # safetensors raises a bare exception type of its own
        raise DamagedCheckpointError(_damaged(path)) from error
    meta = json.loads(metadata["mmseg_gc"]) if "mmseg_gc" in metadata else {}
    return {"meta": meta, "state_dict": state_dict}


# mmengine prints what follows `load_from_` in these names, and calls them with positions.
def load_from_local(filename: str, map_location=None) -> dict:
    return read_checkpoint(os.path.expanduser(filename), map_location or "cpu")


def load_from_http(filename: str, map_location=None) -> dict:
    return read_checkpoint(download(filename), map_location or "cpu")


def load_from_torchvision(filename: str, map_location=None) -> dict:
    urls = {name: TORCHVISION_WEIGHTS + file for name, file in TORCHVISION_FILES.items()}
    return _load_named(urls, filename, map_location)


def load_from_open_mmlab(filename: str, map_location=None) -> dict:
    return _load_named(get_external_models(), filename, map_location)


def load_from_elsewhere(filename: str, map_location=None) -> dict:
    raise UserError(f"{filename} can't be read from there; fetch the file and give its path.")


def _load_named(locations: Mapping[str, str], filename: str, map_location) -> dict:
    name = filename.split("://", 1)[1]
    if name not in locations:
        known = ", ".join(sorted(key for key in locations if key.startswith("resn")))
        raise UserError(f"no published weights are called {filename!r}; known names: {known}.")
    try:
        return CheckpointLoader.load_checkpoint(locations[name], map_location, logger="silent")
    except UserError as error:
        raise UserError(
            f"{str(error).rstrip('.')}; to go without pretrained weights, pass "
            "--cfg-options model.pretrained=None."
        ) from error


for _prefixes, _loader in (
    ("", load_from_local),
    (("http://", "https://"), load_from_http),
    (("torchvision://", "modelzoo://"), load_from_torchvision),
    (("open-mmlab://", "openmmlab://"), load_from_open_mmlab),
    (("mmcls://", "pavi://", r"(\S+\:)?s3://", r"(\S+\:)?petrel://"), load_from_elsewhere),
):
    CheckpointLoader.register_scheme(prefixes=_prefixes, loader=_loader, force=True)


def load_checkpoint(filename: str | Path, map_location: str | torch.device = "cpu") -> dict:
    """Read a checkpoint from a path, a URL, ``torchvision://`` or ``open-mmlab://``, safely."""
    return CheckpointLoader.load_checkpoint(str(filename), map_location, logger="silent")


def load_into(
    model: nn.Module, checkpoint: Mapping, *, source: str | Path = "checkpoint", strict: bool = True
) -> None:
    """Copy the weights of ``checkpoint`` into ``model``.

    ``strict=False`` copies what fits and logs the rest as a warning.

    Raises:
        UserError: names or shapes differ (with ``strict``), nothing fits at all, or there is NaN or
            infinity where the model as it is built has none.
    """
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    own = model.state_dict()
    weights = clean_state_dict(checkpoint)
    # Counters of BN say how long it trained; nothing is computed from them here.
    missing = [k for k in own if k not in weights and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in weights if k not in own]
    reshaped = [k for k in own if k in weights and own[k].shape != weights[k].shape]
    fitting = {k: v for k, v in weights.items() if k in own and k not in reshaped}
    if missing or unexpected or reshaped:
        message = describe_mismatch(source, missing, unexpected, reshaped, own, weights)
        if strict:
            raise UserError(
                f"{message} Use its own config, or pass --non-strict to load what fits."
            )
        if untouched := [*missing, *reshaped]:
            message += f" {listed(untouched)} keep what they were built with."
        print_log(message, logger="current", level=logging.WARNING)
    if not fitting:
        raise UserError(f"{source} has no weight that fits this model; it belongs to another one.")
    if bad := [name for name in spoilt(fitting) if not spoilt({name: own[name]})]:
        raise UserError(
            f"{source} can't be used: {listed(bad)} hold NaN, infinity or a negative variance, as "
            "after a training that diverged; take an older checkpoint."
        )
    model.load_state_dict(fitting, strict=False)


def load_backbone(backbone: nn.Module, filename: str, prefix: str = "backbone.") -> None:
    """Copy ImageNet weights, or those that a whole model has under ``prefix``, into ``backbone``.

    What was put into the backbone since, context blocks and the offsets of deformable convolution,
    keeps the weights that it starts with.

    Raises:
        UserError: the file can't be read, or anything else is missing, unexpected or reshaped.
    """
    weights = backbone_weights(clean_state_dict(load_checkpoint(filename)), prefix)
    for name, value in backbone.state_dict().items():
        if name not in weights and is_added_later(name):
            weights[name] = value
    load_into(backbone, weights, source=filename)


def save_checkpoint(checkpoint: Mapping, path: str | Path) -> None:
    """Write ``checkpoint`` to ``path``, atomically."""
    write_atomically(path, lambda file: torch.save(checkpoint, file))


def write_atomically(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill a file so that ``path`` is always the old one or the whole new one.

    Raises:
        UserError: the folder can't be written or the disk is full; an older file stays as it was.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        if isinstance(error, OSError | RuntimeError):
            # torch's writer puts an error of its own before the disk's.
            reason = error.__context__ if isinstance(error.__context__, OSError) else error
            raise UserError(
                f"{path} can't be written ({reason}); free the disk or mend the rights."
            ) from error
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """A rename is on disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish_checkpoint(source: str | Path, target: str | Path) -> Path:
    """Write the weights and meta of ``source`` alone to ``target`` with its hash in the name.

    ``model.pth`` becomes ``model-xxxxxxxx.pth``, where the digits begin the file's SHA-256.
    """
    checkpoint = load_checkpoint(source)
    target = Path(target)
    slim = {"meta": checkpoint.get("meta", {}), "state_dict": clean_state_dict(checkpoint)}
    save_checkpoint(slim, target)
    named = target.with_name(f"{target.stem}-{sha256_of(target)[:8]}{target.suffix}")
    os.replace(target, named)
    return named
