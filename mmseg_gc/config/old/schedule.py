"""0.x's optimizer, learning rate, and length of a run."""

from collections.abc import Mapping
from typing import Any

from mmseg_gc.config.names import type_name
from mmseg_gc.config.old.data import counts_epochs
from mmseg_gc.config.old.keys import Node, node_of, refuse_rest
from mmseg_gc.errors import UserError

RUNNERS = {"IterBasedRunner": "max_iters", "EpochBasedRunner": "max_epochs"}
SCHEDULE_CURE = "write param_scheduler of 1.x in its place"
# mmcv 1's hook for `fp16=dict()` scales the loss by this number.
LOSS_SCALE = 512.0


def convert_schedule(old: Mapping, new: Node) -> list[str]:
    """Put 1.x's ``optim_wrapper``, ``param_scheduler`` and ``train_cfg`` into ``new``; the notes.

    Raises:
        UserError: a policy, warm-up or runner that has no counterpart.
    """
    notes = []
    if "optimizer" in old:
        new["optim_wrapper"] = _optim_wrapper(old)
        names = [k for k in ("optimizer", "optimizer_config", "fp16") if old.get(k)]
        notes.append(f"{', '.join(names)} -> optim_wrapper")
    key, length = _run_length(old)
    if length is not None:
        by_epoch = counts_epochs(old)
        loop = "EpochBasedTrainLoop" if by_epoch else "IterBasedTrainLoop"
        new["train_cfg"] = {"type": loop, key: length}
        new.setdefault("val_cfg", dict(type="ValLoop"))
        new.setdefault("test_cfg", dict(type="TestLoop"))
        notes.append(f"{'runner' if 'runner' in old else f'total_{key[4:]}'} -> train_cfg")
    if old.get("lr_config"):
        if length is None:
            raise UserError(
                "config key lr_config of mmsegmentation 0.x needs the length of the run: set "
                "runner=dict(type='IterBasedRunner', max_iters=…)."
            )
        new["param_scheduler"] = _schedulers(old, length)
        notes.append("lr_config -> param_scheduler")
    if old.get("momentum_config"):
        raise UserError(
            "config key momentum_config of mmsegmentation 0.x has no counterpart here: "
            f"{SCHEDULE_CURE}."
        )
    return notes


def _run_length(old: Mapping) -> tuple[str, int | None]:
    """``max_iters`` or ``max_epochs``, and its value."""
    runner = node_of(old, "runner")
    if runner:
        kind = type_name(runner) or "IterBasedRunner"
        if kind not in RUNNERS:
            raise UserError(
                f"config key runner.type={kind!r} of mmsegmentation 0.x has no counterpart here; "
                "known: 'IterBasedRunner', 'EpochBasedRunner'."
            )
        runner.pop("type", None)
        length = runner.pop(RUNNERS[kind], None)
        refuse_rest(runner, "runner", f"leave type and {RUNNERS[kind]}")
        return RUNNERS[kind], length
    if "total_epochs" in old:
        return "max_epochs", old["total_epochs"]
    return "max_iters", old.get("total_iters")


def _optim_wrapper(old: Mapping) -> Node:
    optimizer = node_of(old, "optimizer")
    wrapper: Node = dict(type="OptimWrapper", optimizer=optimizer)
    for key in ("paramwise_cfg", "constructor"):
        if key in optimizer:
            wrapper[key] = optimizer.pop(key)
    config = node_of(old, "optimizer_config")
    kind = type_name(config) or "OptimizerHook"
    config.pop("type", None)
    config.pop("detect_anomalous_params", None)
    if grad_clip := config.pop("grad_clip", None):
        wrapper["clip_grad"] = grad_clip
    count = config.pop("cumulative_iters", config.pop("update_interval", 1))
    if count != 1:
        wrapper["accumulative_counts"] = count
    uses_half = config.pop("use_fp16", False) or "Fp16" in kind
    half = old.get("fp16")
    if uses_half or half is not None:
        wrapper["type"] = "AmpOptimWrapper"
        scale = config.pop("loss_scale", LOSS_SCALE)
        wrapper["loss_scale"] = (
            half.get("loss_scale", scale) if isinstance(half, Mapping) else scale
        )
    for name in ("coalesce", "bucket_size_mb", "distributed"):  # how gradients travel
        config.pop(name, None)
    refuse_rest(config, "optimizer_config", "take it out, or write optim_wrapper of 1.x")
    return wrapper


def _schedulers(old: Mapping, length: int) -> list[Node]:
    config = node_of(old, "lr_config")
    policy = config.pop("policy", "fixed").lower()
    by_epoch = config.pop("by_epoch", counts_epochs(old))
    if by_epoch and not counts_epochs(old):
        raise UserError(
            "config key lr_config.by_epoch=True of mmsegmentation 0.x counts epochs under a runner "
            "that counts iterations; set it to False."
        )
    end = length
    if counts_epochs(old) and not by_epoch:
        raise UserError(
            "config key lr_config.by_epoch=False of mmsegmentation 0.x counts iterations under a "
            "runner that counts epochs; set it to True."
        )
    warmup, warmup_end = _warmup(config)
    common: Node = dict(begin=0, end=end, by_epoch=by_epoch)
    if policy == "poly":
        eta_min = config.pop("min_lr", 0.0)
        if warmup and eta_min:
            # Together they are no product: the decay starts where the warm-up ends, as in 1.x.
            common["begin"] = 0 if by_epoch else warmup_end - 1
        main = [dict(type="PolyLR", eta_min=eta_min, power=config.pop("power", 1.0), **common)]
    elif policy == "step":
        main = [_step(config, common)]
    elif policy in ("cosineannealing", "cosine"):
        ratio, eta_min = config.pop("min_lr_ratio", None), config.pop("min_lr", None)
        low = dict(eta_min_ratio=ratio) if ratio is not None else dict(eta_min=eta_min or 0.0)
        main = [dict(type="CosineAnnealingLR", T_max=end, **low, **common)]
    elif policy == "exp":
        main = [dict(type="ExponentialLR", gamma=config.pop("gamma"), **common)]
    elif policy == "fixed":
        main = []
    else:
        raise UserError(
            f"config key lr_config.policy={policy!r} of mmsegmentation 0.x has no counterpart "
            f"here: {SCHEDULE_CURE}."
        )
    refuse_rest(config, "lr_config", SCHEDULE_CURE)
    return [*warmup, *main]


def _warmup(config: Node) -> tuple[list[Node], int]:
    """The scheduler of the warm-up, if there is one, and where it ends.

    0.x is at the full rate in iteration ``warmup_iters``, mmengine in the last before ``end``.
    """
    kind, ratio = config.pop("warmup", None), config.pop("warmup_ratio", 0.1)
    end = config.pop("warmup_iters", 0) + 1
    by_epoch = config.pop("warmup_by_epoch", False)
    if kind is None:
        return [], end
    common: Node = dict(begin=0, end=end, by_epoch=by_epoch)
    if kind == "linear":
        return [dict(type="LinearLR", start_factor=ratio, **common)], end
    if kind == "constant":
        return [dict(type="ConstantLR", factor=ratio, **common)], end
    raise UserError(
        f"config key lr_config.warmup={kind!r} of mmsegmentation 0.x has no counterpart here: set "
        "it to 'linear' or 'constant'."
    )


def _step(config: Node, common: Node) -> Node:
    step: Any = config.pop("step")
    gamma = config.pop("gamma", 0.1)
    if isinstance(step, int):
        return dict(type="StepLR", step_size=step, gamma=gamma, **common)
    return dict(type="MultiStepLR", milestones=list(step), gamma=gamma, **common)
