"""0.x's checkpoints, evaluation, log, processes, and what a run starts from."""

from collections.abc import Mapping

from mmseg_gc.config.names import type_name
from mmseg_gc.config.old.data import counts_epochs
from mmseg_gc.config.old.keys import Node, node_of, refuse_rest
from mmseg_gc.errors import UserError

# Read at the top by 0.x, beside the names that 1.x's check knows.
RUNTIME_KEYS = {
    *("auto_resume", "cudnn_benchmark", "deterministic", "device", "gpus", "mp_start_method"),
    *("opencv_num_threads", "diff_seed", "init_kwargs"),
}
# Loggers of 0.x, and the backends that write the same.
BACKENDS = {
    "TextLoggerHook": None,
    "TensorboardLoggerHook": "TensorboardVisBackend",
    "WandbLoggerHook": "WandbVisBackend",
    "MMSegWandbHook": "WandbVisBackend",
    "MlflowLoggerHook": "MLflowVisBackend",
    "ClearMLLoggerHook": "ClearMLVisBackend",
    "NeptuneLoggerHook": "NeptuneVisBackend",
    "DvcliveLoggerHook": "DVCLiveVisBackend",
}
METRICS = ("mIoU", "mDice", "mFscore")
# How 0.x went about scoring: no figure depends on them.
HOW_IT_SCORES = ("pre_eval", "efficient_test", "gpu_collect", "tmpdir", "by_epoch", "logger")
CHECKPOINT_KEYS = {
    *("interval", "by_epoch", "save_optimizer", "max_keep_ckpts", "save_last", "out_dir"),
    "create_symlink",
}


def convert_runtime(old: Mapping, new: Node) -> list[str]:
    """Put hooks, evaluators, environment and where to start from into ``new``; what to log.

    Raises:
        UserError: a key has no counterpart.
    """
    notes: list[str] = []
    by_epoch = counts_epochs(old)
    checkpoint: Node = dict(type="CheckpointHook", by_epoch=by_epoch)
    log = node_of(old, "log_config")
    hooks: Node = dict(
        timer=dict(type="IterTimerHook"),
        logger=dict(
            type="LoggerHook", interval=log.pop("interval", 10), log_metric_by_epoch=by_epoch
        ),
        param_scheduler=dict(type="ParamSchedulerHook"),
        checkpoint=checkpoint,
        sampler_seed=dict(type="DistSamplerSeedHook"),
        visualization=dict(type="SegVisualizationHook"),
    )
    _checkpoint(old, checkpoint, notes)
    _evaluation(old, new, checkpoint, notes)
    new["default_hooks"] = {**hooks, **(new.get("default_hooks") or {})}
    backends = _backends(log, notes)
    new["visualizer"] = dict(type="SegLocalVisualizer", vis_backends=backends, name="visualizer")
    new["log_processor"] = dict(by_epoch=by_epoch)
    if "log_config" in old:
        notes.append("log_config -> default_hooks.logger and visualizer.vis_backends")
    new.setdefault("default_scope", "mmseg")
    _environment(old, new, notes)
    _start(old, new, notes)
    return notes


def _checkpoint(old: Mapping, checkpoint: Node, notes: list[str]) -> None:
    config = node_of(old, "checkpoint_config")
    config.pop("meta", None)
    config.pop("type", None)
    config.pop("create_symlink", None)
    given = {key: config.pop(key) for key in CHECKPOINT_KEYS & config.keys()}
    refuse_rest(config, "checkpoint_config", "set it in default_hooks.checkpoint of a 1.x config")
    checkpoint.update(given)
    if "checkpoint_config" in old:
        notes.append("checkpoint_config -> default_hooks.checkpoint")


