"""How nodes and axes of a file are called, and what a format needs."""

import pytest

from mmseg_gc.deploy import formats
from mmseg_gc.deploy.formats import OnnxFile, require_format
from mmseg_gc.errors import UserError


def test_nodes_have_the_names_of_modules(exported):
    import onnx

    file = OnnxFile(onnx.load(exported.path))
    assert file.opset == 18
    names = [node.name for node in file.proto.graph.node]
    assert len(set(names)) == len(names) and "decode_head.conv_seg/Conv" in names
    assert file.nodes_of(lambda module: module.endswith("gc_block.conv_mask")) == [
        "decode_head.gc_block.conv_mask/Conv"
    ]
    [image], [logits] = file.proto.graph.input, file.proto.graph.output
    axes = [
        [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (image, logits)
    ]
    assert axes[0] == ["batch", 3, "height", "width"] and axes[1] == [
        "batch",
        11,
        "rows",
        "columns",
    ]
    assert (image.name, logits.name) == ("image", "logits")
    onnx.checker.check_model(file.proto)


def test_unknown_and_missing_formats(monkeypatch):
    with pytest.raises(UserError, match=r"no format 'tensorrt'; choose onnx, openvino, pt2, torch"):
        require_format("tensorrt")
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    require_format("pt2")
    with pytest.raises(UserError, match=r"export to openvino needs onnx, onnxscript, openvino"):
        require_format("openvino")


def test_a_network_that_can_not_be_followed(tiny_files):
    """One that asks for the numbers of its image's size."""
    import torch

    from mmseg_gc.apis import init_model
    from mmseg_gc.deploy.network import ExportNetwork

    class Asking(torch.nn.Module):
        def forward(self, image):
            return (image * (1.0 if int(image.sum()) > 3 else 2.0),)

    class First(torch.nn.Module):
        def forward(self, features):
            return features[0]

    network = ExportNetwork(init_model(*tiny_files, accelerate="none")).eval()
    network.backbone, network.decode_head = Asking(), First()
    image = formats.example(network, 3, None)
    assert image.shape == (2, 3, 64, 96)
    with pytest.raises(UserError, match=r"can't follow this network for any size .*by --shape"):
        formats.as_program(network, image, is_static=False)
