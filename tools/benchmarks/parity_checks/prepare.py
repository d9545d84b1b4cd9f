"""Write the seeded weights, batches and image files that both sides read."""

import copy
import json
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from torch import Tensor, nn

from mmseg_gc.engine.sync_bn import adapt_sync_bn
from mmseg_gc.registry import MODELS
from parity_checks.heads import shared_weights
from parity_checks.side import NUM_CLASSES, Side

IMAGES = {"odd": (61, 90), "even": (96, 128), "small": (40, 52)}  # (h, w)


def write_job(folder: Path, **job) -> None:
    """Write what `Side` reads; ``job`` is what the command line chose."""
    (folder / "job.json").write_text(json.dumps(job))


def write_inputs(folder: Path, depths: list[int]) -> None:
    torch.manual_seed(0)
    side = Side("ours", folder)
    for depth in depths:
        torch.save(_weights(side.own_config(depth, "cityscapes")), folder / f"r{depth}.pt")
    torch.save(shared_weights(MODELS.build), folder / "heads.pt")
    torch.save(_batches(), folder / "inputs.pt")
    _write_files(folder)
    _write_stubs(folder / "data")


def smooth_noise(*shape: int) -> Tensor:
    """Noise with structure at two scales, (N, C, H, W), of variance about 1: like images."""
    *head, height, width = shape
    coarse = torch.randn(*head, height // 8 + 2, width // 8 + 2)
    coarse = F.interpolate(coarse, (height, width), mode="bilinear")
    return coarse + 0.5 * torch.randn(shape)


def _weights(cfg: Config) -> dict[str, dict[str, Tensor]]:
    """A body and last layers whose scores spread as a trained network's do.

    Freshly initialised, the GC block adds nothing, and every normalisation layer is the identity.
    """
    model = MODELS.build(copy.deepcopy(cfg.model))
    model.init_weights()
    model = adapt_sync_bn(model, device_type="cpu", world_size=1)
    last_norms = ".bn2" if cfg.model.backbone.depth < 50 else ".bn3"
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            # Blocks that add little, as trained ones do: gradients that explode with depth would
            # leave nothing of a comparison after a few steps of training.
            gain = 0.2 if name.endswith(last_norms) else 1
            nn.init.uniform_(module.weight, 0.5 * gain, 1.5 * gain)
            nn.init.normal_(module.bias, std=0.1 * gain)
        elif isinstance(module, nn.Conv2d) and "gc_block" in name:
            nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # the statistics become those of the next batch
    with torch.no_grad():
        features = model.train().extract_feat(smooth_noise(2, 3, 64, 96))
        model.decode_head(features)
        model.auxiliary_head(features)
    parts = {"body": {k: v for k, v in model.state_dict().items() if "conv_seg" not in k}}
    for dataset, classes in NUM_CLASSES.items():
        parts[dataset] = {}
        for head in ("decode_head", "auxiliary_head"):
            channels = getattr(model, head).conv_seg.in_channels
            parts[dataset][f"{head}.conv_seg.weight"] = (
                torch.randn(classes, channels, 1, 1) * (2 / channels) ** 0.5
            )
            parts[dataset][f"{head}.conv_seg.bias"] = torch.randn(classes) * 0.1
    return parts


def _batches() -> dict[str, Tensor]:
    sizes = [(1, 64, 96), (2, 65, 97), (1, 48, 56), (1, 48, 100), (2, 97, 113)]
    batches = {f"{n}x{h}x{w}": smooth_noise(n, 3, h, w) for n, h, w in sizes}
    for dataset, classes in NUM_CLASSES.items():
        labels = _labels(classes, 2, 65, 97)
        batches[f"{dataset} no pixel ignored"] = labels
        ignored = labels.clone()
        ignored[torch.rand(labels.shape) < 0.3] = 255
        ignored[:, :, :9] = 255
        batches[f"{dataset} some ignored"] = ignored
        batches[f"{dataset} all ignored"] = torch.full_like(labels, 255)
        # 20 batches of two images, narrower than the crop so that padding takes part.
        batches[f"{dataset} step labels"] = _labels(classes, 40, 64, 57).view(20, 2, 1, 64, 57)
    images = smooth_noise(40, 3, 64, 57).mul(50).add(120).clamp(0, 255).byte()
    batches["step images"] = images.view(20, 2, 3, 64, 57)
    return batches


def _labels(classes: int, n: int, height: int, width: int) -> Tensor:
    """Label maps (n, 1, height, width), int64, in patches."""
    coarse = torch.randint(classes, (n, 1, height // 6 + 1, width // 6 + 1)).float()
    return F.interpolate(coarse, (height, width), mode="nearest").long()


def _write_files(folder: Path) -> None:
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for name, (height, width) in IMAGES.items():
        image = smooth_noise(1, 3, height, width)[0].mul(50).add(120).clamp(0, 255).byte()
        cv2.imwrite(f"{folder}/images/{name}.jpg", image.permute(1, 2, 0).numpy())
        # Ids that all three data sets know, with or without `reduce_zero_label`.
        label = _labels(19, 1, height, width)[0, 0].numpy().astype(np.uint8)
        label[:4] = 255
        cv2.imwrite(f"{folder}/labels/{name}.png", label)
    (folder / "names.txt").write_text("\n".join(IMAGES))


def _write_stubs(data: Path) -> None:
    """What the reference's VOC class wants to see before it is built, even lazily."""
    voc = data / "VOCdevkit" / "VOC2012"
    for name in ("JPEGImages", "SegmentationClass", "SegmentationClassAug"):
        (voc / name).mkdir(parents=True)
    lists = voc / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for split in ("train", "val", "aug"):
        (lists / f"{split}.txt").touch()
