"""Eight-bit copies of a network, calibrated on images: by NNCF, and by ONNX Runtime."""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from mmseg_gc.deploy.formats import EXTRA, OnnxFile, OpenVinoFiles
from mmseg_gc.deploy.network import INPUT_NAME
from mmseg_gc.errors import UserError

# What stays in float, more from one try to the next: first nothing, then what decides between
# classes and what weighs the whole image, then the first layers and the head.
SENSITIVE: tuple[tuple[str, ...], ...] = (
    (),
    ("conv_seg", "gc_block", "context_block"),
    ("conv_seg", "gc_block", "context_block", "decode_head", "stem", "conv1"),
)


def is_sensitive(module: str, kept: Sequence[str]) -> bool:
    """Whether the module of this dotted name is below one of the ``kept``.

    A ``conv1`` is meant where it is the backbone's own, the first of all.
    """
    parts = module.split(".")
    if "conv1" in kept and parts[:2] == ["backbone", "conv1"]:
        return True
    return any(part in kept and part != "conv1" for part in parts)


def require_int8(to: str) -> None:
    """Refuse int8 for a format that has none here.

    Raises:
        UserError: so it is, or NNCF isn't installed.
    """
    if to not in ("onnx", "openvino"):
        raise UserError(f"--int8 is for onnx and openvino, not for {to}; choose one of them.")
    if to == "openvino" and find_spec("nncf") is None:
        raise UserError(f"--int8 for openvino needs nncf, not installed here: {EXTRA}.")


def quantised(
    to: str, onnx: OnnxFile, images: Sequence[np.ndarray], kept: Sequence[str]
) -> OnnxFile | OpenVinoFiles:
    """``onnx`` in int8 but for the modules ``kept``, calibrated on ``images`` as it takes them."""
    names = onnx.nodes_of(lambda module: is_sensitive(module, kept))
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        return (_by_nncf if to == "openvino" else _by_onnxruntime)(onnx, images, names)
    finally:
        logging.disable(before)


def _by_nncf(onnx: OnnxFile, images: Sequence[np.ndarray], names: Sequence[str]) -> OpenVinoFiles:
    import nncf

    model = OpenVinoFiles.of(onnx).model
    there = {op.get_friendly_name() for op in model.get_ops()}
    ignored = [name for name in names if name in there]
    made = nncf.quantize(
        model,
        nncf.Dataset(list(images), lambda image: {INPUT_NAME: image}),
        subset_size=len(images),
        preset=nncf.QuantizationPreset.MIXED,
        ignored_scope=nncf.IgnoredScope(names=ignored, validate=False) if ignored else None,
    )
    return OpenVinoFiles(made)


def _by_onnxruntime(onnx: OnnxFile, images: Sequence[np.ndarray], names: Sequence[str]) -> OnnxFile:
    import onnx as library
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.images: Iterator[np.ndarray] = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self.images, None)
            return None if image is None else {INPUT_NAME: image}

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        onnx.save(source, {})
        quantize_static(
            str(source),
            str(target),
            Reader(),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv", "Add", "Relu", "MaxPool", "Concat"],
            nodes_to_exclude=list(names),
        )
        return OnnxFile(library.load(str(target)))
