import math
from collections.abc import Callable

import pytest
import torch
from mmengine.structures import PixelData
from torch import nn

from mmseg_gc.accelerate import prepare_for_inference
from mmseg_gc.models import BaseSegmentor, SegTTAModel
from mmseg_gc.registry import MODELS
from mmseg_gc.structures import SegDataSample


class Canned(BaseSegmentor):
    """A segmentor that answers with the logits it is given."""

    def __init__(self, threshold: float | None = None) -> None:
        super().__init__()
        self.decode_head = nn.Module()
        self.decode_head.threshold = threshold

    def test_step(self, data: dict) -> list[SegDataSample]:
        for logits, sample in zip(data["inputs"], data["data_samples"], strict=True):
            sample.seg_logits = PixelData(data=logits)
        return data["data_samples"]


def batch(views: list[list[torch.Tensor]]) -> dict:
    """What the data loader gives: a list of views, each a list of images."""
    samples = [
        [
            SegDataSample(
                metainfo=dict(img_path=f"{i}.png", flip=bool(v)),
                gt_sem_seg=PixelData(data=torch.full((1, 1, 2), i)),
            )
            for i in range(len(images))
        ]
        for v, images in enumerate(views)
    ]
    return {"inputs": views, "data_samples": samples}


# Two views of two images: probabilities of 2 classes at 1 x 2 pixels.
PROBABILITIES = [
    [[[[0.9, 0.4]], [[0.1, 0.6]]], [[[0.3, 0.5]], [[0.7, 0.5]]]],
    [[[[0.2, 0.5]], [[0.8, 0.5]]], [[[0.5, 0.9]], [[0.5, 0.1]]]],
]
MEANS = [[[[0.55, 0.45]], [[0.45, 0.55]]], [[[0.4, 0.7]], [[0.6, 0.3]]]]


@pytest.mark.parametrize("way", ["test_step", "merge_preds"])
def test_mean_of_softmax_by_hand(way: str) -> None:
    # A constant added to all classes must not matter, as it would to a mean of logits.
    views = [[torch.tensor(p).log() + 7 * v for p in view] for v, view in enumerate(PROBABILITIES)]
    model, data = SegTTAModel(Canned()), batch(views)
    if way == "test_step":
        merged = model.test_step(data)
    else:
        steps = [
            model.module.test_step({key: values[v] for key, values in data.items()}) for v in (0, 1)
        ]
        merged = model.merge_preds(list(zip(*steps, strict=True)))
    torch.testing.assert_close(
        torch.stack([s.seg_logits.data for s in merged]), torch.tensor(MEANS)
    )
    assert [s.pred_sem_seg.data.tolist() for s in merged] == [[[[0, 1]]], [[[1, 0]]]]
    assert merged[0].pred_sem_seg.data.dtype == torch.uint8
    assert [s.gt_sem_seg.data.unique().tolist() for s in merged] == [[0], [1]]
    assert [(s.img_path, s.flip) for s in merged] == [("0.png", False), ("1.png", False)]


def test_one_channel_is_a_probability_already() -> None:
    views = [[torch.tensor([[[0.2, 0.9]]])], [torch.tensor([[[0.4, 0.5]]])]]
    (merged,) = SegTTAModel(Canned(threshold=0.4)).test_step(batch(views))
    torch.testing.assert_close(merged.seg_logits.data, torch.tensor([[[0.3, 0.7]]]))
    assert merged.pred_sem_seg.data.tolist() == [[[0, 1]]]


def test_flip_of_a_real_model_is_undone(gcnet_cfg: Callable[..., dict]) -> None:
    module = gcnet_cfg(test_cfg=dict(return_logits=True))
    model = SegTTAModel(module, data_preprocessor=dict(type="SegDataPreProcessor")).eval()
    nn.init.normal_(model.module.decode_head.conv_seg.weight)
    image = torch.randint(0, 256, (3, 32, 48), dtype=torch.uint8)
    metas = dict(ori_shape=(32, 48), img_shape=(32, 48))

    def view(**more: object) -> SegDataSample:
        return SegDataSample(metainfo={**metas, **more})

    flipped = view(flip=True, flip_direction="horizontal")
    data = {"inputs": [[image], [image.flip(2)]], "data_samples": [[view()], [flipped]]}
    with torch.no_grad():
        (merged,) = model.test_step(data)
        logits = model.module(torch.stack([image, image.flip(2)]).float(), mode="predict")
    first, second = (sample.seg_logits.data.softmax(0) for sample in logits)
    torch.testing.assert_close(merged.seg_logits.data, (first + second.flip(2)) / 2)
    assert math.isclose(merged.seg_logits.data.sum().item(), 32 * 48, rel_tol=1e-5)


@pytest.mark.parametrize(("own", "mean"), [([1.0, 2.0, 3.0], [1, 2, 3]), (None, [7, 8, 9])])
def test_the_module_is_normalised_as_it_was_trained(
    gcnet_cfg: Callable[..., dict], own: list[float] | None, mean: list[float]
) -> None:
    def preprocessor(values: list[float]) -> dict:
        return dict(type="SegDataPreProcessor", mean=values, std=[1.0] * 3)

    module = gcnet_cfg(data_preprocessor=own and preprocessor(own))
    model = SegTTAModel(module, data_preprocessor=preprocessor([7.0, 8.0, 9.0]))
    assert model.module.data_preprocessor.mean.flatten().tolist() == mean


