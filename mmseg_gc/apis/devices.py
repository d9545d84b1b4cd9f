"""The device that a model is asked to run on."""

import torch

from mmseg_gc.errors import UserError


def chosen_device(device: str | None) -> str:
    """``device``, or where none was named a GPU if there is one."""
    return device or ("cuda:0" if torch.cuda.is_available() else "cpu")


def require_device(device: str | torch.device) -> torch.device:
    """``device`` as torch's, once it is known to be there: a model takes minutes to build and load.

    Raises:
        UserError: it's no name of a device, or this machine or torch doesn't have it.
    """
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError, ValueError) as error:
        raise UserError(
            f"device={device!r} is no device; name a GPU as 'cuda' or 'cuda:0', a Mac's as 'mps', "
            "or 'cpu'."
        ) from error
    asked = f"device={str(found)!r}"
    if found.type == "cuda":
        if not torch.cuda.is_available():
            raise UserError(
                f"{asked}: torch {torch.__version__} sees no GPU here; name 'cpu', or install a "
                "torch for CUDA and the GPU's driver."
            )
        count = torch.cuda.device_count()
        if found.index is not None and found.index >= count:
            raise UserError(f"{asked}: the last GPU that torch sees here is 'cuda:{count - 1}'.")
    elif found.type == "mps":
        if not torch.backends.mps.is_available():
            raise UserError(
                f"{asked}: torch {torch.__version__} has no Metal here, which takes a Mac with its "
                "own GPU and macOS 12.3 or later; name 'cpu'."
            )
    elif found.type != "cpu":
        try:
            torch.zeros((), device=found).item()  # "meta" has no numbers
        except Exception as error:  # of a plug-in, or of torch for want of one
            reason = str(error).split("\n")[0]
            raise UserError(f"{asked} can't be used ({reason}); name another.") from error
    return found
