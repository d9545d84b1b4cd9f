"""Transforms one by one, and the whole pipelines of the configs."""

import random
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from parity_checks.models import dataset_of_files
from parity_checks.side import Results, Side

META_KEYS = (
    *("img_path", "seg_map_path", "ori_shape", "img_shape", "pad_shape", "scale_factor"),
    *("flip", "flip_direction", "reduce_zero_label"),
)
LOAD = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations")]
TEST_TRANSFORMS = {
    "LoadImageFromFile": [dict(type="LoadImageFromFile", to_float32=True)],
    "LoadAnnotations": LOAD,
    "Resize": [LOAD[0], dict(type="Resize", scale=(150, 90), keep_ratio=True), LOAD[1]],
    "Resize, factor": [*LOAD, dict(type="Resize", scale_factor=0.75, keep_ratio=True)],
    "Resize, stretched": [*LOAD, dict(type="Resize", scale=(70, 70), keep_ratio=False)],
    "ResizeShortestEdge": [*LOAD, dict(type="ResizeShortestEdge", scale=80, max_size=110)],
    "ResizeToMultiple": [*LOAD, dict(type="ResizeToMultiple", size_divisor=32)],
    "RandomFlip, horizontal": [*LOAD, dict(type="RandomFlip", prob=1.0, direction="horizontal")],
    "RandomFlip, vertical": [*LOAD, dict(type="RandomFlip", prob=1.0, direction="vertical")],
    "Pad, size": [*LOAD, dict(type="Pad", size=(160, 120))],
    "Pad, divisor": [
        *LOAD,
        dict(type="Pad", size_divisor=32, pad_val=dict(img=(1, 2, 3), seg=255)),
    ],
    "PackSegInputs": [*LOAD, dict(type="PackSegInputs")],
}
TRAIN_TRANSFORMS = {
    "RandomResize": [
        dict(type="RandomResize", scale=(160, 80), ratio_range=(0.5, 2.0), keep_ratio=True)
    ],
    "RandomChoiceResize": [
        dict(type="RandomChoiceResize", scales=[(80, 60), (120, 90), (160, 120)], keep_ratio=True)
    ],
    "RandomCrop": [dict(type="RandomCrop", crop_size=(32, 48))],
    # So strict that some draws use up all ten tries.
    "RandomCrop, cat_max_ratio": [dict(type="RandomCrop", crop_size=(12, 14), cat_max_ratio=0.25)],
    "RandomFlip": [dict(type="RandomFlip", prob=[0.3, 0.3], direction=["horizontal", "vertical"])],
    "RandomRotate": [
        dict(type="RandomRotate", prob=0.8, degree=30, pad_val=7, seg_pad_val=255, auto_bound=True)
    ],
    "PhotoMetricDistortion": [dict(type="PhotoMetricDistortion")],
    "RandomChoice": [
        dict(
            type="RandomChoice",
            transforms=[
                [dict(type="RandomFlip", prob=0.5)],
                [dict(type="RandomCrop", crop_size=(20, 20))],
            ],
        )
    ],
}
IMAGES = ("odd", "even", "small")
# One config of each way to feed the network.
PIPELINE_CONFIGS = (
    "gcnet_r50-d8_4xb2-40k_cityscapes-512x1024.py",
    "gcnet_r50-d8_4xb2-40k_cityscapes-769x769.py",
    "gcnet_r50-d8_4xb4-80k_ade20k-512x512.py",
    "gcnet_r50-d8_4xb4-20k_voc12aug-512x512.py",
)


def test_transforms(side: Side) -> Results:
    """Each transform that tests use on each image, and labels read in three ways."""
    side.say("test-time transforms")
    rows = {}
    for name, pipeline in TEST_TRANSFORMS.items():
        transform = _compose(side, pipeline)
        rows[f"{name}: bit for bit"] = {
            f"{image} {key}": value
            for image in IMAGES
            for key, value in _shown(transform(_paths(side, image))).items()
        }
    for name, paths in {
        "reduce_zero_label": dict(reduce_zero_label=True),
        "label_map": dict(label_map={0: 3, 3: 255, 5: 0}),
        "both": dict(reduce_zero_label=True, label_map={0: 3, 3: 255, 5: 0}),
    }.items():
        results = _compose(side, LOAD)(_paths(side, "odd", **paths))
        rows[f"LoadAnnotations, {name}: bit for bit"] = _shown(results)
    image = np.random.default_rng(4).integers(0, 256, (40, 50, 3), np.uint8)
    loaded = _compose(side, [dict(type="LoadImageFromNDArray")])({"img": image})
    rows["LoadImageFromNDArray: bit for bit"] = _shown(loaded)
    rows["SegDataPreProcessor, testing: bit for bit"] = _preprocessed(side)
    return {"exact": rows}


