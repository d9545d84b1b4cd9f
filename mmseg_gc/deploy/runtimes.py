"""ONNX Runtime and OpenVINO: open an exported file, read its metadata, run it."""

import threading
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmseg_gc.config.names import did_you_mean
from mmseg_gc.deploy.formats import EXTRA, SUFFIXES
from mmseg_gc.deploy.metadata import MARK, NEEDED, OPTIONAL, decode
from mmseg_gc.errors import UserError

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "rocm": "ROCMExecutionProvider",
}
PRECISIONS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
KEYS = {
    "onnxruntime": ("provider", "provider_options", "precision", "threads"),
    "openvino": ("device", "precision", "threads"),
}
# What `is_exported` tells from weights by its name, and which can't be run here: reading it may run
# code that a stranger put in.
NEVER_READ = (SUFFIXES["pt2"], SUFFIXES["torchscript"])


def installed_runtimes() -> dict[str, str]:
    """Version, and providers or devices, of each runtime that is installed."""
    found = {}
    if find_spec("onnxruntime") is not None:
        import onnxruntime

        names = ", ".join(onnxruntime.get_available_providers())
        found["onnxruntime"] = f"{onnxruntime.__version__} ({names})"
    if find_spec("openvino") is not None:
        import openvino

        names = ", ".join(openvino.Core().available_devices)
        found["openvino"] = f"{metadata.version('openvino')} ({names})"
    return found


def is_exported(file: object) -> bool:
    """Whether ``file``, given where a checkpoint or a config can be, is an exported one's path."""
    if not isinstance(file, str | Path):
        return False
    return Path(file).suffix.lower() in SUFFIXES.values()


def runtime_of(path: str | Path) -> str:
    """The name of the runtime that runs the file ``path``.

    Raises:
        UserError: none does, it isn't there, or the runtime isn't installed.
    """
    if "://" in str(path):
        raise UserError(f"{path} is an address: download the file, and give its path.")
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in NEVER_READ:
        raise UserError(
            f"{path} can run code when it is read, so nothing here reads it: export the checkpoint "
            "to onnx or openvino, or use torch.export.load or torch.jit.load in your own program."
        )
    if not path.is_file():
        raise UserError(f"{path} doesn't exist; check the path.")
    name = "onnxruntime" if suffix == SUFFIXES["onnx"] else "openvino"
    if find_spec(name) is None:
        raise UserError(f"{path} needs {name}, not installed here: {EXTRA}.")
    return name


def read_metadata(path: str | Path) -> dict[str, Any]:
    """What the exported file ``path`` says of itself, checked.

    Raises:
        UserError: it can't be read, or isn't of this package.
    """
    texts: Mapping[str, str]
    if runtime_of(path) == "onnxruntime":
        session = _session(path, ["CPUExecutionProvider"], None, 1, optimise=False)
        texts = session.get_modelmeta().custom_metadata_map
    else:
        model = _read_openvino(path)
        texts = {
            key: model.get_rt_info([MARK, key]).astype(str)
            for key in (*NEEDED, *OPTIONAL)
            if model.has_rt_info([MARK, key])
        }
    return decode(texts, path)


def open_runtime(path: str | Path, options: Mapping[str, Any] | None = None) -> "Runtime":
    """The file ``path`` ready to run, as ``options``, the config's ``runtime``, have it.

    Raises:
        UserError: an option isn't known or can't be had, or the file can't be run.
    """
    name = runtime_of(path)
    given = {key: value for key, value in dict(options or {}).items() if value is not None}
    for key in given:
        if key not in KEYS[name]:
            raise UserError(f"runtime.{key}: {name} has no such key{did_you_mean(key, KEYS[name])}")
    if given.get("precision", "fp32") not in tuple(PRECISIONS):
        raise UserError(
            f"there is no precision={given['precision']!r}; choose {', '.join(PRECISIONS)}."
        )
    threads = given.get("threads", 1)
    if not isinstance(threads, int) or threads < 1:
        raise UserError(f"runtime.threads={threads!r} is no number of threads; give 1 or more.")
    return OnnxRuntime(path, **given) if name == "onnxruntime" else OpenVinoRuntime(path, **given)


