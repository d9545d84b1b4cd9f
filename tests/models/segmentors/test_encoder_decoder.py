import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from mmseg_gc.errors import UserError
from mmseg_gc.models import EncoderDecoder, SegDataPreProcessor
from mmseg_gc.registry import MODELS
from mmseg_gc.structures import SegDataSample

Cfg = Callable[..., dict]
Labelled = Callable[..., SegDataSample]
SLIDE = dict(mode="slide", crop_size=(32, 32), stride=(24, 24))


def random_statistics(model: nn.Module) -> nn.Module:
    """Batch norm that tells positions apart, unlike the fresh one of a zero-initialised block."""
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    return model.eval()


def r50_d8() -> dict:
    norm = dict(type="SyncBN", requires_grad=True)
    common = dict(num_classes=19, norm_cfg=norm, loss_decode=dict(type="CrossEntropyLoss"))
    return dict(
        type="EncoderDecoder",
        backbone=dict(
            type="ResNetV1c",
            depth=50,
            dilations=(1, 1, 2, 4),
            strides=(1, 2, 1, 1),
            norm_cfg=norm,
            contract_dilation=True,
        ),
        decode_head=dict(type="GCHead", in_channels=2048, in_index=3, channels=512, **common),
        auxiliary_head=dict(
            type="FCNHead",
            in_channels=1024,
            in_index=2,
            channels=256,
            num_convs=1,
            concat_input=False,
            **common,
        ),
    )


def expected_keys_of_r50_d8() -> list[str]:
    """The keys of mmsegmentation's published weights, in their order."""
    bn = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    keys = []
    for conv in (0, 3, 6):
        keys += [f"backbone.stem.{conv}.weight"] + [f"backbone.stem.{conv + 1}.{k}" for k in bn]
    for stage, blocks in enumerate((3, 4, 6, 3), start=1):
        for index in range(blocks):
            block = f"backbone.layer{stage}.{index}"
            for i in (1, 2, 3):
                keys += [f"{block}.conv{i}.weight"] + [f"{block}.bn{i}.{k}" for k in bn]
            if index == 0:
                keys += [f"{block}.downsample.0.weight"]
                keys += [f"{block}.downsample.1.{k}" for k in bn]
    conv_seg = ["conv_seg.weight", "conv_seg.bias"]
    head = [*conv_seg]
    for conv in ("convs.0", "convs.1", "conv_cat"):
        head += [f"{conv}.conv.weight"] + [f"{conv}.bn.{k}" for k in bn]
    for layer in ("conv_mask", *(f"channel_add_conv.{i}" for i in (0, 1, 3))):
        head += [f"gc_block.{layer}.{k}" for k in ("weight", "bias")]
    keys += [f"decode_head.{key}" for key in head]
    auxiliary = [*conv_seg, "convs.0.conv.weight", *(f"convs.0.bn.{k}" for k in bn)]
    return keys + [f"auxiliary_head.{key}" for key in auxiliary]


def test_r50_d8_has_the_published_keys_and_parameters() -> None:
    with torch.device("meta"):
        model = MODELS.build(r50_d8())
    assert list(model.state_dict()) == expected_keys_of_r50_d8()
    assert sum(p.numel() for p in model.parameters()) == 49_630_215


def test_building_leaves_the_config_alone(gcnet_cfg: Cfg) -> None:
    cfg = gcnet_cfg(test_cfg=SLIDE, pretrained="weights.pth")
    before = copy.deepcopy(cfg)
    model = MODELS.build(cfg)
    assert cfg == before
    assert model.backbone.init_cfg == dict(type="Pretrained", checkpoint="weights.pth")


def test_losses_of_all_heads(gcnet_cfg: Cfg, labelled: Labelled) -> None:
    samples = [labelled(torch.randint(0, 5, (32, 48))) for _ in range(2)]
    image = torch.randn(2, 3, 32, 48)
    cfg = gcnet_cfg()
    model = MODELS.build(cfg)
    losses = model(image, samples, mode="loss")
    assert list(losses) == ["decode.loss_ce", "decode.acc_seg", "aux.loss_ce", "aux.acc_seg"]
    several = MODELS.build({**cfg, "auxiliary_head": [cfg["auxiliary_head"]] * 2})
    assert list(several(image, samples, mode="loss"))[2:] == [
        f"aux_{i}.{name}" for i in (0, 1) for name in ("loss_ce", "acc_seg")
    ]
    alone = MODELS.build({**cfg, "auxiliary_head": None})
    assert not alone.with_auxiliary_head and not alone.with_neck
    assert list(alone(image, samples, mode="loss")) == ["decode.loss_ce", "decode.acc_seg"]


