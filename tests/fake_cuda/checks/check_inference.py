"""Every way to label an image, plain and prepared: on one device, without waits, in bounds."""

import numpy as np
import pytest
import torch
from fake_cuda.device import FakeGpu
from fake_cuda.models import batch, gcnet, prepared, views
from mmengine.structures import PixelData

from mmseg_gc.accelerate import cudnn
from mmseg_gc.apis import inference_model, init_model
from mmseg_gc.engine.validation_loss import ValidationLoss
from mmseg_gc.evaluation import IoUMetric
from mmseg_gc.models import SegTTAModel
from mmseg_gc.report.calibration import CalibrationWatcher
from mmseg_gc.structures import SegDataSample

CONFIG = "configs/gcnet/gcnet_r18-d8_1xb4-demo_scenes-128x256.py"
MEBIBYTE = 1 << 20
SLIDE = dict(mode="slide", crop_size=(64, 64), stride=(48, 48))
ONE_CHANNEL = dict(
    num_classes=2,
    head=dict(out_channels=1, loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=True)),
)

# Of the model, and of the batch.
WAYS = {
    "whole": ({}, dict(shape=(64, 128))),
    "two of another size": ({}, dict(shape=(64, 128), original=(50, 100), count=2)),
    "aligned corners": (dict(head=dict(align_corners=True)), dict(shape=(65, 129))),
    "padded": (
        {},
        dict(shape=(64, 128), original=(50, 90), img_padding_size=(0, 28, 0, 4)),
    ),
    "padded by the model": (
        dict(data_preprocessor=dict(test_cfg=dict(size_divisor=32))),
        dict(shape=(50, 90), original=(100, 180)),
    ),
    "mirrored": (
        {},
        dict(shape=(64, 128), original=(50, 100), flip=True, flip_direction="horizontal"),
    ),
    "upside down": ({}, dict(shape=(64, 128), flip=True, flip_direction="vertical")),
    "windows": (dict(test_cfg=SLIDE), dict(shape=(100, 150), original=(200, 300))),
    "windows in a budget": (
        dict(test_cfg=dict(SLIDE, memory_budget="512MiB")),
        dict(shape=(100, 150), original=(200, 300)),
    ),
    "logits": (
        dict(test_cfg=dict(mode="whole", return_logits=True)),
        dict(shape=(64, 128), original=(50, 100)),
    ),
    "one channel": (ONE_CHANNEL, dict(shape=(64, 128), original=(50, 100))),
}


def assert_labelled(samples: list[SegDataSample], size: tuple[int, int]) -> None:
    for sample in samples:
        labels = sample.pred_sem_seg.data
        assert labels.device == torch.device("cuda:0")
        assert labels.shape == (1, *size) and labels.dtype == torch.uint8


@pytest.mark.parametrize(
    ("way", "precision"),
    [
        *((way, None) for way in WAYS),
        *((way, "fp16") for way in ("padded", "windows", "logits", "one channel")),
        *(
            pytest.param(way, precision, marks=pytest.mark.slow)
            for way in WAYS
            for precision in ("fp32", "fp16", "bf16")
        ),
    ],
)
def test_every_way(gpu: FakeGpu, way: str, precision: str | None):
    of_model, of_batch = WAYS[way]
    model = prepared(gcnet(**of_model).eval(), precision)
    with torch.no_grad(), gpu.record() as record:
        samples = model.test_step(batch(**of_batch))
    assert_labelled(samples, of_batch.get("original") or of_batch["shape"])
    assert len(samples) == of_batch.get("count", 1)
    if "return_logits" in of_model.get("test_cfg", {}):
        assert samples[0].seg_logits.data.is_cuda
    assert not record.waits and not record.blocking_copies


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_prepared_convolutions(gpu: FakeGpu, precision: str):
    """Channels last, in the precision asked for; the classifier is a product in float32.

    Its convolution would be TF32's.
    """
    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    model = prepared(gcnet().eval(), precision)
    with torch.no_grad(), gpu.record() as record:
        assert_labelled(model.test_step(batch((64, 128))), (64, 128))
    assert all(convolution.channels_last for convolution in record.convolutions)
    assert {convolution.dtype for convolution in record.convolutions} == {dtype}
    assert record.launches["aten::addmm"] == 1
    # Norms are in the weights. In half precision cuDNN adds biases and shortcuts, and cuts at zero.
    assert not any("batch_norm" in name for name in record.launches)
    half = precision != "fp32"
    assert (record.launches["aten::cudnn_convolution_relu"] > 10) == half
    assert (record.launches["aten::cudnn_convolution_add_relu"] >= 8) == half
    assert record.launches["aten::relu_"] <= 3 or not half  # in the head


def test_convolutions_that_cudnn_refuses(gpu: FakeGpu, monkeypatch):
    """They are torch's, and cuDNN isn't asked a second time."""
    asked = []

    def refuse(*args):
        asked.append(args)
        raise RuntimeError("GET was unable to find an engine to execute this computation")

    monkeypatch.setattr(cudnn, "_refused", set())
    monkeypatch.setattr(cudnn, "FUSED", refuse)
    model = prepared(gcnet().eval(), "fp16")
    for _ in range(2):
        with torch.no_grad(), gpu.record() as record:
            assert_labelled(model.test_step(batch((64, 128))), (64, 128))
        assert not record.launches["aten::cudnn_convolution_relu"]
        assert record.launches["aten::relu_"] > 10
    assert 0 < len(asked) == len(cudnn._refused)


