"""Build a trained model from a config and a checkpoint."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import init_default_scope
from torch import nn

from mmseg_gc.apis.devices import require_device
from mmseg_gc.apis.forks import keep_forks_from_hanging
from mmseg_gc.checkpoint import load_checkpoint, load_into
from mmseg_gc.config import is_detection, load_config
from mmseg_gc.config.config_of_weights import stored_model, tell_other_config
from mmseg_gc.config.leaf_datasets import leaf_datasets
from mmseg_gc.deploy import config_of, exported_model, is_exported, stored_meta
from mmseg_gc.engine.acceleration import prepare_for_inference
from mmseg_gc.engine.console import off_stdout
from mmseg_gc.engine.names_of_weights import tell_other_classes
from mmseg_gc.engine.sync_bn import adapt_sync_bn
from mmseg_gc.engine.tf32 import set_tf32
from mmseg_gc.errors import UserError
from mmseg_gc.evaluation.label_files import NUMBERING
from mmseg_gc.registry import DATASETS, MODELS, SCOPE


@off_stdout()
def init_model(
    config: str | Path | Config,
    checkpoint: str | Path | None = None,
    device: str | torch.device = "cpu",
    cfg_options: dict[str, Any] | None = None,
    precision: str = "fp32",
    compile: bool = False,
    accelerate: str = "auto",
) -> nn.Module:
    """Build the segmentor of ``config`` on ``device``, with the weights of ``checkpoint``.

    The model comes back in eval mode with ``cfg`` and ``dataset_meta`` (classes, palette) on it.
    With a ``checkpoint`` it is prepared for inference alone, in ``precision`` fp32, bf16 or fp16
    compiled or not, and with ``accelerate`` auto or none, as `prepare_for_inference` says. Without
    one it is the plain model, to load weights into or to train, and takes the defaults only. What
    there is to say goes to stderr.

    A file of `mmseg_gc export` (.onnx, or OpenVINO's .xml) may be the ``checkpoint``, or the
    ``config`` where there is none: it then stands in for the network, run as the config's
    ``runtime`` has it (`mmseg_gc.deploy.ExportedSegmentor`), on the CPU or a provider's device.

    Processes that are forked afterwards compute on one thread each: load a model after the fork.

    Raises:
        UserError: there is no such device, a file can't be read, the weights don't fit the model,
            the device or an unprepared model can't have that ``precision`` or ``compile``, or it's
            a detector.

    Source: ``mmseg.apis.init_model``.
    """
    if is_exported(config) or is_exported(checkpoint):
        return _exported(config, checkpoint, str(device), cfg_options, precision, compile)
    device = require_device(device)
    keep_forks_from_hanging()
    cfg = load_config(config, cfg_options)
    if is_detection(cfg):
        raise UserError(
            f"{cfg.filename} is of a detector, and init_model is for segmentors: use "
            "mmdet.apis.init_detector."
        )
    set_tf32(cfg.get("tf32"))
    init_default_scope(SCOPE)
    # The weights that training began from would be overwritten, and may need the network.
    cfg.model.pretrained = None
    cfg.model.backbone.pop("init_cfg", None)
    cfg.model.train_cfg = None
    model = MODELS.build(cfg.model)
    meta = {}
    if checkpoint is not None:
        loaded = load_checkpoint(str(checkpoint))
        load_into(model, loaded, source=checkpoint)
        meta = loaded.get("meta", {})
        tell_other_config(cfg.model, stored_model(meta))
        del loaded  # as large as the model
    model.dataset_meta = _dataset_meta(cfg, meta)
    model.cfg = cfg
    model = adapt_sync_bn(model, device_type=device.type, world_size=1)
    model = model.to(device).eval()
    if checkpoint is not None:
        return prepare_for_inference(
            model, precision=precision, compile=compile, accelerate=accelerate
        )
    if precision != "fp32" or compile:
        raise UserError(
            "init_model: precision and compile need a checkpoint; without one, load the weights "
            "and call mmseg_gc.accelerate.prepare_for_inference."
        )
    return model


def _exported(
    config: str | Path | Config,
    checkpoint: str | Path | None,
    device: str,
    cfg_options: dict[str, Any] | None,
    precision: str,
    compile: bool,
) -> nn.Module:
    """`init_model` with the network of an exported file, which may be its own config."""
    if checkpoint is not None and is_exported(config):
        raise UserError(f"{config} holds its own weights: leave out {checkpoint}.")
    file = config if checkpoint is None else checkpoint
    assert isinstance(file, str | Path)
    cfg = config_of(file, cfg_options) if checkpoint is None else load_config(config, cfg_options)
    keep_forks_from_hanging()
    init_default_scope(SCOPE)
    options: dict[str, Any] = dict(precision=precision, compile=compile, device=device)
    model = MODELS.build(exported_model(cfg, file, **options))
    model.dataset_meta = _dataset_meta(cfg, {"dataset_meta": stored_meta(file)})
    model.cfg = cfg
    return model.eval()


def _dataset_meta(cfg: Config, meta: dict) -> dict[str, Any]:
    """Classes, palette and the numbers of label files: the config's, else the checkpoint's."""
    dataset = (cfg.get("test_dataloader") or {}).get("dataset") or {}
    dataset = leaf_datasets(dataset)[0]
    stored = meta.get("dataset_meta") or {
        "classes": meta.get("CLASSES"),
        "palette": meta.get("PALETTE"),
    }
    if dataset.get("metainfo"):
        names = dict(dataset["metainfo"])
        if isinstance(names.get("classes"), list | tuple):
            tell_other_classes(names["classes"], stored.get("classes"))
    else:
        known = getattr(DATASETS.get(dataset["type"]), "METAINFO", {}) if "type" in dataset else {}
        names = {key: known.get(key) or stored.get(key) for key in ("classes", "palette")}
    return {**_numbering(dataset, stored), **names}


def _numbering(dataset: Mapping, stored: Mapping) -> dict[str, Any]:
    """What `label_file_ids` needs of a data set's config, else of a checkpoint's metainfo."""
    of_weights = {key: stored.get(key) for key in NUMBERING}
    if "type" not in dataset:
        return of_weights
    try:
        # No file is looked at, but the class may do anything.
        built = DATASETS.build({**dataset, "pipeline": [], "lazy_init": True, "test_mode": False})
    except Exception as error:
        print_log(
            f"test_dataloader.dataset can't be built ({error}), so that label files are numbered "
            "as the checkpoint says.",
            logger="current",
            level=logging.WARNING,
        )
        return of_weights
    numbering = {key: built.metainfo.get(key) for key in NUMBERING}
    if getattr(built, "may_hold_grey_levels", False):
        numbering["file_label_map"] = of_weights["file_label_map"]
    return numbering
