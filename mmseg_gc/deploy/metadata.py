"""What an exported file says of itself: flat keys, each with a JSON value."""

import json
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import nn

from mmseg_gc.config.leaf_datasets import leaf_datasets
from mmseg_gc.config.names import type_name
from mmseg_gc.config.unlabelled import without_labels
from mmseg_gc.deploy.network import INPUT_NAME, ExportNetwork
from mmseg_gc.errors import UserError
from mmseg_gc.evaluation.label_files import NUMBERING
from mmseg_gc.models.segmentors import EncoderDecoder
from mmseg_gc.version import __version__

MARK = "mmseg_gc"  # the key that tells our files from others; its value is the version
# A file is data: of its steps only these are built, which read, resize and mirror an image.
STEPS = frozenset(
    [
        "LoadImageFromFile",
        "LoadImageFromNDArray",
        "Resize",
        "RandomFlip",
        "TestTimeAug",
        "PackSegInputs",
    ]
)
PREPROCESSING = ("mean", "std", "bgr_to_rgb", "rgb_to_bgr", "test_cfg", "pad_val")
PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "openvino", "nncf")
# What reading needs, and of which kind it is.
NEEDED: dict[str, type | tuple[type, ...]] = {
    "classes": list,
    "palette": (list, type(None)),
    "dataset_meta": dict,
    "data_preprocessor": (dict, type(None)),
    "in_channels": int,
    "num_classes": int,
    "out_channels": int,
    "threshold": (float, int, type(None)),
    "ignore_index": (int, type(None)),
    "align_corners": bool,
    "test_cfg": dict,
    "head_channels": list,
    "input": dict,
    "output": dict,
    "pipeline": (list, type(None)),
    "tta_pipeline": (list, type(None)),
}
# What is handed on where it is there.
OPTIONAL = (
    MARK, "mean", "std", "channel_order", "reduce_zero_label", "precision", "opset", "config",
    "weights", "weights_sha256", "versions", "gate", "kept_in_float",
)  # fmt: skip


def describe(
    model: EncoderDecoder,
    network: ExportNetwork,
    cfg: Config,
    *,
    weights: str,
    weights_sha256: str,
    shape: tuple[int, int] | None,
    precision: str,
    opset: int | None,
) -> dict[str, Any]:
    """What the file of ``network`` has to say, but for the gate's verdict."""
    preprocessor = dict(cfg.model.get("data_preprocessor") or {})
    meta: Mapping = getattr(model, "dataset_meta", None) or {}
    head = model.decode_head
    channels = in_channels(model)
    width = getattr(head, "in_channels", 0)
    dataset = leaf_datasets((cfg.get("test_dataloader") or {}).get("dataset") or {})[0]
    order = "RGB" if network.swaps_channels and not preprocessor.get("rgb_to_bgr") else "BGR"
    height, width_in = shape or ("height", "width")
    batch: Any = 1 if shape else "batch"
    axes: list[Any] = [batch, channels, height, width_in]
    if network.bake:
        axes, order = [batch, height, width_in, channels], "BGR"
    return {
        MARK: __version__,
        "classes": list(meta.get("classes") or ()),
        "palette": plain(meta.get("palette")),
        "num_classes": model.num_classes,
        "ignore_index": getattr(head, "ignore_index", None),
        "reduce_zero_label": bool(meta.get("reduce_zero_label", False)),
        "mean": _numbers(preprocessor.get("mean")),
        "std": _numbers(preprocessor.get("std")),
        "channel_order": order if channels == 3 else "as the files have them",
        "align_corners": model.align_corners,
        "test_cfg": plain({**model.test_cfg, "return_logits": False}),
        "input": {
            "name": INPUT_NAME,
            "dtype": "uint8" if network.bake else "float32",
            "layout": "NHWC" if network.bake else "NCHW",
            "shape": axes,
            "normalised_inside": network.bake,
        },
        "output": {"name": network.output, "kind": network.output},
        "precision": precision,
        "opset": opset,
        "in_channels": channels,
        "out_channels": model.out_channels,
        "threshold": network.threshold,
        "head_channels": [
            width if isinstance(width, int) else sum(width),
            getattr(head, "channels", 0),
        ],
        "dataset_meta": {key: plain(meta.get(key)) for key in ("classes", "palette", *NUMBERING)},
        "data_preprocessor": _safe_preprocessor(preprocessor),
        "pipeline": safe_steps(dataset.get("pipeline")),
        "tta_pipeline": safe_steps(cfg.get("tta_pipeline")),
        "config": Path(cfg.filename).name if cfg.filename else None,
        "weights": weights,
        "weights_sha256": weights_sha256,
        "versions": versions(),
    }


