"""What can be done about an image that doesn't fit into memory."""

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from mmseg_gc.errors import UserError

# What torch says of a CPU, in a plain RuntimeError.
NO_MEMORY = "can't allocate memory"


@contextmanager
def explain_memory(test_cfg: Mapping | None, image: str = "an image") -> Iterator[None]:
    """Say what helps when ``image`` is too large for a model of ``test_cfg``.

    Raises:
        UserError: memory did not suffice.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        if (test_cfg or {}).get("mode", "whole") == "whole":
            how = "as a whole"
            cure = "give model.test_cfg mode='slide' with crop_size and stride, and"
        else:
            how = "in its windows"
            cure = "make crop_size of model.test_cfg smaller, or give it"
        cure += " memory_budget='2GiB' or what there is"
        place = "the GPU's memory" if isinstance(error, torch.OutOfMemoryError) else "memory"
        raise UserError(f"{image} doesn't fit into {place} {how}: {cure}.") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that an allocation failed, on the host or a device."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or NO_MEMORY in str(error)


def test_cfg_of(model: nn.Module) -> MutableMapping | None:
    """The ``test_cfg`` of a segmentor, also below wrappers, such as the mean of several views."""
    part: Any = model
    while not hasattr(part, "test_cfg") and hasattr(part, "module"):
        part = part.module
    return getattr(part, "test_cfg", None)
