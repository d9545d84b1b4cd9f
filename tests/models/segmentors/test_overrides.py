"""A subclass that does a step its own way is asked for it, in every way of testing."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mmseg_gc.accelerate import prepare_for_inference
from mmseg_gc.models import EncoderDecoder, GCHead, SegTTAModel
from mmseg_gc.models.segmentors.base import overrides
from mmseg_gc.registry import MODELS
from mmseg_gc.structures import SegDataSample

SIZE = (40, 56)
IMAGE = torch.randint(0, 256, (3, *SIZE), generator=torch.Generator().manual_seed(3)).byte()
SLIDE = dict(mode="slide", crop_size=(32, 32), stride=(24, 24))


def second_class_everywhere(logits: Tensor) -> Tensor:
    logits = logits.clone()
    logits[:, 1] = logits.max() + 1
    return logits


class OwnEncodeDecode(EncoderDecoder):
    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        assert inputs.is_floating_point()
        assert all(meta["img_shape"] == tuple(inputs.shape[2:]) for meta in batch_img_metas)
        return second_class_everywhere(super().encode_decode(inputs, batch_img_metas))


class OwnEncodeDecodeWithoutTheBase(EncoderDecoder):
    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        features = self.extract_feat(inputs)
        logits = self.decode_head.predict(features, batch_img_metas, self.test_cfg)
        return second_class_everywhere(logits)


class OwnInference(EncoderDecoder):
    def inference(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        assert inputs.is_floating_point()
        return second_class_everywhere(super().inference(inputs, batch_img_metas))


class OwnPostprocessing(EncoderDecoder):
    def postprocess_result(self, seg_logits: Tensor, data_samples: list | None = None) -> list:
        return super().postprocess_result(second_class_everywhere(seg_logits), data_samples)


class OwnPredict(EncoderDecoder):
    def predict(self, inputs: Tensor, data_samples: list | None = None) -> list[SegDataSample]:
        assert inputs.is_floating_point()
        samples = super().predict(inputs, data_samples)
        for sample in samples:
            sample.pred_sem_seg.data.fill_(1)
            if "seg_logits" in sample:
                sample.seg_logits.data = second_class_everywhere(sample.seg_logits.data[None])[0]
        return samples


class OwnPredictOfTheHead(GCHead):
    def predict(self, inputs: tuple, batch_img_metas: list[dict], test_cfg: dict) -> Tensor:
        return second_class_everywhere(super().predict(inputs, batch_img_metas, test_cfg))


class OwnPredictByFeat(GCHead):
    def predict_by_feat(self, seg_logits: Tensor, batch_img_metas: list[dict]) -> Tensor:
        return second_class_everywhere(super().predict_by_feat(seg_logits, batch_img_metas))


SEGMENTORS = [
    OwnEncodeDecode,
    OwnEncodeDecodeWithoutTheBase,
    OwnInference,
    OwnPostprocessing,
    OwnPredict,
]
HEADS = [OwnPredictOfTheHead, OwnPredictByFeat]


def batch(flips: int = 0) -> dict:
    """One image, or lists of its two views for test-time augmentation."""
    metas = [dict(ori_shape=SIZE, img_shape=SIZE), dict(ori_shape=SIZE, img_shape=SIZE, flip=True)]
    metas[1]["flip_direction"] = "horizontal"
    samples = [SegDataSample(metainfo=meta) for meta in metas]
    if not flips:
        return {"inputs": [IMAGE], "data_samples": samples[:1]}
    return {"inputs": [[IMAGE], [IMAGE.flip(2)]], "data_samples": [[s] for s in samples]}


@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize("test_cfg", [dict(mode="whole"), SLIDE], ids=["whole", "slide"])
@pytest.mark.parametrize("part", [None, *SEGMENTORS, *HEADS])
def test_in_every_way_of_testing(
    part: type | None, test_cfg: dict, prepared: bool, gcnet_cfg: Callable[..., dict]
) -> None:
    cfg = gcnet_cfg(test_cfg=test_cfg)
    if part is not None and issubclass(part, EncoderDecoder):
        cfg["type"] = part
    elif part is not None:
        cfg["decode_head"]["type"] = part
    model = MODELS.build(cfg).eval()
    torch.nn.init.normal_(model.decode_head.conv_seg.weight)
    if prepared:
        model = prepare_for_inference(model)
    with torch.no_grad():
        (plain,) = model.test_step(batch())
        (merged,) = SegTTAModel(model).test_step(batch(flips=1))
    for sample in (plain, merged):
        labels = sample.pred_sem_seg.data
        assert labels.shape == (1, *SIZE)
        # By itself the network doesn't give this class everywhere.
        assert labels.eq(1).all() == (part is not None)
    assert "return_logits" not in model.test_cfg


def test_merge_preds_of_one_s_own(gcnet_cfg: Callable[..., dict]) -> None:
    class Last(SegTTAModel):
        def merge_preds(self, data_samples_list: list) -> list:
            assert all("seg_logits" in view for views in data_samples_list for view in views)
            return [views[-1] for views in data_samples_list]

    model = MODELS.build(gcnet_cfg()).eval()
    with torch.no_grad():
        (sample,) = Last(model).test_step(batch(flips=1))
    assert sample.flip


def test_a_method_put_on_one_model_counts_as_well(gcnet_cfg: Callable[..., dict]) -> None:
    model = MODELS.build(gcnet_cfg())
    assert not overrides(model, EncoderDecoder, "encode_decode", "predict")
    model.encode_decode = lambda inputs, metas: torch.zeros(len(inputs), 5, *inputs.shape[2:])
    assert overrides(model, EncoderDecoder, "encode_decode")
    assert not overrides(model, EncoderDecoder, "predict")
    with torch.no_grad():
        (sample,) = model.eval().test_step(batch())
    assert not sample.pred_sem_seg.data.any()
