"""A config whose network is an exported file, and the config that such a file holds itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmseg_gc.config.config_of_weights import tell_other_config
from mmseg_gc.config.leaf_datasets import leaf_datasets
from mmseg_gc.config.options import check_options, merge_options
from mmseg_gc.deploy.metadata import numbering
from mmseg_gc.deploy.runtimes import read_metadata, runtime_of
from mmseg_gc.errors import UserError
from mmseg_gc.registry import SCOPE


def config_of(file: str | Path, options: Mapping[str, Any] | None = None) -> Config:
    """What the exported ``file`` alone tells: how images are read, normalised and tested.

    ``options`` are dotted keys, as of `load_config`.

    Raises:
        UserError: it doesn't tell that, or isn't ours; or an option doesn't fit.
    """
    meta = read_metadata(file)
    if meta["pipeline"] is None or meta["data_preprocessor"] is None:
        raise UserError(
            f"{file} doesn't tell how images are read, since its config has steps of its own: give "
            "that config before it."
        )
    config: dict[str, Any] = dict(
        default_scope=SCOPE,
        model=dict(
            type="EncoderDecoder",
            data_preprocessor={"type": "SegDataPreProcessor", **meta["data_preprocessor"]},
            backbone=dict(in_channels=meta["in_channels"]),
            decode_head=dict(
                num_classes=meta["num_classes"],
                ignore_index=meta["ignore_index"],
                align_corners=meta["align_corners"],
            ),
            test_cfg=tuples(meta["test_cfg"]),
        ),
        test_dataloader=dict(dataset=dict(pipeline=tuples(meta["pipeline"]))),
    )
    if meta["tta_pipeline"] is not None:
        config["tta_pipeline"] = tuples(meta["tta_pipeline"])
    cfg = Config(config)
    check_options(options or {}, cfg)
    merge_options(cfg, options or {})
    return cfg


def stored_meta(file: str | Path) -> dict[str, Any]:
    """The ``dataset_meta`` of the data that the exported ``file`` was trained on."""
    return numbering(read_metadata(file)["dataset_meta"])


def exported_model(
    cfg: Config,
    file: str | Path,
    *,
    precision: str = "fp32",
    compile: bool = False,
    device: str = "cpu",
) -> dict[str, Any]:
    """What ``cfg.model`` becomes with the exported ``file`` for its network.

    ``cfg.runtime`` has the runtime's own keys; a GPU as ``device`` asks for its provider.

    Raises:
        UserError: the file's classes or channels aren't the config's, or it can't be compiled.
    """
    if compile:
        raise UserError(f"{file} is run by its own runtime, not by torch: leave out compile.")
    meta = read_metadata(file)
    model = cfg.model.get("module") or cfg.model
    _require_same(model, meta, cfg.filename or "the config", file)
    tell_other_config(model, {"data_preprocessor": meta["data_preprocessor"]})
    preprocessor = dict(model.get("data_preprocessor") or dict(type="SegDataPreProcessor"))
    if meta["input"].get("normalised_inside"):
        preprocessor = dict(type="SegDataPreProcessor")
        if (model.get("data_preprocessor") or {}).get("test_cfg"):
            raise UserError(
                f"{file} normalises images inside, after data_preprocessor.test_cfg would have "
                "padded them: export it without --bake."
            )
    runtime = cfg.get("runtime") or {}
    if not isinstance(runtime, Mapping):
        raise UserError(f"runtime={runtime!r} is no dict; write such as runtime.threads=2.")
    runtime = dict(runtime)
    if precision != "fp32":
        runtime["precision"] = precision
    if device != "cpu":
        of_onnx = runtime_of(file) == "onnxruntime"
        runtime.setdefault(*(("provider", "cuda") if of_onnx else ("device", "GPU")))
    return dict(
        type="ExportedSegmentor",
        file=str(file),
        runtime=runtime,
        data_preprocessor=preprocessor,
        test_cfg=model.get("test_cfg"),
    )


def run_exported(
    cfg: Config, file: str | Path, *, precision: str = "fp32", compile: bool = False
) -> None:
    """Let ``cfg``, ready for a test of weights, test the exported ``file`` in their place.

    Raises:
        UserError: as `exported_model`.
    """
    model = exported_model(cfg, file, precision=precision, compile=compile)
    if "module" in cfg.model:
        cfg.model.module = model
    else:
        cfg.model = model
    cfg.load_from = None
    stored = stored_meta(file)
    for leaf in leaf_datasets(cfg.test_dataloader.dataset):
        if leaf.get("type") == "BaseSegDataset" and not leaf.get("metainfo"):
            leaf["metainfo"] = {key: stored[key] for key in ("classes", "palette") if stored[key]}


def _require_same(model: Mapping, meta: Mapping, config: str, file: str | Path) -> None:
    head = model.get("decode_head") or {}
    classes = head.get("num_classes", meta["num_classes"])
    if classes != meta["num_classes"]:
        raise UserError(
            f"{file} tells {meta['num_classes']} classes apart and {config} has num_classes="
            f"{classes}: give the config that it was exported with, or none."
        )
    mean = (model.get("data_preprocessor") or {}).get("mean")
    channels = (model.get("backbone") or {}).get("in_channels")
    if mean is not None and len(mean) > 1:
        channels = len(mean)
    if channels is not None and channels != meta["in_channels"]:
        raise UserError(
            f"{file} takes images of {meta['in_channels']} channels and {config} reads {channels}: "
            "give the config that it was exported with, or none."
        )


def tuples(value: Any) -> Any:
    """``value`` with lists of numbers as tuples, which JSON doesn't have and mmcv asks for."""
    if isinstance(value, Mapping):
        return {key: tuples(one) for key, one in value.items()}
    if isinstance(value, list):
        if value and all(isinstance(one, int | float) for one in value):
            return tuple(value)
        return [tuples(one) for one in value]
    return value
