"""Check the 30 detection configs against mmdetection's own backbones, in `make det`'s environment.

Each config is built; its number of parameters, state-dict keys and fp32 backbone outputs are
compared with those of mmdetection's own ResNet or ResNeXt with the same weights; it trains one step
and predicts for one batch, on drawn images of reduced size. The exit status is 1 if any differs.
"""

import argparse
import contextlib
import copy
import io
import json
import logging
import math
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

from mmseg_gc.cli import cli

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "gcnet_det"
# Of the largest output. A GC block adds up in another order than mmcv's, and some 100 layers with
# batch norm over a few pixels widen that rounding; in float64 it stays below any doubt.
TOLERANCES = {"float32": 5e-5, "float64": 1e-12}
SCALE = (128, 96)
SEED = 0


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configs", nargs="+", metavar="GLOB", default=["*_coco.py"])
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    return parser.parse_args()


def draw_coco(root: Path) -> None:
    """Two images of coloured rectangles with COCO's 80 classes, as annotations.json."""
    import cv2
    import numpy as np
    from mmdet.datasets import CocoDataset

    rng = np.random.default_rng(SEED)
    coco = dict(images=[], annotations=[])
    coco["categories"] = [
        dict(id=i, name=name) for i, name in enumerate(CocoDataset.METAINFO["classes"], 1)
    ]
    for number in (1, 2):
        image = rng.integers(0, 60, (192, 256, 3), dtype=np.uint8)
        for category, (x, y, w, h) in ((1, (20, 30, 60, 90)), (3, (120, 50, 100, 70))):
            image[y : y + h, x : x + w] = rng.integers(100, 255, 3)
            outline = [x, y, x + w, y, x + w, y + h, x, y + h]
            coco["annotations"].append(
                dict(
                    id=len(coco["annotations"]) + 1,
                    image_id=number,
                    category_id=category,
                    bbox=[x, y, w, h],
                    area=w * h,
                    iscrowd=0,
                    segmentation=[outline],
                )
            )
        cv2.imwrite(str(root / f"{number}.png"), image)
        coco["images"].append(dict(id=number, file_name=f"{number}.png", width=256, height=192))
    (root / "annotations.json").write_text(json.dumps(coco))


def shrink(cfg, root: Path) -> None:
    """Read the drawn images at `SCALE`, with few regions, for one epoch of one batch."""
    cfg.model.backbone.init_cfg = None
    samplers = cfg.model.train_cfg.rcnn
    for stage in samplers if isinstance(samplers, list) else [samplers]:
        stage.sampler.num = 32
    cfg.model.test_cfg.rcnn.score_thr = 0  # random weights are sure of nothing
    for name in ("train_dataloader", "test_dataloader"):
        loader = cfg[name]
        loader.num_workers = 0
        loader.dataset.update(
            data_root=str(root), ann_file="annotations.json", data_prefix=dict(img="")
        )
        for step in loader.dataset.pipeline:
            if step["type"] == "Resize":
                step["scale"] = SCALE
    cfg.train_cfg.max_epochs = 1
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.test_evaluator.ann_file = str(root / "annotations.json")
    cfg.default_hooks.checkpoint = None
    cfg.randomness = dict(seed=SEED)
    cfg.log_level = "ERROR"


def reference_model(cfg, name: str) -> tuple[dict, str]:
    """mmdetection's model of this row and where it's from: its file, or ours with its backbone."""
    import mmdet
    from mmengine.config import Config

    ours = copy.deepcopy(cfg.model)
    ours.backbone.type = ours.backbone.type.removeprefix("mmseg_gc.")
    file = Path(mmdet.__file__).parent / ".mim" / "configs" / "gcnet" / name
    if not file.is_file():
        return ours, "its backbone"
    theirs = Config.fromfile(file).model
    differing = sorted(differing_keys(ours.to_dict(), theirs.to_dict()))
    return theirs, "its file" if not differing else f"DIFFERS: {', '.join(differing)}"


def differing_keys(ours, theirs, path: str = "model") -> set[str]:
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return {
            found
            for key in {*ours, *theirs}
            for found in differing_keys(ours.get(key), theirs.get(key), f"{path}.{key}")
        }
    return set() if ours == theirs else {path}


def randomise(backbone) -> None:
    """Leave nothing at zero or one, where a block could go missing unseen."""
    import torch

    torch.manual_seed(SEED)
    for name, value in backbone.state_dict().items():
        if name.endswith("bn3.weight"):
            value.uniform_(0.1, 0.3)  # a whole branch each block would add up to very large numbers
        elif name.endswith(("running_var", "bn1.weight", "bn2.weight", "downsample.1.weight")):
            value.uniform_(0.5, 1)
        elif "conv_offset.weight" in name:
            value.normal_(0, 1e-4)  # offsets below a pixel: far ones would turn rounding into chaos
        elif name.endswith(("bias", "running_mean")) or "context_block" in name:
            value.normal_(0, 0.1)
        elif name.endswith("weight"):
            torch.nn.init.kaiming_normal_(value)