def in_channels(model: EncoderDecoder) -> int:
    """Channels of the images that the backbone takes."""
    first = next(m for m in model.backbone.modules() if isinstance(m, nn.Conv2d))
    return first.in_channels


def versions() -> dict[str, str]:
    """Of this package, Python, and what made the file."""
    found = {MARK: __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def plain(value: Any) -> Any:
    """``value`` as JSON has it; a type by its name."""
    if isinstance(value, Mapping):
        # JSON has no numbers for keys, which `label_map` has.
        if value and not any(isinstance(key, str) for key in value):
            return [[plain(key), plain(one)] for key, one in value.items()]
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, str | bool | int | float) or value is None:
        return value
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        return value.tolist()
    if isinstance(value, Sequence):
        return [plain(one) for one in value]
    return getattr(value, "__name__", str(value))


def _numbers(values: Any) -> list[float] | None:
    return None if values is None else [float(one) for one in values]


def safe_steps(steps: Sequence | None) -> list[Any] | None:
    """``steps`` of a pipeline as a file may hold them; None if one isn't of `STEPS`."""
    if not steps:
        return None
    kept = plain(without_labels(list(steps)))
    return kept if are_safe(kept) else None


def _safe_preprocessor(cfg: Mapping) -> dict[str, Any] | None:
    """``cfg`` of a `SegDataPreProcessor` without what is for training; None of any other."""
    kept = {key: plain(cfg[key]) for key in PREPROCESSING if cfg.get(key) is not None}
    return kept if type_name(cfg) == "SegDataPreProcessor" else None


def are_safe(steps: object) -> bool:
    """Whether ``steps``, maybe a stranger's, name only steps of `STEPS`, at any depth."""
    if isinstance(steps, list):
        return all(are_safe(step) for step in steps)
    if not isinstance(steps, Mapping):
        return False
    # Nothing but the bare names: a dotted one would import what it names.
    kind = steps.get("type")
    if not isinstance(kind, str) or kind not in STEPS:
        return False
    if any(steps.get(key) is not None for key in ("backend_args", "file_client_args")):
        return False
    nested = [value for value in steps.values() if _holds_dicts(value)]
    return not nested or (kind == "TestTimeAug" and all(map(are_safe, nested)))


def _holds_dicts(value: object) -> bool:
    if isinstance(value, list):
        return any(_holds_dicts(one) for one in value)
    return isinstance(value, Mapping)


def encode(meta: Mapping[str, Any]) -> dict[str, str]:
    """``meta`` as a file's key-value texts."""
    return {key: json.dumps(value, ensure_ascii=False) for key, value in meta.items()}


def decode(texts: Mapping[str, str], path: str | Path) -> dict[str, Any]:
    """What `encode` was given, from the texts of the file ``path``.

    Raises:
        UserError: they aren't this package's, or were changed.
    """
    if MARK not in texts:
        raise UserError(
            f"{path} has no metadata of mmseg_gc, such as classes and normalisation: write it from "
            "its checkpoint by `mmseg_gc export`."
        )
    try:
        wanted = {*NEEDED, *OPTIONAL}
        meta = {key: json.loads(text) for key, text in texts.items() if key in wanted}
    except ValueError as error:
        raise UserError(
            f"{path} has metadata that isn't JSON ({error}); export it again."
        ) from error
    for key, kinds in NEEDED.items():
        if key not in meta or not isinstance(meta[key], kinds):
            raise UserError(f"{path} has no usable metadata {key!r}; export it again.")
    if (meta["data_preprocessor"] or {}).keys() - set(PREPROCESSING):
        raise UserError(f"{path} has no usable metadata 'data_preprocessor'; export it again.")
    for key in ("pipeline", "tta_pipeline"):
        if meta[key] is not None and not are_safe(meta[key]):
            raise UserError(
                f"{path} asks for other steps in its {key} than reading, resizing and mirroring an "
                "image; give its config as well, or export it again."
            )
    if not all(isinstance(name, str) for name in meta["classes"]):
        raise UserError(f"{path} has no usable metadata 'classes'; export it again.")
    return meta


def numbering(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A data set's metainfo as `describe` wrote it, with its dicts of numbers."""
    maps = {"label_map", "file_label_map"}
    return {
        key: {int(old): int(new) for old, new in value} if key in maps and value else value
        for key, value in stored.items()
    }
