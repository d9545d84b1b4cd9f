"""Files that runtimes take, and in one sentence what they don't."""

import numpy as np
import pytest
import torch

from mmseg_gc.deploy import installed_runtimes, is_exported, runtimes
from mmseg_gc.deploy.runtimes import open_runtime, read_metadata
from mmseg_gc.errors import UserError


def test_what_is_told_by_its_name():
    assert is_exported("a/b.onnx") and is_exported("b.XML") and is_exported("c.pt2")
    assert not is_exported("weights.pth") and not is_exported(None) and not is_exported(3)


def test_metadata_of_both_formats(exported, exported_openvino, tiny_model, tiny_files):
    import hashlib

    meta = read_metadata(exported.path)
    assert meta["classes"][:2] == ["Sky", "Building"] and meta["palette"][0] == [128, 128, 128]
    assert meta["num_classes"] == 11 and meta["ignore_index"] == 11
    assert meta["align_corners"] is False and meta["test_cfg"]["mode"] == "whole"
    assert meta["data_preprocessor"]["mean"] == [123.675, 116.28, 103.53]
    assert meta["input"]["shape"] == ["batch", 3, "height", "width"]
    assert meta["weights_sha256"] == hashlib.sha256(tiny_files[1].read_bytes()).hexdigest()
    assert meta["gate"]["passed"] is True and len(meta["gate"]["sizes"]) == 3
    assert meta["versions"]["torch"] == torch.__version__
    for key, value in read_metadata(exported_openvino).items():
        assert value == meta[key], key


def test_threads_and_options_reach_the_runtimes(exported, exported_openvino):
    of_arena = {"arena_extend_strategy": "kSameAsRequested"}
    options = dict(threads=1, provider=["cpu"], provider_options=of_arena)
    session = open_runtime(exported.path, options).session
    assert session.get_session_options().intra_op_num_threads == 1
    assert session.get_providers() == ["CPUExecutionProvider"]
    compiled = open_runtime(exported_openvino, dict(threads=1, precision="bf16")).compiled
    assert "bf" in str(compiled.get_property("INFERENCE_PRECISION_HINT")).lower()
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1


def test_unknown_options_and_providers(exported, exported_openvino):
    for path, options, sentence in (
        (exported.path, dict(provider="cud"), r"runtime.provider='cud' is unknown; here there is"),
        (exported.path, dict(provider=[]), r"runtime.provider=\[\] is unknown; here there is cpu"),
        (exported.path, dict(provider=3), r"runtime.provider=3 is unknown; here there is cpu"),
        (exported.path, dict(provider_options=[{}, {}]), r"give a dict for each of CPUExecution"),
        (exported.path, dict(threads=-1), r"runtime.threads=-1 is no number of threads; give 1"),
        (exported.path, dict(threads="two"), r"runtime.threads='two' is no number of threads"),
        (exported.path, dict(provider="tensorrt"), r"has cpu alone; install the build that has it"),
        (exported.path, dict(precison="fp32"), r"no such key; did you mean 'precision'"),
        (exported.path, dict(precision="bf16"), r"ONNX Runtime computes in what its file holds"),
        (exported_openvino, dict(device="NPX"), r"runtime.device='NPX': this OpenVINO sees CPU"),
        (exported_openvino, dict(device=3), r"runtime.device=3: this OpenVINO sees CPU"),
        (exported_openvino, dict(precision=["fp32"]), r"no precision=\['fp32'\]; choose fp32"),
        (exported_openvino, dict(precision="fp8"), r"no precision='fp8'; choose fp32, bf16, fp16"),
    ):
        with pytest.raises(UserError, match=sentence):
            open_runtime(path, options)


def write_foreign(path, opset: int = 18):
    """A model that another program made: it hands its input on."""
    from onnx import TensorProto, helper

    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])], "g", *map(list, zip(values))
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    return path


def test_files_of_other_programs(exported, tmp_path):
    with pytest.raises(UserError, match=r"other.onnx has no metadata of mmseg_gc.*mmseg_gc export"):
        read_metadata(write_foreign(tmp_path / "other.onnx"))
    with pytest.raises(UserError, match=r"new.onnx is of an opset .*is till opset \d+"):
        read_metadata(write_foreign(tmp_path / "new.onnx", opset=99))
    (tmp_path / "cut.onnx").write_bytes(exported.path.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"cut.onnx can't be read .*; it is damaged or no such"):
        read_metadata(tmp_path / "cut.onnx")
    with pytest.raises(UserError, match=r"nowhere.onnx doesn't exist; check the path"):
        read_metadata(tmp_path / "nowhere.onnx")
    with pytest.raises(UserError, match=r"https://a.b/c.onnx is an address: download the file"):
        read_metadata("https://a.b/c.onnx")


def test_weights_beside_an_xml(exported_openvino, tmp_path):
    (tmp_path / "alone.xml").write_bytes(exported_openvino.read_bytes())
    with pytest.raises(
        UserError, match=r"has no .bin beside it, which holds its weights; copy both"
    ):
        read_metadata(tmp_path / "alone.xml")


@pytest.mark.parametrize("name", ["a.pt2", "a.torchscript"])
def test_files_that_could_run_code_are_not_read(name):
    with pytest.raises(UserError, match=r"can run code when it is read, so nothing here reads it"):
        open_runtime(name)


@pytest.mark.parametrize(("name", "package"), [("a.onnx", "onnxruntime"), ("a.xml", "openvino")])
def test_a_runtime_that_is_not_installed(monkeypatch, tmp_path, name, package):
    (tmp_path / name).touch()
    monkeypatch.setattr(runtimes, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=rf"needs {package}, .*pip install 'mmseg_gc\[export\]'"):
        open_runtime(tmp_path / name)
    assert installed_runtimes() == {}


def test_threads_may_share_one_file(exported_openvino):
    """Each has a request of its own, else OpenVINO refuses."""
    from concurrent.futures import ThreadPoolExecutor

    run = open_runtime(exported_openvino)
    images = [torch.full((1, 3, 64, 64), float(level)) for level in range(4)]
    alone = [run(image).numpy() for image in images]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda image: run(image).numpy(), images))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))
