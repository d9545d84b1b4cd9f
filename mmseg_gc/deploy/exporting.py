"""From a trained model to a file that was compared with it."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.config import Config
from torch import Tensor, nn

from mmseg_gc.deploy.formats import (
    OPSET,
    OPSETS,
    SUFFIXES,
    Exported,
    OnnxFile,
    OpenVinoFiles,
    ProgramFile,
    ScriptFile,
    as_program,
    example,
    own_function,
    require_format,
)
from mmseg_gc.deploy.gate import Size, Verdict, compare, sizes_for
from mmseg_gc.deploy.int8 import SENSITIVE, quantised, require_int8
from mmseg_gc.deploy.metadata import describe, in_channels, versions
from mmseg_gc.deploy.network import ExportNetwork, require_exportable
from mmseg_gc.deploy.runtimes import open_runtime
from mmseg_gc.deploy.samples import Sample, calibration_samples, gate_samples
from mmseg_gc.errors import UserError
from mmseg_gc.models.segmentors import EncoderDecoder

FAILED = "FAILED"


@dataclass(frozen=True)
class ExportOptions:
    """How a model is exported.

    ``to`` is onnx, openvino, pt2 or torchscript, ``output`` logits, labels or probabilities;
    ``bake`` takes raw uint8 (N, H, W, C); ``shape`` (h, w) is the only size taken, None: any;
    ``precision`` is fp32, fp16 or int8, calibrated on ``calibrate`` images. The gate compares on
    ``num_images`` of the test split; without it, of ``images``, paths; without these, drawn ones.
    """

    to: str = "onnx"
    output: str = "logits"
    bake: bool = False
    shape: Size | None = None
    precision: str = "fp32"
    calibrate: int = 64
    opset: int = OPSET
    images: Sequence[str | Path] = ()
    num_images: int = 4


@dataclass(frozen=True)
class Result:
    """Where the file is, what the gate says, and which modules int8 leaves in float."""

    path: Path
    verdict: Verdict
    kept_in_float: tuple[str, ...] = ()


def export_model(
    model: nn.Module,
    cfg: Config,
    out: str | Path,
    options: ExportOptions,
    *,
    weights: str | Path = "",
    say: Callable[[str], None] = lambda text: None,
) -> Result:
    """Write the plain ``model`` of ``cfg`` to ``out``, once the gate has compared it.

    Where the gate isn't passed, the file's name gets FAILED in it, and nothing is at ``out``.
    ``weights`` is the checkpoint's path, for its hash. ``say`` is told what is being done.

    Raises:
        UserError: ``options`` don't fit together, the model can't be exported, or ``out`` can't be
            written.
    """
    out = Path(out)
    check_options(out, options)
    model = require_exportable(model)
    model.eval().requires_grad_(False)
    network = ExportNetwork(model, output=options.output, bake=options.bake).eval()
    channels = in_channels(model)
    samples, images = gate_samples(cfg, options.images, options.num_images, channels)
    _require_fit(samples, network, channels)
    meta = describe(
        model,
        network,
        cfg,
        weights=Path(weights).name,
        weights_sha256=_sha256(weights, model),
        shape=options.shape,
        precision=options.precision,
        opset=options.opset if options.to == "onnx" else None,
    )
    say(f"exporting to {options.to} …")
    sizes = sizes_for(_base(model, samples), options.shape)
    verdict: Verdict | None = None
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name[:40]}.") as folder:
        written = Path(folder) / f"model{SUFFIXES[options.to]}"
        tries = _tries(network, model, cfg, channels, options, say)
        while verdict is None or not verdict.passed:
            found = next(tries, None)
            if found is None:
                break
            kept, exported = found
            exported.save(written, meta)
            say(f"comparing with torch on {images} …")
            verdict = compare(
                model,
                network,
                _function(written),
                samples,
                sizes,
                precision=options.precision,
                images=images,
                runtime=_runtime_name(options.to),
            )
        assert verdict is not None
        meta = {**meta, "gate": verdict.as_dict(), "kept_in_float": list(kept)}
        exported.save(written, meta)
        if not verdict.passed:
            out = out.with_name(f"{out.stem}.{FAILED}{out.suffix}")
        _put_in_place(written, out)
    return Result(out, verdict, tuple(kept))


def check_options(out: Path, options: ExportOptions) -> None:
    """Refuse what can't be exported to ``out``, before a model is read.

    Raises:
        UserError: ``options`` don't fit together, packages are missing, or ``out`` can't be had.
    """
    require_format(options.to)
    if options.to in ("onnx", "openvino") and options.opset not in OPSETS:
        raise UserError(
            f"opset {options.opset} can't be written; give one from {OPSETS[0]} to {OPSETS[-1]}."
        )
    suffix = SUFFIXES[options.to]
    if out.suffix.lower() != suffix:
        raise UserError(f"{out}: a file of {options.to} ends in {suffix}; name it so.")
    if options.precision == "int8":
        require_int8(options.to)
        if options.calibrate < 1:
            raise UserError(
                f"--calibrate {options.calibrate} is no number of images; give 1 or more."
            )
    if options.precision == "fp16" and options.to not in ("onnx", "openvino"):
        raise UserError(f"--half is for onnx and openvino, not for {options.to}; leave it out.")
    if options.num_images < 1:
        raise UserError(f"--gate-images {options.num_images}: give 1 or more.")
    if options.shape is not None and min(options.shape) < 32:
        raise UserError(f"--shape {options.shape}: give a height and a width of 32 or more.")
    there = next(folder for folder in out.absolute().parents if folder.exists())
    if out.is_dir() or not there.is_dir() or not os.access(there, os.W_OK):
        raise UserError(f"{out} can't be written; name another place by -o.")


def _require_fit(samples: Sequence[Sample], network: ExportNetwork, channels: int) -> None:
    for sample in samples:
        if sample.image.shape[0] != channels:
            raise UserError(
                f"images have {sample.image.shape[0]} channels and the network takes {channels}: "
                "correct the loader of the test pipeline."
            )
        if network.bake and sample.image.is_floating_point():
            raise UserError(
                "--bake takes uint8 images, and the test pipeline gives float ones: leave it out."
            )


def _base(model: EncoderDecoder, samples: Sequence[Sample]) -> Size:
    """What goes through the network at once: a window, or an image."""
    if model.test_cfg.get("mode", "whole") == "slide":
        height, width = model.test_cfg.crop_size
        return int(height), int(width)
    _, height, width = samples[0].image.shape
    return int(height), int(width)


def _tries(
    network: ExportNetwork,
    model: EncoderDecoder,
    cfg: Config,
    channels: int,
    options: ExportOptions,
    say: Callable[[str], None],
) -> Iterator[tuple[tuple[str, ...], Exported]]:
    """The network as a file; in int8 with more and more of it in float, until one is taken."""
    image = example(network, channels, options.shape)
    if options.to == "torchscript":
        yield (), ScriptFile(network, image)
        return
    program = as_program(network, image, is_static=options.shape is not None)
    if options.to == "pt2":
        yield (), ProgramFile(program)
        return
    onnx = OnnxFile.of(program, output=options.output, opset=options.opset)
    if options.precision != "int8":
        yield (), _in_precision(onnx, options)
        return
    arrays = [
        _as_input(sample, network, model, options.shape)
        for sample in calibration_samples(cfg, options.calibrate)
    ]
    for kept in SENSITIVE:
        left = f", with {', '.join(kept)} in float" if kept else ""
        say(f"calibrating int8 on {len(arrays)} images of the training split{left} …")
        yield kept, quantised(options.to, onnx, arrays, kept)


def _in_precision(onnx: OnnxFile, options: ExportOptions) -> Exported:
    if options.to == "openvino":
        return OpenVinoFiles.of(onnx, half=options.precision == "fp16")
    if options.precision == "fp16":
        from onnxruntime.transformers.float16 import convert_float_to_float16

        return OnnxFile(convert_float_to_float16(onnx.proto, keep_io_types=True))
    return onnx


def _as_input(
    sample: Sample, network: ExportNetwork, model: EncoderDecoder, shape: Size | None
) -> np.ndarray:
    raw = (sample.image if shape is None else sample.resized(shape))[None]
    if network.bake:
        return raw.permute(0, 2, 3, 1).contiguous().numpy()
    return model.data_preprocessor.normalise(raw).contiguous().numpy()


def _function(path: Path) -> Callable[[Tensor], Tensor]:
    if path.suffix in (SUFFIXES["onnx"], SUFFIXES["openvino"]):
        return open_runtime(path)
    return own_function(path)


def _runtime_name(to: str) -> str:
    package = {"onnx": "onnxruntime", "openvino": "openvino"}.get(to, "torch")
    return f"{package} {versions().get(package, '')}".strip()


def _sha256(weights: str | Path, model: EncoderDecoder) -> str:
    """Of the checkpoint's file; where it's at an address, of the weights' bytes."""
    digest = hashlib.sha256()
    if weights and Path(weights).is_file():
        with Path(weights).open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
        return digest.hexdigest()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _put_in_place(written: Path, out: Path) -> None:
    """Move a whole file, or an ``.xml`` and its ``.bin``, the one that is opened last."""
    try:
        weights = written.with_suffix(".bin")
        if weights.is_file():
            shutil.move(weights, out.with_suffix(".bin"))
        os.replace(written, out)
    except OSError as error:
        raise UserError(f"{out} can't be written ({error.strerror}); name another.") from error