def _evaluation(old: Mapping, new: Node, checkpoint: Node, notes: list[str]) -> None:
    config = node_of(old, "evaluation")
    for key in HOW_IT_SCORES:
        config.pop(key, None)
    interval = config.pop("interval", checkpoint.get("interval"))
    start = config.pop("start", None)
    metrics = config.pop("metric", "mIoU")
    for key in ("save_best", "rule", "greater_keys", "less_keys"):
        if config.get(key) is not None:
            checkpoint[key] = config.pop(key)
        config.pop(key, None)
    metrics = [metrics] if isinstance(metrics, str) else list(metrics)
    folder = config.pop("imgfile_prefix", None)
    refuse_rest(config, "evaluation", "take it out, or set it in val_evaluator of a 1.x config")
    if unknown := set(metrics) - {*METRICS, "cityscapes"}:
        raise UserError(
            f"config key evaluation.metric={unknown.pop()!r} of mmsegmentation 0.x is no figure "
            f"here; known: {', '.join(METRICS)}, cityscapes."
        )
    scores = [metric for metric in metrics if metric in METRICS]
    evaluators: list[Node] = [dict(type="IoUMetric", iou_metrics=scores)] if scores else []
    if "cityscapes" in metrics:
        evaluators.append(
            dict(type="CityscapesMetric", output_dir=folder or "work_dirs/format_results")
        )
    for name in ("val", "test"):
        if f"{name}_dataloader" in new:
            new[f"{name}_evaluator"] = evaluators[0] if len(evaluators) == 1 else evaluators
        else:
            new.pop(f"{name}_cfg", None)
    train = new.get("train_cfg")
    if train is not None and "train_dataloader" not in new:
        # Only to test with: a runner wants all of a training or none.
        for key in ("train_cfg", "optim_wrapper", "param_scheduler"):
            new.pop(key, None)
    elif train is not None and "val_dataloader" in new:
        if interval is not None:
            train["val_interval"] = interval
        if start is not None:
            train["val_begin"] = start
    if "evaluation" in old:
        notes.append("evaluation -> val_evaluator, test_evaluator and train_cfg.val_interval")


def _backends(log: Node, notes: list[str]) -> list[Node]:
    backends: list[Node] = [dict(type="LocalVisBackend")]
    for hook in log.pop("hooks", None) or ():
        kind = type_name(hook)
        if kind not in BACKENDS:
            raise UserError(
                f"config key log_config.hooks: {kind!r} of mmsegmentation 0.x has no counterpart "
                f"here; known: {', '.join(BACKENDS)}."
            )
        backend = BACKENDS[kind]
        if backend is not None:
            given = {"init_kwargs": hook["init_kwargs"]} if hook.get("init_kwargs") else {}
            backends.append(dict(type=backend, **given))
            if rest := sorted(set(hook) - {"type", "init_kwargs", "by_epoch", "interval"}):
                notes.append(f"{', '.join(rest)} of {kind} are {backend}'s own")
    return backends


def _environment(old: Mapping, new: Node, notes: list[str]) -> None:
    environment = new.setdefault(
        "env_cfg",
        dict(
            cudnn_benchmark=bool(old.get("cudnn_benchmark", False)),
            mp_cfg=dict(
                mp_start_method=old.get("mp_start_method", "fork"),
                opencv_num_threads=old.get("opencv_num_threads", 0),
            ),
            dist_cfg=dict(backend="nccl"),
        ),
    )
    if "dist_params" in old:
        environment["dist_cfg"] = node_of(old, "dist_params")
        notes.append("dist_params and cudnn_benchmark -> env_cfg")
    new.setdefault("log_level", "INFO")
    if any(step[0] != "train" for step in old.get("workflow") or ()):
        notes.append(
            "workflow computes the validation set's losses, which 1.x doesn't: evaluation scores it"
        )
    for name in ("gpu_ids", "gpus", "device"):
        if old.get(name) not in (None, [0], range(1), 1):
            notes.append(f"{name} says nothing here: --gpus N or a launcher does")


def _start(old: Mapping, new: Node, notes: list[str]) -> None:
    new.setdefault("load_from", None)
    new.setdefault("resume", False)
    if old.get("resume_from"):
        new |= dict(load_from=old["resume_from"], resume=True)
        notes.append("resume_from -> load_from with resume=True")
    elif old.get("auto_resume"):
        new["resume"] = True
        notes.append("auto_resume -> resume")
    random = {key: old[key] for key in ("seed", "deterministic") if old.get(key) is not None}
    if "diff_seed" in old:
        random["diff_rank_seed"] = bool(old["diff_seed"])
    if random:
        new["randomness"] = {**random, **(new.get("randomness") or {})}
        notes.append(f"{', '.join(random)} -> randomness")
