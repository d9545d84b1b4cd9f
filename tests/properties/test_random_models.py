"""Whatever a segmentor is made of, all ways of testing it give the same numbers.

What is right is computed here, window by window and view by view, from the plain network's forward.
"""

import copy
import importlib.util
import math
import random
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from PIL import Image
from torch import Tensor, nn

from mmseg_gc.accelerate import prepare_for_inference
from mmseg_gc.apis import inference_model, init_model
from mmseg_gc.checkpoint import save_checkpoint
from mmseg_gc.config.prediction import prepare_test
from mmseg_gc.engine import SegRunner
from mmseg_gc.models import SegTTAModel
from mmseg_gc.registry import MODELS
from mmseg_gc.structures import SegDataSample

spec = importlib.util.spec_from_file_location(
    "random_models", Path(__file__).with_name("random_models.py")
)
random_models = importlib.util.module_from_spec(spec)
spec.loader.exec_module(random_models)

SIZE, ORIGINAL = (48, 56), (61, 50)
NUM_IN_DEFAULT_RUN, NUM = 10, 200
SEEDS = [
    pytest.param(i, marks=[pytest.mark.slow] if i >= NUM_IN_DEFAULT_RUN else []) for i in range(NUM)
]


def expected_logits(model: nn.Module, image: Tensor, ori: tuple[int, int]) -> Tensor:
    """Logits, or the probability of one channel, (C, H, W) of a raw image (3, h, w) at ``ori``."""
    x = image.float()
    preprocessor = model.data_preprocessor
    x = x.flip(0) if preprocessor.swaps_channels else x
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ([100.0, 110.0, 120.0], [50.0, 60.0, 70.0]))
    x = ((x - mean) / std).nan_to_num(0.0, posinf=0.0, neginf=0.0)  # the mean
    size, corners = x.shape[1:], model.decode_head.align_corners

    def run(window: Tensor) -> Tensor:
        logits = model(window[None], mode="tensor")
        return F.interpolate(logits, window.shape[1:], mode="bilinear", align_corners=corners)[0]

    if model.test_cfg.mode == "whole":
        total = run(x)
    else:
        (height, width), (down, right) = model.test_cfg.crop_size, model.test_cfg.stride
        count = torch.zeros(size)
        total = torch.zeros(model.out_channels, *size)
        for i in range(max(-(-(size[0] - height) // down), 0) + 1):
            for j in range(max(-(-(size[1] - width) // right), 0) + 1):
                bottom, end = min(i * down + height, size[0]), min(j * right + width, size[1])
                place = slice(max(bottom - height, 0), bottom), slice(max(end - width, 0), end)
                total[:, *place] += run(x[:, *place])
                count[place] += 1
        total /= count
    out = F.interpolate(total[None], ori, mode="bilinear", align_corners=corners)[0]
    return out.sigmoid() if model.out_channels == 1 else out


def spoil(image: Tensor, rng: random.Random) -> Tensor:
    """``image`` (3, h, w), or in every third draw one of floats with pixels that are no numbers."""
    if rng.randrange(3):
        return image
    image = image.float()
    for value in (math.nan, math.inf, -math.inf):
        row, column = rng.randrange(image.size(1) - 5), rng.randrange(image.size(2) - 5)
        channels = slice(rng.randrange(3), 3)
        image[channels, row : row + rng.randint(1, 5), column : column + rng.randint(1, 5)] = value
    return image


def labels_of(model: nn.Module, logits: Tensor) -> Tensor:
    if model.out_channels == 1:
        return (logits[0] > model.decode_head.threshold).byte()
    return logits.argmax(0).byte()


def sample(**meta: object) -> SegDataSample:
    return SegDataSample(metainfo=dict(ori_shape=ORIGINAL, img_shape=SIZE, **meta))


def predicted(model: nn.Module, image: Tensor) -> SegDataSample:
    return model.test_step({"inputs": [image], "data_samples": [sample()]})[0]


def merged(model: nn.Module, views: list[Tensor]) -> SegDataSample:
    samples = [[sample(flip=i % 2 == 1, flip_direction="horizontal")] for i in range(len(views))]
    data = {"inputs": [[view] for view in views], "data_samples": samples}
    return SegTTAModel(model).test_step(data)[0]


def assert_same(model: nn.Module, found: SegDataSample, expected: Tensor) -> None:
    logits = found.seg_logits.data.float()
    scale = expected.abs().max().clamp(min=1e-3)
    assert (logits - expected).abs().max() < 2e-4 * scale
    close = 1e-3 * scale  # within which rounding may choose another class
    best = expected.topk(min(2, len(expected)), dim=0).values
    margin = best[0] - (best[1] if len(best) > 1 else model.decode_head.threshold)
    differ = found.pred_sem_seg.data[0] != labels_of(model, expected)
    assert not (differ & (margin.abs() > close)).any()


@pytest.mark.parametrize("seed", SEEDS)
def test_plain_and_prepared_whole_slide_and_views(seed: int) -> None:
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    model = MODELS.build(random_models.random_model_cfg(rng))
    model = random_models.shaken(model, generator)
    model.test_cfg.return_logits = True
    image = torch.randint(0, 256, (3, *SIZE), generator=generator, dtype=torch.uint8)
    small = torch.randint(0, 256, (3, 40, 44), generator=generator, dtype=torch.uint8)
    image, small = spoil(image, rng), spoil(small, rng)
    views = [image, image.flip(2), small, small.flip(2)]
    plain = copy.deepcopy(model)
    with torch.no_grad():
        expected = expected_logits(plain, image, ORIGINAL)
        turned = [expected_logits(plain, view, ORIGINAL) for view in views]
        turned = [logits.flip(2) if i % 2 else logits for i, logits in enumerate(turned)]
        mean = torch.stack([p if model.out_channels == 1 else p.softmax(0) for p in turned]).mean(0)
        for one in (model, prepare_for_inference(copy.deepcopy(model))):
            assert_same(plain, predicted(one, image), expected)
            assert_same(plain, merged(one, views), mean)
            one.test_cfg.return_logits = False
            labels = predicted(one, image).pred_sem_seg.data[0]
            assert (labels != labels_of(plain, expected)).float().mean() < 2e-3


@pytest.mark.parametrize("seed", SEEDS[::10])
def test_api_and_test_tool(seed: int, tmp_path: Path) -> None:
    """The same labels from files, by ``inference_model`` and by what ``tools/test.py`` runs."""
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    model_cfg = random_models.random_model_cfg(rng)
    model = random_models.shaken(MODELS.build(model_cfg), generator)
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    images = {}
    num_classes = model.num_classes
    for name in ("a", "b"):
        image = torch.randint(0, 256, (3, *SIZE), generator=generator, dtype=torch.uint8)
        label = torch.randint(0, num_classes, SIZE, generator=generator, dtype=torch.uint8).numpy()
        images[name] = image = spoil(image, rng).flip(0)  # BGR
        cv2.imwrite(str(tmp_path / "images" / f"{name}.tiff"), image.permute(1, 2, 0).numpy())
        Image.fromarray(label).save(tmp_path / "labels" / f"{name}.png")
    with torch.no_grad():
        expected = {
            name: labels_of(model, expected_logits(model, image, SIZE)).numpy()
            for name, image in images.items()
        }
    weights = tmp_path / "weights.pth"
    save_checkpoint({"state_dict": model.state_dict(), "meta": {}}, weights)
    cfg = Config(_test_config(model_cfg, tmp_path, num_classes))
    api = init_model(cfg, weights)
    for name, labels in expected.items():
        found = inference_model(api, tmp_path / "images" / f"{name}.tiff").pred_sem_seg.data[0]
        assert (found.numpy() != labels).mean() < 2e-3
    prepare_test(cfg, weights)
    metrics = SegRunner.from_cfg(cfg).test()
    truth = {name: np.asarray(Image.open(tmp_path / "labels" / f"{name}.png")) for name in expected}
    right = np.mean([(expected[name] == truth[name]).mean() for name in expected])
    assert metrics["aAcc"] == pytest.approx(100 * right, abs=0.3)
    for name, labels in expected.items():
        written = np.asarray(Image.open(tmp_path / "out" / f"{name}.png"))
        assert (written != labels).mean() < 2e-3


def _test_config(model: dict, root: Path, num_classes: int) -> dict:
    load = dict(type="LoadImageFromFile", color_type="unchanged")
    pipeline = [load, dict(type="LoadAnnotations")]
    dataset = dict(
        type="BaseSegDataset",
        data_root=str(root),
        data_prefix=dict(img_path="images", seg_map_path="labels"),
        img_suffix=".tiff",
        metainfo=dict(
            classes=[f"class {i}" for i in range(num_classes)],
            palette=[[i, i, i] for i in range(num_classes)],
        ),
        pipeline=[*pipeline, dict(type="PackSegInputs")],
        test_mode=True,
    )
    return dict(
        default_scope="mmseg_gc",
        model=copy.deepcopy(model),
        work_dir=str(root / "work"),
        experiment_name=root.name,
        log_level="ERROR",
        default_hooks=dict(),
        test_dataloader=dict(
            batch_size=1,
            num_workers=0,
            sampler=dict(type="DefaultSampler", shuffle=False),
            dataset=dataset,
        ),
        test_evaluator=dict(type="IoUMetric", output_dir=str(root / "out")),
        test_cfg=dict(type="TestLoop"),
    )
