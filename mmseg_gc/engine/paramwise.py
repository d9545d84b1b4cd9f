"""Rates and decays by parts of a model, whose keys have to exist."""

import logging
from collections.abc import Mapping

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor as MMEngineDefaultOptimWrapperConstructor
from mmengine.optim import OptimWrapper
from torch import nn

from mmseg_gc.config import accepted_keys, did_you_mean
from mmseg_gc.config.check_settings import PARAMWISE_KEYS
from mmseg_gc.errors import UserError
from mmseg_gc.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIMIZERS, SCOPE

WHERE = "optim_wrapper.paramwise_cfg"


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class DefaultOptimWrapperConstructor(MMEngineDefaultOptimWrapperConstructor):
    """mmengine's, which would take any key of ``paramwise_cfg`` and read those that it knows.

    A group with ``lr_mult=0`` keeps its parameters under every scheduler, weight decay and momentum
    included. Statistics of BN are no parameters and follow the images still; ``norm_eval=True`` or
    ``frozen_stages`` of a backbone hold them as well.

    Raises:
        UserError: a key that doesn't exist, or a decay of parts without the optimizer's own.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None):
        paramwise_cfg = paramwise_cfg or {}
        optimizer = optim_wrapper_cfg["optimizer"]
        _check(paramwise_cfg, WHERE, optimizer, PARAMWISE_KEYS)
        for name, part in (paramwise_cfg.get("custom_keys") or {}).items():
            known = _part_keys(optimizer.get("type"))
            _check(part, f"{WHERE}.custom_keys.{name}", optimizer, known)
        super().__init__(optim_wrapper_cfg, paramwise_cfg)

    def __call__(self, model: nn.Module) -> OptimWrapper:
        names = [name for name, _ in model.named_parameters()]
        for key in self.paramwise_cfg.get("custom_keys") or {}:
            if not any(key in name for name in names):
                print_log(
                    f"{WHERE}.custom_keys: no parameter's name has {key!r} in "
                    f"it, so that it changes nothing; names are like {names[0]} and {names[-1]}.",
                    logger="current",
                    level=logging.WARNING,
                )
        return super().__call__(model)


def _part_keys(kind: str | type | None) -> set[str] | None:
    """What can be set for a part under an optimizer of ``kind``; None: anything.

    Others than torch's may read keys from a group that their constructor doesn't take.
    """
    optimizer = OPTIMIZERS.get(kind) if isinstance(kind, str) else kind
    if not getattr(optimizer, "__module__", "").startswith(("torch.", f"{SCOPE}.")):
        return None
    own = accepted_keys(optimizer)
    return None if own is None else {"lr_mult", "decay_mult"} | own - {"self", "params"}


def _check(given: Mapping, path: str, optimizer: Mapping, known: set[str] | None) -> None:
    for key in given:
        if known is not None and key not in known:
            hint = did_you_mean(key, sorted(known))
            raise UserError(f"config key {path}.{key} doesn't exist{hint}")
        if key.endswith("decay_mult") and optimizer.get("weight_decay") is None:
            raise UserError(
                f"config key {path}.{key} is a share of optim_wrapper.optimizer.weight_decay, "
                "which isn't set; set it."
            )
