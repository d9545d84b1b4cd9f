"""torch.compile for a training: the network's parts, in place."""

from torch import nn

from mmseg_gc.environment import require_compiler
from mmseg_gc.errors import UserError

# What of a segmentor or detector is one graph; losses and data stay eager.
PARTS = ("backbone", "neck", "decode_head", "auxiliary_head")


def compile_options(compile_cfg: bool | dict | None) -> dict | None:
    """`torch.compile`'s keywords from the config key ``compile``; None: not asked for."""
    if compile_cfg in (None, False):
        return None
    if compile_cfg is True:
        return {}
    if not isinstance(compile_cfg, dict):
        raise UserError(
            f"config key compile is {compile_cfg!r}; give True, False, or torch.compile's options "
            "as a dict."
        )
    return dict(compile_cfg)


def check_compiler(options: dict, device_type: str) -> None:
    """Refuse to compile where torch's compiler would fail hours later or without a sentence.

    Raises:
        UserError: what `require_compiler` says, for the backend that needs one.
    """
    if options.get("backend", "inductor") == "inductor":
        require_compiler("--compile", device_type)


def compile_parts(model: nn.Module, options: dict) -> list[str]:
    """Compile ``model``'s parts in place and name them; state-dict keys stay as they are."""
    compiled = []
    for name in PARTS:
        part = getattr(model, name, None)
        for module in part if isinstance(part, nn.ModuleList) else [part]:
            if module is not None:
                module.compile(**options)
                compiled.append(name)
    return compiled