def compare(ours, theirs) -> dict:
    """Parameters (M), state-dict keys, and outputs of both backbones in eval and train mode."""
    import torch

    counts = [sum(p.numel() for p in model.parameters()) for model in (ours, theirs)]
    state, other = ours.state_dict(), theirs.state_dict()
    same_keys = list(state) == list(other) and all(
        state[key].shape == other[key].shape for key in state
    )
    differences = {}
    for dtype in TOLERANCES:
        randomise(ours.backbone)
        theirs.backbone.load_state_dict(ours.backbone.state_dict())
        images = torch.randn(2, 3, *reversed(SCALE)).to(getattr(torch, dtype))
        differences[dtype] = 0.0
        for training in (False, True):
            outputs = []
            for model in (ours, theirs):
                model.backbone.to(images.dtype).train(training)
                with torch.no_grad():
                    outputs.append(model.backbone(images))
            for a, b in zip(*outputs, strict=True):
                worst = ((a - b).abs().max() / b.abs().max()).item()
                differences[dtype] = max(differences[dtype], worst)
    return dict(
        params=round(counts[0] / 1e6, 2),
        reference_params=round(counts[1] / 1e6, 2),
        same_params=counts[0] == counts[1],
        same_keys=same_keys,
        differences=differences,
    )


def run_once(cfg) -> dict:
    """The loss of one training step, and the detections in one test batch of one image."""
    import torch

    from mmseg_gc.engine.runner import SegRunner

    runner = SegRunner.from_cfg(cfg)
    before = runner.model.backbone.layer4[0].conv1.weight.detach().clone()
    runner.train()
    loss = float(runner.message_hub.get_scalar("train/loss").current())
    moved = not torch.equal(before, runner.model.backbone.layer4[0].conv1.weight)
    runner.model.eval()
    batch = next(iter(runner.build_dataloader(cfg.test_dataloader)))
    with torch.no_grad():
        [sample] = runner.model.test_step(batch)
    found = sample.pred_instances
    shape_ok = tuple(found.masks.shape) == (len(found), *sample.ori_shape)
    return dict(loss=loss, moved=moved, boxes=len(found), shape_ok=shape_ok)


def check(path: Path, root: Path) -> dict:
    """One row of the table."""
    from mmengine.registry import DefaultScope

    from mmseg_gc.config import load_config
    from mmseg_gc.registry import MODELS

    cfg = load_config(path, work_dir=root / "work")
    theirs, source = reference_model(cfg, path.name)
    row = dict(config=path.stem, source=source)
    with DefaultScope.overwrite_default_scope("mmdet"), MODELS.switch_scope_and_registry(None) as m:
        for model in (cfg.model, theirs):
            model.backbone.init_cfg = None
        row.update(compare(m.build(copy.deepcopy(cfg.model)), m.build(theirs)))
    shrink(cfg, root)
    row.update(run_once(cfg))
    row["ok"] = (
        not source.startswith("DIFFERS")
        and row["same_params"]
        and row["same_keys"]
        and all(row["differences"][dtype] <= limit for dtype, limit in TOLERANCES.items())
        and row["moved"]
        and row["shape_ok"]
        and row["boxes"] > 0
        and math.isfinite(row["loss"])
    )
    return row


def table(rows: list[dict]):
    from prettytable import PrettyTable

    lines = PrettyTable(
        ["config", "compared with", "params (M)", "its (M)", "keys", *TOLERANCES, "loss of a step",
         "boxes of a batch", ""]
    )  # fmt: skip
    lines.align["config"] = "l"
    for row in rows:
        lines.add_row(
            [
                row["config"],
                row["source"],
                row["params"],
                row["reference_params"],
                "equal" if row["same_keys"] else "DIFFER",
                *[f"{row['differences'][dtype]:.1e}" for dtype in TOLERANCES],
                f"{row['loss']:.3f}",
                row["boxes"],
                "ok" if row["ok"] else "DIFFERS",
            ]
        )
    return lines


@cli
def main() -> int:
    args = parse_args()
    from mmseg_gc.environment import require_detection

    require_detection("this check")
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    rows = []
    with tempfile.TemporaryDirectory(prefix="check-detection-") as folder:
        draw_coco(Path(folder))
        for path in sorted({path for glob in args.configs for path in CONFIGS.glob(glob)}):
            with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints what it reads
                rows.append(check(path, Path(folder)))
            print(f"{len(rows):2d} {path.stem}: {'ok' if rows[-1]['ok'] else rows[-1]}", flush=True)
    print(table(rows))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))
    return int(not rows or not all(row["ok"] for row in rows))


if __name__ == "__main__":
    main()