def test_learns(gcnet_cfg: Cfg, labelled: Labelled) -> None:
    model = MODELS.build(gcnet_cfg())
    label = torch.arange(5).repeat_interleave(40).view(1, 200).expand(64, 200)[:, ::2]
    image = (label / 2 - 1).expand(2, 3, 64, 100) + torch.randn(2, 3, 64, 100) / 10
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    history = []
    for _ in range(20):
        losses = model(image, [labelled(label)] * 2, mode="loss")
        optimizer.zero_grad()
        (losses["decode.loss_ce"] + losses["aux.loss_ce"]).backward()
        optimizer.step()
        history.append(losses["decode.loss_ce"].item())
    assert history[-1] < 0.7 * history[0]


@pytest.mark.parametrize("ignore_index", [11, 255])
def test_padding_follows_the_heads_ignore_index(
    ignore_index: int, gcnet_cfg: Cfg, labelled: Labelled
) -> None:
    cfg = gcnet_cfg(head=dict(ignore_index=ignore_index))
    cfg["data_preprocessor"].update(size=(32, 48), seg_pad_val=255)
    model = MODELS.build(cfg)
    images = [torch.randint(0, 256, (3, 24, 40), dtype=torch.uint8) for _ in range(2)]
    samples = [labelled(torch.randint(0, 5, (24, 40))) for _ in range(2)]
    data = model.data_preprocessor({"inputs": images, "data_samples": samples}, training=True)
    assert data["data_samples"][0].gt_sem_seg.data[0, -1, -1] == ignore_index
    losses = model(**data, mode="loss")
    losses["decode.loss_ce"].backward()
    assert torch.isfinite(losses["decode.loss_ce"])


def test_no_ignore_index_leaves_the_preprocessor_alone(gcnet_cfg: Cfg) -> None:
    model = MODELS.build(gcnet_cfg(head=dict(ignore_index=None)))
    assert model.data_preprocessor.seg_pad_val == 255
    preprocessor = SegDataPreProcessor(seg_pad_val=7)
    cfg = gcnet_cfg(data_preprocessor=preprocessor, head=dict(ignore_index=9))
    assert MODELS.build(cfg).data_preprocessor is preprocessor
    assert preprocessor.seg_pad_val == 9


@pytest.mark.parametrize(("key", "value"), [("num_classes", 6), ("ignore_index", 254)])
def test_heads_that_disagree(key: str, value: int, gcnet_cfg: Cfg) -> None:
    cfg = gcnet_cfg()
    cfg["auxiliary_head"][key] = value
    with pytest.raises(UserError, match=rf"decode_head.{key}=.*auxiliary_head.{key}={value}"):
        MODELS.build(cfg)


def test_a_bad_label_is_named_before_the_forward(gcnet_cfg: Cfg, labelled: Labelled) -> None:
    """And before labels go to the device, where a look would make it wait."""
    model = MODELS.build(gcnet_cfg())
    sample = labelled(torch.full((32, 48), 17), seg_map_path="x/y.png")
    data = dict(inputs=[torch.randn(3, 32, 48)], data_samples=[sample])
    with pytest.raises(UserError, match="id 17 in x/y.png"):
        model.data_preprocessor(data, True)
    assert model.data_preprocessor(data, False)["inputs"].shape == (1, 3, 32, 48)


def test_slide_equals_whole_where_the_crop_holds_the_image(gcnet_cfg: Cfg) -> None:
    model = random_statistics(MODELS.build(gcnet_cfg()))
    image = torch.randn(2, 3, 40, 56)
    with torch.no_grad():
        whole = model.inference(image, [{}, {}])
        for crop in ((40, 56), (64, 64)):
            model.test_cfg = dict(mode="slide", crop_size=crop, stride=(20, 20))
            torch.testing.assert_close(model.inference(image, [{}, {}]), whole)


