from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from mmseg_gc.errors import UserError
from mmseg_gc.models import BaseSegmentor
from mmseg_gc.structures import SegDataSample


@pytest.fixture
def segmentor() -> BaseSegmentor:
    model = BaseSegmentor()
    model.align_corners = False
    model.decode_head = SimpleNamespace(threshold=0.5)
    return model


def result(segmentor: BaseSegmentor, logits: torch.Tensor, **metas: object) -> SegDataSample:
    sample = SegDataSample(metainfo=metas)
    assert segmentor.postprocess_result(logits, [sample])[0] is sample
    return sample


LOGITS = torch.arange(24.0).view(1, 2, 3, 4)


def test_cuts_padding_of_the_preprocessor_or_of_a_transform(segmentor: BaseSegmentor) -> None:
    metas = dict(ori_shape=(2, 2), padding_size=(1, 1, 1, 0))
    assert torch.equal(result(segmentor, LOGITS, **metas).seg_logits.data, LOGITS[0, :, 1:, 1:3])
    metas = dict(ori_shape=(2, 3), padding_size=(9, 9, 9, 9), img_padding_size=(0, 1, 0, 1))
    assert torch.equal(result(segmentor, LOGITS, **metas).seg_logits.data, LOGITS[0, :, :2, :3])


@pytest.mark.parametrize(
    ("direction", "dims"), [("horizontal", [2]), ("vertical", [1]), ("diagonal", [1, 2])]
)
def test_undoes_a_flip(segmentor: BaseSegmentor, direction: str, dims: list[int]) -> None:
    metas = dict(ori_shape=(3, 4), flip=True, flip_direction=direction)
    assert torch.equal(result(segmentor, LOGITS, **metas).seg_logits.data, LOGITS[0].flip(dims))


def test_resizes_to_the_original(segmentor: BaseSegmentor) -> None:
    out = result(segmentor, torch.tensor([[[[0.0, 4.0]], [[1.0, 1.0]]]]), ori_shape=(1, 4))
    assert out.seg_logits.data[0, 0].tolist() == [0.0, 1.0, 3.0, 4.0]
    assert out.pred_sem_seg.data.tolist() == [[[1, 0, 0, 0]]]
    segmentor.align_corners = True
    out = result(segmentor, torch.tensor([[[[0.0, 4.0]], [[1.0, 1.0]]]]), ori_shape=(1, 3))
    assert out.seg_logits.data[0, 0].tolist() == [0.0, 2.0, 4.0]


def test_samples_of_one_batch_may_have_different_originals(segmentor: BaseSegmentor) -> None:
    samples = [SegDataSample(metainfo=dict(ori_shape=s)) for s in ((3, 4), (6, 5))]
    segmentor.postprocess_result(LOGITS.repeat(2, 1, 1, 1), samples)
    assert [s.pred_sem_seg.shape for s in samples] == [(3, 4), (6, 5)]


def test_without_samples_scores_stay_as_they_are(segmentor: BaseSegmentor) -> None:
    (sample,) = segmentor.postprocess_result(LOGITS)
    assert torch.equal(sample.seg_logits.data, LOGITS[0])
    assert sample.pred_sem_seg.data.eq(1).all()


def test_one_channel_becomes_a_probability(segmentor: BaseSegmentor) -> None:
    logits = torch.tensor([[[[0.1, -0.1, 3.0]]]])
    out = result(segmentor, logits, ori_shape=(1, 3))
    torch.testing.assert_close(out.seg_logits.data, logits[0].sigmoid())
    assert out.pred_sem_seg.data.tolist() == [[[1, 0, 1]]]


def test_forward_modes(segmentor: BaseSegmentor, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: dict[str, Callable] = {"loss": "loss", "predict": "predict", "tensor": "_forward"}
    for mode, method in calls.items():
        monkeypatch.setattr(BaseSegmentor, method, lambda *args, mode=mode: mode)
        assert segmentor(LOGITS, None, mode) == mode
    with pytest.raises(UserError, match="mode='train'"):
        segmentor(LOGITS, None, "train")
