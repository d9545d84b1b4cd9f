"""From an address of weights to a file, and mmengine's own loaders replaced by safe ones."""

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from mmengine.runner.checkpoint import CheckpointLoader, get_external_models, get_mmcls_models

from mmseg_gc.checkpoint.download import download, hash_prefix
from mmseg_gc.checkpoint.files import DamagedCheckpointError, read_checkpoint
from mmseg_gc.checkpoint.http import shown
from mmseg_gc.errors import UserError

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
TORCHVISION = ("torchvision://", "modelzoo://")
OPEN_MMLAB = ("open-mmlab://", "openmmlab://")
MMCLS = ("mmcls://",)
ELSEWHERE = ("pavi://", "s3://", "petrel://")


def load_checkpoint(
    filename: str | Path,
    map_location: str | torch.device = "cpu",
    *,
    trust_pickle: bool = False,
) -> dict:
    """Read a checkpoint from a path, a URL, ``torchvision://``, ``open-mmlab://`` or ``mmcls://``.

    ``trust_pickle`` reads what could run code, as `read_checkpoint` does.
    """
    path = local_copy(str(filename))
    try:
        return read_checkpoint(path, map_location, trust_pickle=trust_pickle)
    except DamagedCheckpointError as error:
        if not is_address(str(filename)) or hash_prefix(path.name):
            raise
        path.unlink(missing_ok=True)  # it would be taken for the file for ever
        raise DamagedCheckpointError(
            f"{shown(filename)} gave no usable checkpoint, and {path} was thrown away: check the "
            "address, and try again."
        ) from error


def is_address(filename: str) -> bool:
    """Whether ``filename`` is to be fetched from the network."""
    return filename.startswith(("http://", "https://"))


def local_copy(filename: str) -> Path:
    """The file that ``filename`` names, downloaded if it isn't on this machine.

    Raises:
        UserError: there is no such name, or it can't be fetched.
    """
    if is_address(filename):
        return download(filename)
    if filename.startswith(TORCHVISION):
        urls = {name: TORCHVISION_WEIGHTS + file for name, file in TORCHVISION_FILES.items()}
        return _named(urls, filename)
    if filename.startswith(OPEN_MMLAB):
        return _named(get_external_models(), filename)
    if filename.startswith(MMCLS):
        return _named(get_mmcls_models(), filename)
    if any(scheme in filename for scheme in ELSEWHERE):
        raise UserError(
            f"{shown(filename)} can't be read from there; fetch the file and give its path."
        )
    return Path(os.path.expanduser(filename))


def _named(locations: Mapping[str, str], filename: str) -> Path:
    name = filename.split("://", 1)[1]
    if name not in locations:
        known = ", ".join(sorted(key for key in locations if key.startswith(("resn", "mobilenet"))))
        raise UserError(f"no published weights are called {filename!r}; known names: {known}.")
    try:
        return local_copy(locations[name])
    except UserError as error:
        raise UserError(
            f"{str(error).rstrip('.')}; to go without pretrained weights, pass "
            "--cfg-options model.pretrained=None."
        ) from error


# mmengine prints what follows `load_from_` in the name, and calls it with positions.
def load_from_anywhere(filename: str, map_location=None) -> dict:
    return load_checkpoint(filename, map_location or "cpu")


for _prefixes in (
    "",
    ("http://", "https://"),
    TORCHVISION,
    OPEN_MMLAB,
    MMCLS,
    ("pavi://", r"(\S+\:)?s3://", r"(\S+\:)?petrel://"),
):
    CheckpointLoader.register_scheme(prefixes=_prefixes, loader=load_from_anywhere, force=True)
