"""Eight bits: what is kept in float, and the gate that asks for it."""

from pathlib import Path

import numpy as np
import pytest

from mmseg_gc.deploy import int8
from mmseg_gc.deploy.formats import OnnxFile
from mmseg_gc.deploy.int8 import SENSITIVE, is_sensitive, quantised, require_int8
from mmseg_gc.errors import UserError


def test_what_is_sensitive():
    first, second, third = SENSITIVE
    assert not first and not is_sensitive("decode_head.conv_seg", first)
    for name in ("decode_head.conv_seg", "backbone.layer3.0.context_block.conv_mask"):
        assert is_sensitive(name, second)
    assert not is_sensitive("decode_head.convs.0.conv", second)
    assert is_sensitive("decode_head.convs.0.conv", third)
    assert is_sensitive("backbone.stem.0", third) and is_sensitive("backbone.conv1", third)
    assert not is_sensitive("backbone.layer1.0.conv1", third)


def test_formats_without_int8(monkeypatch):
    with pytest.raises(UserError, match=r"--int8 is for onnx and openvino, not for torchscript"):
        require_int8("torchscript")
    monkeypatch.setattr(int8, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"for openvino needs nncf, .*pip install 'mmseg_gc\[exp"):
        require_int8("openvino")
    require_int8("onnx")


@pytest.mark.slow
@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_weights_become_eight_bits_but_those_kept(exported, tmp_path, to):
    library = pytest.importorskip("onnx")
    pytest.importorskip("nncf", reason="needs the export extra: pip install '.[export]'")
    images = [np.random.default_rng(i).normal(size=(1, 3, 64, 96)).astype("f4") for i in range(2)]

    def written(kept, name) -> tuple[int, str]:
        onnx = OnnxFile(library.load(exported.path))
        path = Path(tmp_path, f"{name}{'.onnx' if to == 'onnx' else '.xml'}")
        quantised(to, onnx, images, kept).save(path, {})
        files = [path, path.with_suffix(".bin")]
        return sum(file.stat().st_size for file in files if file.is_file()), path

    whole, _ = written((), "all")
    less, path = written(SENSITIVE[2], "less")
    float32 = exported.path.stat().st_size
    assert whole < less < float32 and whole < 0.5 * float32
    text = path.read_bytes()
    if to == "onnx":
        kinds = {node.name: node for node in library.load(path).graph.node}
        assert any("QuantizeLinear" in name for name in kinds)
        weights = kinds["decode_head.conv_seg/Conv"].input[1]
        assert "DequantizeLinear" not in weights and "quantized" not in weights
    else:
        assert b"FakeQuantize" in text