def test_slide_is_the_mean_of_whole_windows_and_leaves_metas_alone(gcnet_cfg: Cfg) -> None:
    model = random_statistics(MODELS.build(gcnet_cfg(test_cfg=SLIDE)))
    image = torch.randn(1, 3, 32, 50)
    metas = [{"img_shape": (32, 50), "ori_shape": (64, 100)}]
    before = copy.deepcopy(metas)
    with torch.no_grad():
        out = model.slide_inference(image, metas)
        left = model.whole_inference(image[..., :32], metas)
        right = model.whole_inference(image[..., 18:], metas)
    assert metas == before
    torch.testing.assert_close(out[..., :18], left[..., :18])
    torch.testing.assert_close(out[..., 18:32], (left[..., 18:] + right[..., :14]) / 2)
    torch.testing.assert_close(out[..., 32:], right[..., 14:])


@pytest.mark.parametrize("test_cfg", [None, SLIDE])
def test_predict_of_padded_images(
    test_cfg: dict | None, gcnet_cfg: Cfg, labelled: Labelled
) -> None:
    cfg = gcnet_cfg(test_cfg={**(test_cfg or {}), "return_logits": True})
    cfg["data_preprocessor"]["test_cfg"] = dict(size_divisor=32)
    model = random_statistics(MODELS.build(cfg))
    images = [torch.randint(0, 256, (3, 40, 50), dtype=torch.uint8)]
    sample = labelled(torch.zeros(40, 50, dtype=torch.long), ori_shape=(80, 100))
    (out,) = model.test_step({"inputs": images, "data_samples": [sample]})
    assert out.seg_logits.data.shape == (5, 80, 100)
    assert out.pred_sem_seg.data.shape == (1, 80, 100)
    padded = nn.functional.pad(images[0].float(), (0, 14, 0, 24)).unsqueeze(0)
    with torch.no_grad():
        logits = model.inference(padded, [{}])[..., :40, :50]
        expected = nn.functional.interpolate(logits, (80, 100), mode="bilinear")[0]
    torch.testing.assert_close(out.seg_logits.data, expected)


def test_predict_without_samples_and_bare_scores(gcnet_cfg: Cfg) -> None:
    model = random_statistics(MODELS.build(gcnet_cfg(test_cfg=dict(return_logits=True))))
    image = torch.randn(2, 3, 40, 48)
    with torch.no_grad():
        outs = model(image, mode="predict")
        logits = model(image, mode="tensor")
    assert logits.shape == (2, 5, 5, 6)
    expected = nn.functional.interpolate(logits, (40, 48), mode="bilinear")
    torch.testing.assert_close(torch.stack([out.seg_logits.data for out in outs]), expected)


def test_a_neck_is_used(gcnet_cfg: Cfg) -> None:
    class Halve(nn.Module):
        def forward(self, features):
            return [feature / 2 for feature in features]

    model = MODELS.build(gcnet_cfg(neck=dict(type=Halve))).eval()
    image = torch.randn(1, 3, 32, 32)
    assert model.with_neck
    torch.testing.assert_close(
        model.extract_feat(image)[3], model.backbone(image)[3] / 2, rtol=0, atol=0
    )


@pytest.mark.parametrize(
    ("test_cfg", "words"),
    [
        (dict(mode="whole", crop=3), "test_cfg has no key 'crop'"),
        (dict(mode="sliding"), "mode='sliding'; choose whole or slide"),
        (dict(mode="slide", stride=(3, 3)), r"needs crop_size=\(h, w\)"),
        (dict(mode="slide", crop_size=(4, 4)), r"needs stride=\(h, w\)"),
        (dict(mode="slide", crop_size=4, stride=(3, 3)), "needs crop_size.*not 4"),
        (dict(mode="slide", crop_size=(4, 4), stride=(3, 0)), "needs stride"),
        (dict(mode="slide", crop_size=(4, 4), stride=(3, 5)), r"stride=\(3, 5\) leaves gaps"),
    ],
)
def test_wrong_test_cfg(test_cfg: dict, words: str, gcnet_cfg: Cfg) -> None:
    with pytest.raises(UserError, match=words):
        MODELS.build(gcnet_cfg(test_cfg=test_cfg))


def test_pretrained_twice(gcnet_cfg: Cfg) -> None:
    cfg = gcnet_cfg(pretrained="a.pth")
    cfg["backbone"]["pretrained"] = "b.pth"
    with pytest.raises(UserError, match="set `pretrained`"):
        MODELS.build(cfg)


def test_importable_as_in_mmseg() -> None:
    assert MODELS.get("EncoderDecoder") is EncoderDecoder
    assert MODELS.get("ContextBlock").__module__ == "mmseg_gc.models.layers.gc_block"
