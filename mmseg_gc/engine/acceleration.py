"""The door to `mmseg_gc.accelerate`; with that folder taken out, plain models behind it."""

from contextlib import AbstractContextManager, nullcontext

from mmengine.model import BaseModel
from torch import nn

from mmseg_gc.errors import UserError

try:
    from mmseg_gc.accelerate import (
        give_back_memory,
        less_kept,
        prepare_for_inference,
        prepare_for_training,
    )
except ModuleNotFoundError as error:
    if error.name != "mmseg_gc.accelerate":
        raise

    def prepare_for_inference(
        model: BaseModel,
        *,
        precision: str = "fp32",
        compile: bool = False,
        accelerate: str = "auto",
    ) -> nn.Module:
        """``model`` in eval mode."""
        if precision != "fp32" or compile:
            raise UserError(
                "precision and compile need the folder mmseg_gc/accelerate: restore it."
            )
        return model.eval()

    def prepare_for_training(
        model: BaseModel,
        *,
        device_type: str,
        tensor_cores: bool = False,
        accelerate: str = "auto",
    ) -> nn.Module:
        """``model`` itself."""
        return model

    def less_kept(model: nn.Module) -> AbstractContextManager:  # type: ignore[misc]
        """A context that changes nothing."""
        return nullcontext()

    def give_back_memory() -> None:
        """Nothing."""


__all__ = ["give_back_memory", "less_kept", "prepare_for_inference", "prepare_for_training"]