def train_transforms(side: Side) -> Results:
    """Each transform that training uses, on the same random draws."""
    side.say("train-time transforms")
    draws = 5 if side.quick else 40
    rows = {}
    for name, pipeline in TRAIN_TRANSFORMS.items():
        transform = _compose(side, [*LOAD, *pipeline])
        rows[f"{name}, {draws} draws: bit for bit"] = {
            f"{seed} {key}": value
            for seed in range(draws)
            for key, value in _drawn(lambda p, t=transform: t(_paths(side, p)), seed).items()
        }
    return {"exact": rows}


def pipelines(side: Side) -> Results:
    """Samples of each side's own data set class and pipeline, and the batch made of them."""
    draws = 2 if side.quick else 6
    train, test = {}, {}
    for name in PIPELINE_CONFIGS:
        title = name.rsplit("_", 1)[1].removesuffix(".py")
        side.say(f"pipelines of {title}")
        cfg = side.config(side.config_dirs[side.name] / "gcnet" / name)
        dataset = cfg.train_dataloader.dataset
        dataset = dataset.get("datasets", [dataset])[0]
        files = dataset_of_files(side, dataset, dataset.pipeline)
        train[f"{title}: train pipeline and batch, {draws} draws: bit for bit"] = {
            f"{seed} {key}": value
            for seed in range(draws)
            for key, value in _drawn(
                lambda _, f=files, s=seed: f[s % len(f)],
                seed,
                side.registry.MODELS.build(cfg.model.data_preprocessor),
            ).items()
        }
        dataset = cfg.test_dataloader.dataset
        files = dataset_of_files(side, dataset, dataset.pipeline)
        test[f"{title}: test pipeline: bit for bit"] = {
            f"{index} {key}": value
            for index in range(len(files))
            for key, value in _shown(files[index]).items()
        }
    return {"exact": {**test, **train}}


def _compose(side: Side, pipeline: list[dict]) -> Callable[[dict], dict]:
    steps = [side.registry.TRANSFORMS.build(cfg) for cfg in pipeline]

    def run(results: dict) -> dict:
        for step in steps:
            results = step(results)
        return results

    return run


def _paths(side: Side, image: str, reduce_zero_label: bool = False, label_map=None) -> dict:
    return dict(
        img_path=str(side.folder / "images" / f"{image}.jpg"),
        seg_map_path=str(side.folder / "labels" / f"{image}.png"),
        reduce_zero_label=reduce_zero_label,
        label_map=label_map,
        seg_fields=[],
    )


def _drawn(make: Callable[[str], dict], seed: int, preprocessor=None) -> dict[str, Tensor | str]:
    random.seed(seed)
    np.random.seed(seed)
    results = make(IMAGES[seed % len(IMAGES)])
    if preprocessor is not None:
        batch = preprocessor({key: [value] for key, value in results.items()}, training=True)
        results = {"inputs": batch["inputs"], "data_samples": batch["data_samples"][0]}
    return {**_shown(results), "next draw": f"{np.random.rand()} {random.random()}"}


def _shown(results: dict) -> dict[str, Tensor | str]:
    """Arrays as tensors and meta information as text, whatever stage ``results`` are at."""
    shown, meta = {}, results
    for key in ("img", "gt_seg_map"):
        if key in results:
            shown[key] = torch.from_numpy(np.ascontiguousarray(results[key]))
    if "inputs" in results:
        shown["inputs"] = results["inputs"]
        sample = results["data_samples"]
        meta = sample.metainfo
        if "gt_sem_seg" in sample:
            # Ours has 8 bits until on the device.
            shown["gt_sem_seg"] = sample.gt_sem_seg.data.long()
    for key in META_KEYS:
        if meta.get(key) is not None:
            shown[key] = _plain(meta[key])
    return shown


def _plain(value: object) -> str:
    """The text of a number, a text or a sequence of them, whatever their classes."""
    if isinstance(value, str | bool):
        return str(value)
    if isinstance(value, int | float | np.number):
        return repr(float(value))
    return " ".join(_plain(item) for item in value)


def _preprocessed(side: Side) -> dict[str, Tensor | str]:
    images = side.inputs["step images"][0]
    base = dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    )
    shown = {}
    for test_cfg in (None, dict(size=(70, 80)), dict(size_divisor=32)):
        preprocessor = side.registry.MODELS.build({**base, "test_cfg": test_cfg})
        batch = preprocessor(dict(inputs=list(images), data_samples=side.samples([(64, 57)] * 2)))
        shown[f"{test_cfg} inputs"] = batch["inputs"]
        for key in ("pad_shape", "img_padding_size"):
            for index, sample in enumerate(batch["data_samples"]):
                if key in sample.metainfo:
                    shown[f"{test_cfg} {key} {index}"] = _plain(sample.metainfo[key])
    return shown