@pytest.mark.parametrize(
    ("precision", "test_cfg", "count"),
    [(None, None, 2), ("fp32", None, 1), ("fp16", SLIDE, 1), ("bf16", None, 1)],
)
def test_views(gpu: FakeGpu, precision: str | None, test_cfg: dict | None, count: int):
    """ms+flip: whole images and windows."""
    model = SegTTAModel(prepared(gcnet(test_cfg=test_cfg).eval(), precision))
    with torch.no_grad(), gpu.record() as record:
        samples = model.test_step(views((64, 96), ratios=(0.5, 1.0), count=count))
    assert len(samples) == count
    assert_labelled(samples, (64, 96))
    assert not record.waits and not record.blocking_copies


def test_views_merged_by_hand(gpu: FakeGpu):
    model = SegTTAModel(gcnet().eval())
    predictions = [SegDataSample(metainfo=dict(ori_shape=(8, 8))) for _ in range(3)]
    for prediction in predictions:
        prediction.seg_logits = PixelData(data=torch.zeros(19, 8, 8, device="cuda:0"))
    with gpu.record() as record:
        merged = model.merge_preds([predictions])
    assert_labelled(merged, (8, 8))
    assert not record.waits and not record.blocking_copies


def test_the_api(gpu: FakeGpu):
    narrow = {"model.backbone.base_channels": 8, "model.backbone.stem_channels": 8}
    narrow |= {"model.decode_head.in_channels": 64, "model.auxiliary_head.in_channels": 32}
    narrow["model.test_cfg.mode"] = "whole"
    model = init_model(CONFIG, device="cuda:0", cfg_options=narrow)
    image = np.zeros((64, 96, 3), np.uint8)
    for precision in (None, "bf16"):
        model = prepared(model, precision)
        for aug_test in (False, True):
            assert_labelled([inference_model(model, image, aug_test=aug_test)], (64, 96))


@pytest.mark.parametrize("way", ["whole", "windows", "one channel"])
def test_what_sees_the_logits_waits_for_nothing(gpu: FakeGpu, way: str):
    of_model, of_batch = WAYS[way]
    model = gcnet(**of_model).eval()
    watcher = CalibrationWatcher(255, None)
    size = of_batch.get("original") or of_batch["shape"]
    data = batch(**of_batch)
    for one in data["data_samples"]:
        one.gt_sem_seg = PixelData(data=torch.zeros(1, *size, dtype=torch.uint8))
    with torch.no_grad(), gpu.record() as record, ValidationLoss(model) as loss:
        model.watchers.append(watcher)
        [done] = model.test_step(data)
    assert not record.waits and not record.blocking_copies
    assert watcher.take(done).is_cuda and watcher.take(done) is None
    with gpu.record() as record:
        loss.read()
    assert len(record.waits) == 1


def test_the_metric_reads_once(gpu: FakeGpu):
    """However many images there are; their labels may still be on the host."""
    metric = IoUMetric()
    metric.dataset_meta = {"classes": list(map(str, range(19)))}
    labels = torch.zeros(1, 64, 96, dtype=torch.uint8)
    with gpu.record() as record:
        for device in ("cuda:0", "cpu", "cuda:0"):
            data = dict(
                pred_sem_seg=dict(data=labels.to("cuda:0", non_blocking=True)),
                gt_sem_seg=dict(data=labels.to(device, non_blocking=True)),
                img_path="x.png",
            )
            metric.process({}, [data])
    assert not record.waits and not record.blocking_copies
    with gpu.record() as record:
        metric.evaluate(3)
    assert len(record.waits) == 2  # for the ids that occur, and for the counts


# MiB beyond the model, which is small here. Of ADE20K's they were 9,267, and in mmsegmentation
# 3,388, when all logits of the original size were made at once.
@pytest.mark.parametrize(
    ("num_classes", "of_batch", "bound"),
    [
        (150, dict(shape=(512, 683), original=(2000, 2668)), 350),
        (19, dict(shape=(1024, 2048)), 350),
    ],
)
def test_peak_of_labels(gpu: FakeGpu, num_classes: int, of_batch: dict, bound: int):
    model = prepared(gcnet(num_classes=num_classes).eval(), "fp16")
    with torch.no_grad(), gpu.record() as record:
        model.test_step(batch(**of_batch))
    assert record.peak <= bound * MEBIBYTE


def test_peak_of_views(gpu: FakeGpu):
    """All views' logits are held, but small, as the network made them."""
    model = SegTTAModel(prepared(gcnet(num_classes=150).eval(), "fp16"))
    data = views((512, 683), ratios=(1.0, 1.75))
    with torch.no_grad(), gpu.record() as record:
        model.test_step(data)
    assert record.peak <= 700 * MEBIBYTE
