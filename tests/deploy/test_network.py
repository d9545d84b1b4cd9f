"""What the exported function computes, and which models have none."""

import numpy as np
import pytest
import torch

from mmseg_gc.apis import init_model
from mmseg_gc.deploy.network import ExportNetwork, require_exportable
from mmseg_gc.errors import UserError
from mmseg_gc.registry import MODELS


@pytest.fixture(scope="module")
def plain(tiny_files):
    return init_model(*tiny_files, accelerate="none")


def test_baked_steps_are_the_preprocessor_s(plain):
    """uint8 BGR in, by the published means of ImageNet in RGB."""
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 41, 37, 3), np.uint8))
    mean, std = torch.tensor([[123.675, 116.28, 103.53], [58.395, 57.12, 57.375]])
    normal = ((image.flip(-1).float() - mean) / std).permute(0, 3, 1, 2)
    logits = ExportNetwork(plain, bake=True)(image)
    assert logits.shape == (2, 11, 6, 5)
    assert torch.allclose(logits, ExportNetwork(plain)(normal), atol=1e-5)
    resized = torch.nn.functional.interpolate(logits, (41, 37), mode="bilinear")
    probabilities = ExportNetwork(plain, output="probabilities", bake=True)(image)
    assert torch.allclose(probabilities, resized.softmax(1), atol=1e-6)
    labels = ExportNetwork(plain, output="labels", bake=True)(image)
    assert labels.dtype == torch.uint8 and torch.equal(labels.long(), resized.argmax(1))


def test_one_channel_is_held_to_its_threshold(gcnet_cfg, one_thread_and_seed):
    loss = dict(type="CrossEntropyLoss", use_sigmoid=True)
    head = dict(out_channels=1, threshold=0.6, loss_decode=loss)
    cfg = gcnet_cfg(head)
    for part in ("decode_head", "auxiliary_head"):
        cfg[part]["num_classes"] = 2
    model = MODELS.build(cfg).eval()
    torch.nn.init.normal_(model.decode_head.conv_seg.weight, std=30)
    image = torch.randn(1, 3, 32, 32)
    probabilities = ExportNetwork(model, output="probabilities")(image)
    labels = ExportNetwork(model, output="labels")(image)
    assert probabilities.shape == (1, 1, 32, 32) and labels.shape == (1, 32, 32)
    assert torch.equal(labels.bool(), probabilities[:, 0] > 0.6) and 0 < labels.float().mean() < 1


def test_models_that_can_not_be_exported(tiny_model, plain, gcnet_cfg, one_thread_and_seed):
    with pytest.raises(
        UserError, match=r"prepared for inference can't be exported: build the plain"
    ):
        require_exportable(tiny_model)
    with pytest.raises(UserError, match=r"a Linear can't be exported: only segmentors"):
        require_exportable(torch.nn.Linear(1, 1))
    with pytest.raises(UserError, match=r"no output='scores'; choose logits, labels, prob"):
        ExportNetwork(plain, output="scores")

    class ModulatedDeformConv2dPack(torch.nn.Module):
        __module__ = "mmcv.ops.modulated_deform_conv"

    model = MODELS.build(gcnet_cfg())
    model.backbone.layer3[0].conv2 = ModulatedDeformConv2dPack()
    with pytest.raises(UserError, match=r"backbone.layer3.0.conv2 is a Modulated.*deformable conv"):
        require_exportable(model)

    model = MODELS.build(gcnet_cfg())
    model.encode_decode = lambda inputs, metas: inputs
    with pytest.raises(UserError, match=r"predicts by methods of its own, which a file"):
        require_exportable(model)
