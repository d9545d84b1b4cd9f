"""Say which device a tool and the processes that it starts compute on."""

import os
import re

from mmseg_gc.errors import UserError


def choose_device(name: str):
    """The ``torch.device`` of ``cpu``, ``cuda`` or ``cuda:N``, made this process's current one.

    With ``cpu`` this process and those it starts see no GPU from now on: engines take one where
    they see it. To be called before anything else asks torch for a GPU.

    Raises:
        UserError: there is no such device here.
    """
    found = re.fullmatch(r"cpu|cuda(?::(\d+))?", name)
    if not found:
        raise UserError(f"--device {name} is no device; choose cpu, cuda or cuda:N.")
    if name == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import torch

    if name == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UserError(
            f"--device {name}: torch {torch.__version__} sees no GPU here; pass --device cpu, or "
            "install a driver and a torch for CUDA."
        )
    number, count = int(found[1] or 0), torch.cuda.device_count()
    if number >= count:
        raise UserError(f"--device {name}: this machine has {count} GPUs, the last is {count - 1}.")
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def show_only(device) -> dict[str, str]:
    """What to set for processes that shall see ``device`` alone, as their first GPU, or no GPU."""
    if device.type == "cpu":
        return {"CUDA_VISIBLE_DEVICES": ""}
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return {"CUDA_VISIBLE_DEVICES": seen.split(",")[device.index] if seen else str(device.index)}
