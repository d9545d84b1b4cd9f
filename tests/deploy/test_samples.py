"""Which images a file is compared on, and calibrated with."""

import cv2
import numpy as np
import pytest
import torch

from mmseg_gc.config import load_config
from mmseg_gc.deploy.samples import Sample, calibration_samples, gate_samples
from mmseg_gc.errors import UserError


@pytest.fixture
def cfg(camvid_root, tiny_files):
    """Of the config that the tests of datasets read: images of 72 x 96, read as they are."""
    folder = str(camvid_root)
    splits = {f"{split}_dataloader.dataset.data_root": folder for split in ("train", "test")}
    return load_config(tiny_files[0], splits)


def test_the_test_split_then_given_ones_then_drawn_ones(cfg, camvid_root, tiny_files):
    found, told = gate_samples(cfg, [], 2, 3)
    assert told == "2 images of the config's test split, without labels"
    assert [tuple(sample.image.shape) for sample in found] == [(3, 72, 96)] * 2
    step = dict(type="LoadAnnotations")
    cfg.test_dataloader.dataset.pipeline.insert(1, step)
    found, told = gate_samples(cfg, [], 1, 3)
    assert told == "1 images of the config's test split, with labels"
    assert found[0].label.shape == (72, 96) and found[0].label.max() <= 11
    image = next((camvid_root / "val").glob("*.png"))
    found, told = gate_samples(cfg, [image], 1, 3)
    assert told == "1 images of the config's test split, with labels, not on those given"
    assert found[0].label is not None
    elsewhere = load_config(tiny_files[0])  # whose data root isn't here
    found, told = gate_samples(elsewhere, [image, image], 1, 3)
    assert told == "1 given images" and found[0].label is None
    pixels = cv2.imread(str(image)).transpose(2, 0, 1)
    assert np.array_equal(found[0].image, pixels)
    found, told = gate_samples(elsewhere, [], 3, 4)
    assert told == "3 synthetic images" and found[0].image.shape == (4, 192, 256)
    assert not torch.equal(found[0].image, found[1].image)


def test_calibration_reads_the_training_split(cfg, tiny_files):
    found = calibration_samples(cfg, 3)
    assert len(found) == 3 and all(sample.label is None for sample in found)
    assert len({sample.image.sum().item() for sample in found}) == 3
    with pytest.raises(UserError):
        calibration_samples(load_config(tiny_files[0]), 3)
    cfg.pop("train_dataloader")
    with pytest.raises(UserError, match=r"calibrates on the config's train_dataloader"):
        calibration_samples(cfg, 3)


def test_resizing_keeps_channels_and_dtype():
    pixels = np.arange(2 * 4 * 6, dtype=np.uint8).reshape(2, 4, 6)
    sample = Sample(torch.from_numpy(pixels))
    assert sample.resized((4, 6)) is sample.image
    resized = sample.resized((9, 5))
    assert resized.shape == (2, 9, 5) and resized.dtype == torch.uint8