def test_registered() -> None:
    assert MODELS.get("SegTTAModel") is SegTTAModel


def views_of(sides: list[int]) -> dict:
    generator = torch.Generator().manual_seed(0)
    data = batch([[torch.randint(0, 256, (3, side, side), generator=generator)] for side in sides])
    for (sample,), side in zip(data["data_samples"], sides, strict=True):
        sample.set_metainfo(dict(ori_shape=(40, 40), img_shape=(side, side), flip=False))
    return data


def scores_of(module: nn.Module, sides: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return SegTTAModel(module).test_step(views_of(sides))[0].seg_logits.data


def watch(module: nn.Module, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The sizes of what goes through the network from now on."""
    sizes = []
    run = module._run

    def watched(inputs: torch.Tensor, metas: list[dict]) -> list:
        sizes.append(tuple(inputs.shape))
        return run(inputs, metas)

    monkeypatch.setattr(module, "_run", watched)
    return sizes


def test_views_of_one_size_may_go_together(
    gcnet_cfg: Callable[..., dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = MODELS.build(gcnet_cfg(test_cfg=dict(return_logits=True))).eval()
    sizes = watch(module, monkeypatch)
    monkeypatch.setattr("mmseg_gc.inference.memory_budget.CPU_BYTES", 0)
    scores_of_one_by_one = scores_of(module, [32, 32, 64, 32])
    assert sizes == [(1, 3, 64, 64)] + 3 * [(1, 3, 32, 32)]
    sizes.clear()
    room = {(32, 32): 2, (64, 64): 1}
    monkeypatch.setattr(SegTTAModel, "_images_at_once", lambda model: room.__getitem__)
    torch.testing.assert_close(scores_of(module, [32, 32, 64, 32]), scores_of_one_by_one)
    assert sizes == [(1, 3, 64, 64), (2, 3, 32, 32), (1, 3, 32, 32)]


def test_a_processor_takes_an_image_and_its_mirror_image_together(
    gcnet_cfg: Callable[..., dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = [32, 64, 48, 32, 64]
    module = MODELS.build(gcnet_cfg(test_cfg=dict(return_logits=True))).eval()
    with monkeypatch.context() as patch:
        patch.setattr("mmseg_gc.inference.memory_budget.CPU_BYTES", 0)
        sizes = watch(module, patch)
        expected = scores_of(module, sides)
        assert len(sizes) == 5
    prepare_for_inference(module)
    sizes = watch(module, monkeypatch)
    torch.testing.assert_close(scores_of(module, sides), expected, rtol=1e-4, atol=1e-5)
    assert sizes == [(2, 3, 64, 64), (1, 3, 48, 48), (2, 3, 32, 32)]
    module.test_cfg.return_logits = False
    data = views_of(sides)
    with torch.no_grad():
        (sample,) = SegTTAModel(module).test_step(data)
    assert torch.equal(sample.pred_sem_seg.data, expected.argmax(0, keepdim=True).to(torch.uint8))
    sample.pred_sem_seg.data[0] = 1  # a tensor like any other


@pytest.mark.parametrize(
    "test_cfg",
    [
        dict(mode="slide", crop_size=(32, 32), stride=(16, 16)),
        dict(mode="whole", memory_budget="1GiB"),
    ],
)
def test_views_by_windows_and_within_a_budget(
    gcnet_cfg: Callable[..., dict], test_cfg: dict
) -> None:
    module = prepare_for_inference(MODELS.build(gcnet_cfg(test_cfg=test_cfg)).eval())
    with torch.no_grad():
        (sample,) = SegTTAModel(module).test_step(views_of([48, 32]))
    assert sample.pred_sem_seg.shape == (40, 40)


def test_views_that_are_batches_already(gcnet_cfg) -> None:
    """A model without a preprocessor takes them as tensors, as mmsegmentation's own tests do."""
    torch.manual_seed(0)
    image = torch.rand(3, 24, 32)
    views = [image, image.flip(-1)]
    metas = [dict(ori_shape=(24, 32), img_shape=(24, 32), flip=flip) for flip in (False, True)]
    for meta in metas:
        meta["flip_direction"] = "horizontal"

    def labels(inputs: list, **cfg: object) -> torch.Tensor:
        torch.manual_seed(1)
        model = SegTTAModel(gcnet_cfg(**cfg)).eval()
        samples = [[SegDataSample(metainfo=meta)] for meta in metas]
        with torch.no_grad():
            model.module.decode_head.conv_seg.weight.normal_()
            return model.test_step(dict(inputs=inputs, data_samples=samples))[0].pred_sem_seg.data

    batches = labels([view[None] for view in views], data_preprocessor=None)
    lists = labels([[view] for view in views])
    assert len(lists.unique()) > 1 and torch.equal(batches, lists)
