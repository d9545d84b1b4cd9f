"""The four kinds of files: how a network becomes one, and how one is written with its metadata."""

import io
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from mmseg_gc.deploy.metadata import MARK, encode
from mmseg_gc.deploy.network import INPUT_NAME, ExportNetwork
from mmseg_gc.errors import UserError

SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "pt2": ".pt2", "torchscript": ".torchscript"}
NEEDS = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("onnx", "onnxscript", "openvino"),
    "pt2": (),
    "torchscript": (),
}
OPSETS = range(18, 24)
OPSET = 18
EXTRA = "pip install 'mmseg_gc[export]'"
METADATA_FILE = "mmseg_gc.json"  # inside a pt2 or TorchScript archive
TRACED = (64, 96)  # (h, w) of the image of zeros that a network with any size is traced with


class Exported(Protocol):
    """A network as one of the formats has it, not yet written."""

    def save(self, path: Path, meta: Mapping[str, Any]) -> None:
        """Write it to ``path`` with ``meta`` inside."""


def require_format(to: str, what: str = "export") -> None:
    """Refuse a format that isn't known or whose packages aren't installed.

    Raises:
        UserError: so it is.
    """
    if to not in SUFFIXES:
        raise UserError(f"there is no format {to!r}; choose {', '.join(SUFFIXES)}.")
    missing = [name for name in NEEDS[to] if find_spec(name) is None]
    if missing:
        raise UserError(f"{what} to {to} needs {', '.join(missing)}, not installed here: {EXTRA}.")


def example(network: ExportNetwork, channels: int, shape: tuple[int, int] | None) -> Tensor:
    """An image of zeros to trace ``network`` with; two of them where batches may have any size."""
    (height, width), batch = shape or TRACED, 1 if shape else 2
    if network.bake:
        return torch.zeros(batch, height, width, channels, dtype=torch.uint8)
    return torch.zeros(batch, channels, height, width)


def as_program(network: ExportNetwork, image: Tensor, *, is_static: bool) -> Any:
    """``network`` as torch's ExportedProgram."""
    dim = torch.export.Dim
    down, across = (1, 2) if network.bake else (2, 3)
    sizes = {0: dim("batch", min=1), down: dim.DYNAMIC, across: dim.DYNAMIC}
    shapes = None if is_static else (sizes,)
    with torch.no_grad(), _quiet():
        try:
            return torch.export.export(network, (image,), dynamic_shapes=shapes)
        except Exception as error:  # whatever a head of one's own does
            reason = " ".join(str(error).split())[:200]
            cure = "leave it out of the model" if is_static else "give one by --shape HEIGHT WIDTH"
            raise UserError(
                f"torch.export can't follow this network for {'one' if is_static else 'any'} size "
                f"({reason}); {cure}."
            ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what exporters log of operators that nobody asked for."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


class OnnxFile:
    """An ONNX model, whose nodes are named by the modules that they come from."""

    def __init__(self, proto: Any) -> None:
        self.proto = proto

    @classmethod
    def of(cls, program: Any, *, output: str, opset: int) -> "OnnxFile":
        """``program`` in the operators of ``opset``, one of `OPSETS`."""
        with torch.no_grad(), _quiet():
            made = torch.onnx.export(
                program,
                (),
                dynamo=True,
                opset_version=opset,
                input_names=[INPUT_NAME],
                output_names=[output],
                verbose=False,
            )
        assert made is not None
        proto = made.model_proto
        _name_by_modules(proto)
        _name_axes(proto)
        return cls(proto)

    def save(self, path: Path, meta: Mapping[str, Any]) -> None:
        del self.proto.metadata_props[:]
        for key, value in encode(meta).items():
            self.proto.metadata_props.add(key=key, value=value)
        path.write_bytes(self.proto.SerializeToString())

    @property
    def opset(self) -> int:
        return next(one.version for one in self.proto.opset_import if not one.domain)

    def nodes_of(self, wanted: Callable[[str], bool]) -> list[str]:
        """Names of the nodes whose module's dotted name is ``wanted``."""
        return [node.name for node in self.proto.graph.node if wanted(node.name.split("/")[0])]


def _name_by_modules(proto: Any) -> None:
    """``decode_head.conv_seg/Conv``; what else the exporter notes down is as large as the graph."""
    seen: Counter[str] = Counter()
    for node in proto.graph.node:
        notes = {prop.key: prop.value for prop in node.metadata_props}
        scopes = notes.get("pkg.torch.onnx.name_scopes", "[]").strip("[]").replace("'", "")
        names = scopes.split(", ")[:-1]  # the last is the operation's own
        name = f"{names[-1] if names else ''}/{node.op_type}"
        seen[name] += 1
        node.name = name if seen[name] == 1 else f"{name}_{seen[name]}"
        del node.metadata_props[:]
    graph = proto.graph
    del graph.value_info[:]  # whose sizes have other names than the input's will have
    for value in (*graph.input, *graph.output):
        del value.metadata_props[:]
    del graph.metadata_props[:]


def _name_axes(proto: Any) -> None:
    """Call the sizes that are free batch, height and width; of outputs so, where they are those."""
    named: dict[str, str] = {}
    shapes = [value.type.tensor_type.shape.dim for value in proto.graph.input]
    for dims in shapes:
        free = [dim for dim in dims if dim.dim_param]
        for dim, name in zip(free, ("batch", "height", "width"), strict=False):
            named[dim.dim_param] = name
            dim.dim_param = name
    for value in proto.graph.output:
        for dim, name in zip(
            value.type.tensor_type.shape.dim, ("batch", "classes", "rows", "columns"), strict=False
        ):
            if dim.dim_param:
                dim.dim_param = named.get(dim.dim_param, name)


class OpenVinoFiles:
    """An OpenVINO model: the ``.xml``, and the weights in a ``.bin`` beside it."""

    def __init__(self, model: Any, *, half: bool = False) -> None:
        self.model = model
        self.half = half

    @classmethod
    def of(cls, onnx: OnnxFile, *, half: bool = False) -> "OpenVinoFiles":
        import openvino

        content = io.BytesIO(onnx.proto.SerializeToString())
        return cls(openvino.Core().read_model(content.getvalue()), half=half)

    def save(self, path: Path, meta: Mapping[str, Any]) -> None:
        import openvino

        for key, value in encode(meta).items():
            self.model.set_rt_info(value, [MARK, key])
        openvino.save_model(self.model, path, compress_to_fp16=self.half)


class ProgramFile:
    """torch.export's archive."""

    def __init__(self, program: Any) -> None:
        self.program = program

    def save(self, path: Path, meta: Mapping[str, Any]) -> None:
        self.program.example_inputs = None  # the image of zeros
        torch.export.save(self.program, path, extra_files={METADATA_FILE: json.dumps(meta)})


class ScriptFile:
    """TorchScript's archive, traced."""

    def __init__(self, network: ExportNetwork, image: Tensor) -> None:
        with torch.no_grad():
            self.traced = torch.jit.trace(network, image, check_trace=False)

    def save(self, path: Path, meta: Mapping[str, Any]) -> None:
        torch.jit.save(self.traced, str(path), _extra_files={METADATA_FILE: json.dumps(meta)})


def own_function(path: Path) -> Callable[[Tensor], Tensor]:
    """What a pt2 or TorchScript file computes, for one that was written just now.

    Reading either may run code that is in it: never do so with a stranger's.
    """
    if path.suffix == SUFFIXES["pt2"]:
        return torch.export.load(path).module()
    return torch.jit.load(str(path))
