"""Each published row trains two iterations and is tested in its own mode, in small.

Sizes are a sixteenth, and the model is an eighth as wide.
"""

import csv
import importlib.util
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmseg_gc.config import load_config
from mmseg_gc.engine.runner import SegRunner

CASES = Path(__file__).parents[1] / "tools/benchmarks/parity_checks/head_cases.py"
spec = importlib.util.spec_from_file_location("head_cases", CASES)
head_cases = importlib.util.module_from_spec(spec)
spec.loader.exec_module(head_cases)
CONFIGS = Path(__file__).parents[1] / "configs" / "gcnet"
# dataset, backbone depth, crop (h, w), thousands of iterations: the published table
ROWS = """\
cityscapes,50,512x1024,40
cityscapes,101,512x1024,40
cityscapes,50,769x769,40
cityscapes,101,769x769,40
cityscapes,50,512x1024,80
cityscapes,101,512x1024,80
cityscapes,50,769x769,80
cityscapes,101,769x769,80
ade20k,50,512x512,80
ade20k,101,512x512,80
ade20k,50,512x512,160
ade20k,101,512x512,160
voc12aug,50,512x512,20
voc12aug,101,512x512,20
voc12aug,50,512x512,40
voc12aug,101,512x512,40
"""
CLASSES = {"cityscapes": 19, "ade20k": 150, "voc12aug": 21}


def rows():
    for dataset, depth, crop, thousands in csv.reader(io.StringIO(ROWS)):
        batch = "4xb2" if dataset == "cityscapes" else "4xb4"
        name = f"gcnet_r{depth}-d8_{batch}-{thousands}k_{dataset}-{crop}.py"
        # The longer schedules train the same models: once a model is enough for every day.
        longer = (dataset, thousands) in {
            ("cityscapes", "80"),
            ("ade20k", "160"),
            ("voc12aug", "40"),
            ("voc12aug", "20"),  # as ADE20K's, of other labels
        }
        # And a deeper backbone is more of the same blocks.
        marks = [pytest.mark.slow] if longer or depth == "101" else []
        yield pytest.param(name, dataset, int(depth), crop, int(thousands), id=name, marks=marks)


def sixteenth(size):
    """A 16th of each number; one that is odd by 1, as 769, stays odd by 1."""
    return tuple(n // 16 + n % 16 for n in size)


def shrink(cfg: Config, roots: dict[str, Path]) -> None:
    """Read the tiny data, and scale every size of the config down by 16, every width by 8."""
    cfg.model.pretrained = None
    head_cases.narrow(cfg.model)
    shrink_sizes(cfg._cfg_dict)
    shrink_sizes(cfg.model.test_cfg)
    cfg.model.data_preprocessor.size = sixteenth(cfg.model.data_preprocessor.size)
    for name in ("train_dataloader", "test_dataloader"):
        cfg[name].update(num_workers=0, batch_size=2 if name.startswith("train") else 1)
    train = cfg.train_dataloader.dataset
    for dataset in (*train.get("datasets", [train]), cfg.test_dataloader.dataset):
        dataset.data_root = str(roots[dataset.type])


def shrink_sizes(node) -> None:
    if isinstance(node, dict):
        for key in ("scale", "crop_size", "stride"):
            if key in node and node.get("type") != "RandomResize":
                node[key] = sixteenth(node[key])
        if node.get("type") == "Pad":
            node["size"] = sixteenth(node["size"])
        if node.get("type") == "RandomResize":
            node["scale"] = sixteenth(node["scale"])
        for key, value in node.items():
            if key.endswith("_dataloader") or key in ("dataset", "datasets", "pipeline"):
                shrink_sizes(value)
    elif isinstance(node, list):
        for item in node:
            shrink_sizes(item)


@pytest.mark.parametrize(("name", "dataset", "depth", "crop", "thousands"), rows())
def test_row(
    name, dataset, depth, crop, thousands, tmp_path, cityscapes_root, ade20k_root, voc_root
):
    cfg = load_config(CONFIGS / name, work_dir=tmp_path)
    roots = {
        "CityscapesDataset": cityscapes_root,
        "ADE20KDataset": ade20k_root,
        "PascalVOCDataset": voc_root,
    }
    shrink(cfg, roots)
    cfg.train_cfg.max_iters = 2
    cfg.randomness = dict(seed=0)
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint.update(interval=100, save_last=False)
    runner = SegRunner.from_cfg(cfg)
    runner.train()
    losses = list(runner.message_hub.get_scalar("train/loss").data[0])
    assert len(losses) == 2
    # Random weights score near chance, where cross entropy is the log of the number of classes;
    # the auxiliary head weighs 0.4. Ignored pixels lower the mean.
    assert 0.4 < losses[0] / (1.4 * np.log(CLASSES[dataset])) < 1.5
    with torch.no_grad():
        metrics = runner.test()
    assert 0 <= metrics["mIoU"] <= 100
    assert runner.test_evaluator.metrics[0].confusion.sum() > 0


def families():
    """A config of each family of another head for each data set, and the cascade's."""
    for folder in sorted(CONFIGS.parent.glob("[!_]*")):
        if folder.name in ("gcnet", "gcnet_det"):
            continue
        for dataset in CLASSES:
            found = sorted(folder.glob(f"*_r50*_{dataset}-512*.py"))
            found = found or sorted(folder.glob(f"*_{dataset}-512*.py"))
            if found:
                yield pytest.param(found[0], id=found[0].stem, marks=pytest.mark.slow)


@pytest.mark.parametrize("path", families())
def test_other_families(path, tmp_path, cityscapes_root, ade20k_root, voc_root):
    cfg = load_config(path, work_dir=tmp_path)
    roots = {"CityscapesDataset": cityscapes_root, "ADE20KDataset": ade20k_root}
    shrink(cfg, {**roots, "PascalVOCDataset": voc_root})
    cfg.model.pretrained = None
    cfg.train_cfg.max_iters = 2
    cfg.randomness = dict(seed=0)
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint.update(interval=100, save_last=False)
    runner = SegRunner.from_cfg(cfg)
    runner.train()
    losses = list(runner.message_hub.get_scalar("train/loss").data[0])
    assert len(losses) == 2 and np.isfinite(losses).all()
    with torch.no_grad():
        metrics = runner.test()
    assert 0 <= metrics["mIoU"] <= 100
    assert runner.test_evaluator.metrics[0].confusion.sum() > 0


def test_gc_blocks_in_the_encoder(tmp_path, cityscapes_root):
    """The blocks that detection has, under FCN heads: they start as the identity and learn."""
    name = "gcnet_r50-gcb-c3-c5-d8_4xb2-40k_cityscapes-512x1024.py"
    cfg = load_config(CONFIGS / name, work_dir=tmp_path)
    shrink(cfg, {"CityscapesDataset": cityscapes_root})
    cfg.train_cfg.max_iters = 2
    cfg.randomness = dict(seed=0)
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint.update(interval=100, save_last=False)
    runner = SegRunner.from_cfg(cfg)
    model = runner.model
    assert type(model.decode_head).__name__ == "FCNHead"
    blocks = {k: m for k, m in model.named_modules() if k.endswith(".context_block")}
    assert len(blocks) == 4 + 6 + 3 and not any("layer1" in name for name in blocks)
    assert {m.ratio for m in blocks.values()} == {1 / 4}
    runner.train()
    last = blocks["backbone.layer4.2.context_block"].channel_add_conv[3].weight
    assert last.abs().max() > 0
    losses = list(runner.message_hub.get_scalar("train/loss").data[0])
    assert 0.4 < losses[0] / (1.4 * np.log(19)) < 1.5
