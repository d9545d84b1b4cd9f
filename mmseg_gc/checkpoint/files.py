"""Read and write checkpoint files, and see that they are laid out as checkpoints are."""

import errno
import json
import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmseg_gc.atomic import write_atomically
from mmseg_gc.checkpoint.tensor_pickles import DTYPES, UnusableError
from mmseg_gc.checkpoint.torch_files import read_torch_file
from mmseg_gc.checkpoint.unpickler import RefusedError
from mmseg_gc.errors import UserError

# The disk's and the system's answers, which say nothing about the file's content.
UNREADABLE = (errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ESTALE)
# Where weights lie; a bare state dict is one itself.
WEIGHTS = ("state_dict", "model", "ema_state_dict")


class DamagedCheckpointError(UserError):
    """A checkpoint was cut off, changed, or is none; an older one may be whole."""


def read_checkpoint(
    path: str | Path,
    map_location: str | torch.device = "cpu",
    *,
    trust_pickle: bool = False,
) -> dict:
    """Read a local ``.pth``/``.pt`` or ``.safetensors`` file without running code from it.

    ``trust_pickle`` reads this one file with plain ``pickle``: only for files you made yourself.

    Raises:
        UserError: the file is missing, damaged, no checkpoint, or could run code.
    """
    path = Path(path)
    if not os.path.isfile(path):
        what = "is no regular file" if os.path.lexists(path) else "doesn't exist"
        raise UserError(f"checkpoint {path} {what}; check the path.")
    device = "cpu" if map_location is None or callable(map_location) else map_location
    checkpoint: object
    try:
        if path.suffix == ".safetensors":
            checkpoint = _read_safetensors(path, device)
        elif trust_pickle:
            checkpoint = torch.load(path, map_location=device, weights_only=False)
        else:
            checkpoint = read_torch_file(path, device)
        return _as_checkpoint(checkpoint)
    except UserError:
        raise
    except RefusedError as error:
        raise UserError(
            f"checkpoint {path} asks to load {error}, which could run code, so it was refused; if "
            "you made the file yourself, pass --trust-pickle, or save its weights alone."
        ) from error
    except UnusableError as error:
        raise DamagedCheckpointError(
            f"checkpoint {path} holds {error}, which nothing here can use; save it again as a dict "
            "of plain tensors."
        ) from error
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:  # there is none that no damage can lead to
        if isinstance(error, OSError) and error.errno in UNREADABLE:
            raise UserError(f"checkpoint {path} can't be read ({error.strerror}).") from error
        raise DamagedCheckpointError(
            f"checkpoint {path} ({os.path.getsize(path)} bytes) is truncated or damaged; fetch or "
            "save it again."
        ) from error


def _read_safetensors(path: Path, device: str | torch.device) -> dict:
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise UserError(
            f"{path} needs the safetensors package: pip install safetensors."
        ) from error
    with safe_open(path, framework="pt", device=str(device)) as file:
        state_dict = OrderedDict((key, file.get_tensor(key)) for key in file.keys())  # noqa: SIM118
        metadata = file.metadata() or {}
    meta = json.loads(metadata["mmseg_gc"]) if "mmseg_gc" in metadata else {}
    return {"meta": meta, "state_dict": state_dict}


def _as_checkpoint(content: object) -> dict:
    """``content``, which is a dict with text for names, plain tensors, and meta of known kinds."""
    if not isinstance(content, dict):
        raise UnusableError(f"a {type(content).__name__} and no dict")
    for part in (content, *(content.get(key) for key in WEIGHTS)):
        if isinstance(part, Mapping):
            for name, value in part.items():
                _require_named_tensor(name, value)
    meta = content.get("meta")
    if meta is None:
        if "meta" in content:
            content["meta"] = {}
        return content
    if not isinstance(meta, dict):
        raise UnusableError(f"a {type(meta).__name__} as its meta")
    dataset_meta = meta.get("dataset_meta")
    if not isinstance(dataset_meta, dict | None):
        raise UnusableError("no dict as meta.dataset_meta")
    _require_names_and_colours(dataset_meta or {}, "classes", "palette")
    _require_names_and_colours(meta, "CLASSES", "PALETTE")
    return content


def _require_named_tensor(name: object, value: object) -> None:
    if not isinstance(name, str):
        raise UnusableError(f"a {type(name).__name__} as a name")
    if isinstance(value, Tensor) and (
        value.layout is not torch.strided or value.dtype not in DTYPES or value.is_meta
    ):
        raise UnusableError(f"no plain numbers as {name[:80]!r}")


def _require_names_and_colours(meta: Mapping, names: str, colours: str) -> None:
    classes, palette = meta.get(names), meta.get(colours)
    if classes is not None and not (
        isinstance(classes, list | tuple) and all(isinstance(name, str) for name in classes)
    ):
        raise UnusableError(f"no list of names as meta.{names}")
    if palette is not None and not _is_palette(palette):
        raise UnusableError(f"no list of colours as meta.{colours}")


def _is_palette(palette: object) -> bool:
    if not isinstance(palette, list | tuple | np.ndarray):
        return False
    if len(palette) == 0:
        return True
    try:
        colours = np.array(palette, np.float64)
    except (TypeError, ValueError):
        return False
    return colours.ndim == 2 and colours.shape[1] == 3


def save_checkpoint(checkpoint: Mapping, path: str | Path) -> None:
    """Write ``checkpoint`` to ``path``, atomically."""
    write_atomically(path, lambda file: torch.save(checkpoint, file))
