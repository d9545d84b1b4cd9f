"""The loss of a validation beside one that is computed from the whole logits."""

import pytest
import torch
import torch.nn.functional as F

from mmseg_gc.engine.validation_loss import ValidationLoss
from mmseg_gc.errors import UserError
from mmseg_gc.inference import label_maps
from mmseg_gc.models import SegTTAModel
from mmseg_gc.registry import MODELS

SLIDE = dict(mode="slide", crop_size=(32, 32), stride=(24, 24))
SIGMOID = dict(type="CrossEntropyLoss", use_sigmoid=True)
SUM = dict(type="CrossEntropyLoss", loss_weight=0.4, reduction="sum", loss_name="loss_sum")
MODELS_OF = {
    "whole": {},
    "logits kept": dict(test_cfg=dict(mode="whole", return_logits=True)),
    "windows": dict(test_cfg=SLIDE),
    "one channel": dict(head=dict(out_channels=1, loss_decode=SIGMOID)),
    "weights": dict(
        head=dict(loss_decode=dict(type="CrossEntropyLoss", class_weight=[1, 2, 3, 4, 5]))
    ),
    "ignored pixels don't count": dict(
        head=dict(loss_decode=dict(type="CrossEntropyLoss", avg_non_ignore=True))
    ),
    "a loss of whole images": dict(head=dict(loss_decode=[dict(type="CrossEntropyLoss"), SUM])),
}


@pytest.fixture
def scene(one_thread_and_seed, labelled):
    """Two images (2, 3, 40, 56) and their samples of another size, with ignored pixels."""

    def make(num_classes: int = 5):
        samples = []
        for seed in range(2):
            draw = torch.Generator().manual_seed(seed)
            label = torch.randint(0, num_classes, (44, 60), generator=draw).to(torch.uint8)
            label[:9] = 255
            samples.append(labelled(label))
        return torch.randn(2, 3, 40, 56), samples

    return make


def expected(logits: torch.Tensor, label: torch.Tensor, head: dict) -> float:
    """Of one image's logits (1, C, H, W)."""
    label = label.long()
    cfg = head.get("loss_decode", {})
    if head.get("out_channels") == 1:
        valid = label != 255
        target = label.where(valid, 0).float()
        one = F.binary_cross_entropy_with_logits(logits[:, 0], target, reduction="none")
        return float((one * valid).mean())
    weight = cfg.get("class_weight") if isinstance(cfg, dict) else None
    weight = None if weight is None else torch.tensor(weight).float()
    total = F.cross_entropy(logits, label, weight=weight, ignore_index=255, reduction="sum")
    valid = label[label != 255]
    if weight is not None:
        return float(total / weight[valid].sum())
    if isinstance(cfg, dict) and cfg.get("avg_non_ignore"):
        return float(total / len(valid))
    return float(total / label.numel())


@pytest.mark.parametrize("chunk_bytes", [1 << 20, 3000])
@pytest.mark.parametrize("way", MODELS_OF)
def test_losses_by_hand(way, chunk_bytes, scene, gcnet_cfg, monkeypatch):
    monkeypatch.setitem(label_maps.CHUNK_BYTES, "cpu", chunk_bytes)
    options = MODELS_OF[way]
    head = options.get("head", {})
    cfg = gcnet_cfg(**options)
    num_classes = 2 if head.get("out_channels") == 1 else 5
    cfg["decode_head"]["num_classes"] = cfg["auxiliary_head"]["num_classes"] = num_classes
    model = MODELS.build(cfg).eval()
    images, samples = scene(num_classes)
    runs = []
    model.backbone.register_forward_hook(lambda *_: runs.append(1))
    with torch.no_grad():
        before = [s.pred_sem_seg.data.clone() for s in model.predict(images, samples)]
        of_prediction = len(runs)
        whole = model.inference(images, [s.metainfo for s in samples])
        whole = F.interpolate(whole, (44, 60), mode="bilinear", align_corners=False)
        runs.clear()
        with ValidationLoss(model) as loss:
            after = model.predict(images, samples)
    assert len(runs) == of_prediction, "a second forward"
    assert all(
        torch.equal(one, two.pred_sem_seg.data) for one, two in zip(before, after, strict=True)
    )
    by_hand = [
        expected(logits[None], sample.gt_sem_seg.data, head)
        for logits, sample in zip(whole, samples, strict=True)
    ]
    mean = sum(by_hand) / 2
    if way == "a loss of whole images":
        pixels = 44 * 60
        assert loss.read() == pytest.approx(
            {
                "val_loss": mean * (1 + 0.4 * pixels),
                "val_loss_ce": mean,
                "val_loss_sum": mean * 0.4 * pixels,
            },
            rel=1e-4,
        )
    else:
        assert loss.read() == pytest.approx({"val_loss": mean}, rel=1e-4)
    assert model.watchers == []


def test_it_is_the_training_s_loss(scene, gcnet_cfg):
    """Where a training would see the same whole image."""
    model = MODELS.build(gcnet_cfg()).eval()
    images, samples = scene()
    for sample in samples:
        sample.gt_sem_seg.set_field(sample.gt_sem_seg.data[:, :40, :56].clone(), "cut")
        sample.gt_sem_seg = type(sample.gt_sem_seg)(data=sample.gt_sem_seg.cut)
        sample.set_metainfo(dict(img_shape=(40, 56), ori_shape=(40, 56)))
    with torch.no_grad(), ValidationLoss(model) as loss:
        model.predict(images, samples)
        trained = model.loss(images, samples)["decode.loss_ce"]
    assert loss.read()["val_loss"] == pytest.approx(float(trained), rel=1e-4)


def test_ranks_add_up(scene, gcnet_cfg, monkeypatch):
    model = MODELS.build(gcnet_cfg()).eval()
    images, samples = scene()
    with torch.no_grad(), ValidationLoss(model) as loss:
        model.predict(images, samples)
    alone = loss.read()["val_loss"]
    other = torch.tensor([10.0, 3.0], dtype=torch.float64)  # of another rank: 3 images, 10 in all
    monkeypatch.setattr("mmseg_gc.engine.validation_loss.all_reduce", lambda sums: sums.add_(other))
    assert loss.read()["val_loss"] == pytest.approx((2 * alone + 10) / 5)


def test_what_it_cannot_be_computed_of(scene, gcnet_cfg):
    model = MODELS.build(gcnet_cfg())
    with pytest.raises(UserError, match="val_cfg.loss: a SegTTAModel makes no logits"):
        ValidationLoss(SegTTAModel(model))
    images, samples = scene()
    for sample in samples:
        sample.set_metainfo(dict(ori_shape=(20, 20), img_path="a.png"))
    for size in (r"a label of \(44, 60\) pixels, not \(20, 20\),", "no label"):
        refused = pytest.raises(UserError, match=rf"a\.png has {size} to compute the loss from")
        with refused, torch.no_grad(), ValidationLoss(model.eval()):
            model.predict(images, samples)
        samples[0] = samples[0].new(metainfo=samples[0].metainfo, data={})


def test_ids_that_are_no_class_are_left_to_the_metric(scene, gcnet_cfg):
    model = MODELS.build(gcnet_cfg()).eval()
    images, samples = scene()
    samples[0].gt_sem_seg.data[0, 20, 20] = 200
    with torch.no_grad(), ValidationLoss(model) as loss:
        model.predict(images, samples)
    assert loss.read()["val_loss"] > 0