class Runtime:
    """A file that a runtime has opened; called with images, it gives what the file computes.

    Copied or pickled it is its path and options, and is opened again.
    """

    _open: Callable[..., None]  # with the options of the runtime

    def __init__(self, path: str | Path, **options: Any) -> None:
        self.path = Path(path)
        self.options = options
        self._open(**options)

    def _run(self, image: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def __call__(self, image: Tensor) -> Tensor:
        """Of a batch in the file's layout and dtype, on the CPU."""
        return torch.from_numpy(self._run(image.detach().contiguous().numpy()))

    def __reduce__(self) -> tuple:
        return _reopened, (type(self), self.path, self.options)


def _reopened(kind: type[Runtime], path: Path, options: dict[str, Any]) -> Runtime:
    return kind(path, **options)


class OnnxRuntime(Runtime):
    """ONNX Runtime; ``provider`` is a key of `PROVIDERS`, a name of its own, or a list of these.

    ``provider_options`` are a dict, or as many as there are providers.
    """

    def _open(
        self,
        provider: str | list[str] = "cpu",
        provider_options: Mapping | Sequence[Mapping] | None = None,
        precision: str = "fp32",
        threads: int | None = None,
    ) -> None:
        if precision != "fp32":
            raise UserError(
                f"precision={precision!r}: ONNX Runtime computes in what its file holds; export "
                "with --half or --int8, or to openvino, which has precisions."
            )
        providers = _providers(provider)
        options = _options_of(providers, provider_options)
        self.session = _session(self.path, providers, options, threads)
        self.input = self.session.get_inputs()[0].name

    def _run(self, image: np.ndarray) -> np.ndarray:
        return self.session.run(None, {self.input: image})[0]


def _providers(asked: str | list[str]) -> list[str]:
    import onnxruntime

    available = onnxruntime.get_available_providers()
    known = ", ".join(key for key, full in PROVIDERS.items() if full in available)
    chosen: list[str] = []
    for one in asked if isinstance(asked, list | tuple) and asked else [asked]:
        name = PROVIDERS.get(str(one).lower(), str(one))
        if name not in available:
            if name not in PROVIDERS.values():
                raise UserError(f"runtime.provider={one!r} is unknown; here there is {known}.")
            raise UserError(
                f"runtime.provider={one!r}: this ONNX Runtime has {known} alone; install the build "
                "that has it, such as onnxruntime-gpu, or leave the key out."
            )
        chosen.append(name)
    return chosen


def _options_of(
    providers: list[str], given: Mapping | Sequence[Mapping] | None
) -> list[dict] | None:
    if given is None:
        return None
    listed = [given] if isinstance(given, Mapping) else given
    if len(listed) != len(providers) or not all(isinstance(one, Mapping) for one in listed):
        raise UserError(
            f"runtime.provider_options={given!r}: give a dict for each of {', '.join(providers)}."
        )
    return [dict(one) for one in listed]


def _session(
    path: str | Path,
    providers: list[str],
    provider_options: list[dict] | None,
    threads: int | None,
    *,
    optimise: bool = True,
) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.log_severity_level = 3
    if not optimise:
        level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = level
    try:
        return onnxruntime.InferenceSession(
            str(path), options, providers=providers, provider_options=provider_options
        )
    except Exception as error:  # onnxruntime's own classes are private
        raise _unreadable(path, error) from error


def _unreadable(path: str | Path, error: Exception) -> UserError:
    text = " ".join(str(error).split())
    text = text if len(text) <= 200 else f"… {text[-200:]}"  # the end says what is wrong
    if "opset" in text.lower():
        return UserError(
            f"{path} is of an opset that this runtime doesn't run ({text}); export it again, with "
            "--opset if need be, or install a newer runtime."
        )
    return UserError(f"{path} can't be read ({text}); it is damaged or no such file.")


class OpenVinoRuntime(Runtime):
    """OpenVINO; ``device`` is CPU, GPU, AUTO or another of its names."""

    def _open(
        self, device: str = "CPU", precision: str = "fp32", threads: int | None = None
    ) -> None:
        import openvino

        core = openvino.Core()
        known = core.available_devices
        virtual = ("AUTO", "HETERO", "BATCH")
        if str(device).partition(":")[0] not in (
            *known,
            *virtual,
            *(n.partition(".")[0] for n in known),
        ):
            raise UserError(
                f"runtime.device={device!r}: this OpenVINO sees {', '.join(known)}; name one of "
                "these, or leave the key out."
            )
        hints: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
        }
        if device == "CPU":
            hints["INFERENCE_NUM_THREADS"] = threads or torch.get_num_threads()
        try:
            self.compiled = core.compile_model(_read_openvino(self.path), device, hints)
        except RuntimeError as error:
            raise _unreadable(self.path, error) from error
        self._local = threading.local()  # a request serves one thread at a time

    def _run(self, image: np.ndarray) -> np.ndarray:
        if not hasattr(self._local, "request"):
            self._local.request = self.compiled.create_infer_request()
        return self._local.request.infer({0: image}, share_inputs=True)[0]


def _read_openvino(path: str | Path) -> Any:
    import openvino

    if not Path(path).with_suffix(".bin").is_file():
        raise UserError(f"{path} has no .bin beside it, which holds its weights; copy both files.")
    try:
        return openvino.Core().read_model(str(path))
    except RuntimeError as error:
        raise _unreadable(path, error) from error
