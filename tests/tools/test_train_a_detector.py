"""Train and test a detector with the tools themselves, on instances of drawn CamVid images."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmseg_gc.checkpoint import load_checkpoint, load_into, save_checkpoint
from mmseg_gc.config import load_config
from mmseg_gc.errors import UserError

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs/gcnet_det/mask-rcnn_r50-gcb-r4-c3-c5_fpn_1xb2-300i_camvid-240x320.py"
COCO = ROOT / "configs/gcnet_det/mask-rcnn_r50_fpn_1x_coco.py"
pytestmark = pytest.mark.det


@pytest.fixture
def options(camvid_root, run_tool):
    """``--cfg-options`` that make the CamVid config run in seconds."""
    made = run_tool("convert_datasets/camvid_instances.py", camvid_root, "--min-area", "20")
    assert made.status == 0, made.err
    loaders = ("train_dataloader", "val_dataloader", "test_dataloader")
    return [
        "--cfg-options",
        *[f"{loader}.dataset.data_root={camvid_root}" for loader in loaders],
        *[f"{loader}.num_workers=0" for loader in loaders],
        *[
            f"{split}_evaluator.ann_file={camvid_root}/annotations/instances_val.json"
            for split in ("val", "test")
        ],
        "train_dataloader.batch_size=1",
        "train_dataloader.dataset.pipeline.2.scale=(96,72)",
        "test_dataloader.dataset.pipeline.1.scale=(96,72)",
        "val_dataloader.dataset.pipeline.1.scale=(96,72)",
        "train_cfg.max_iters=2",
        "train_cfg.val_interval=2",
        "default_hooks.checkpoint.interval=2",
        "default_hooks.logger.interval=1",
        "model.test_cfg.rcnn.score_thr=0",
        "randomness.seed=0",
    ]


def run(*command, **variables):
    environment = {
        **os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT),
        **variables,
    }  # fmt: skip
    return subprocess.run(
        [*map(str, command)],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=500,
    )  # fmt: skip


def test_two_processes_train_then_test(options, free_port, tmp_path):
    trained = run(
        "tools/dist_train.sh", CONFIG, 2, "--validate", "--work_dir", tmp_path, *options,
        "model.backbone.norm_cfg.type=SyncBN", "screen=full", PORT=free_port,
    )  # fmt: skip
    text = trained.stdout + trained.stderr
    assert trained.returncode == 0, text[-2000:]
    assert "SyncBN layers run as AllReduceBatchNorm2d" in text
    assert "coco/bbox_mAP: " in text and "coco/segm_mAP: " in text
    weights = load_checkpoint(tmp_path / "iter_2.pth")["state_dict"]
    assert all(value.isfinite().all() for value in weights.values())

    out = tmp_path / "results.pkl"
    tested = run(
        sys.executable, "tools/test.py", CONFIG, tmp_path / "iter_2.pth", "--work_dir", tmp_path,
        "--gpus", 2, "--out", out, "--eval", "bbox", *options,
    )  # fmt: skip
    text = tested.stdout + tested.stderr
    assert tested.returncode == 0, text[-2000:]
    assert "coco/bbox_mAP: " in text and "segm_mAP" not in text
    with out.open("rb") as file:
        results = pickle.load(file)
    # Each of the two processes has tested one of the two images.
    assert sorted(Path(r["img_path"]).name for r in results) == sorted(
        path.name for path in Path(results[0]["img_path"]).parent.glob("*.png")
    )
    found = results[0]["pred_instances"]
    assert len(found["bboxes"]) == len(found["masks"]) == len(found["scores"]) > 0
    assert found["masks"][0]["size"] == [72, 96]


def test_one_process_keeps_the_memory_layout_of_mmcv_ops(options, tmp_path):
    """mmcv's RoIAlign takes any memory for (N, C, H, W) in order."""
    from mmseg_gc.arguments import run_config, run_parser
    from mmseg_gc.engine.runner import SegRunner

    args = run_parser("").parse_args([str(CONFIG), "--work-dir", str(tmp_path), *options])
    runner = SegRunner.from_cfg(run_config(args))
    weight = runner.model.backbone.layer1[0].conv2.weight
    assert weight.is_contiguous()
    seen = []
    extractor = runner.model.roi_head.bbox_roi_extractor
    extractor.register_forward_pre_hook(
        lambda module, inputs: seen.extend(x.is_contiguous() for x in inputs[0])
    )
    runner.train()
    assert seen and all(seen)


def test_a_segmentor_trains_with_deformable_convolution(run_tool, camvid_options, tmp_path):
    finished = run_tool(
        "train.py", ROOT / "configs/gcnet/gcnet_r50-d8_1xb8-20k_camvid-360x480.py", "--no-validate",
        "--work-dir", tmp_path, "--cfg-options", *camvid_options,
        "model.backbone.dcn.type=DCN", "model.backbone.stage_with_dcn=(False,False,True,True)",
    )  # fmt: skip
    assert finished.status == 0, finished.err[-2000:]
    weights = load_checkpoint(tmp_path / "iter_2.pth")["state_dict"]
    offsets = [k for k in weights if k.endswith("conv2.conv_offset.weight")]
    assert len(offsets) == 6 + 3
    assert all(weights[key].abs().max() > 0 for key in offsets), "they start at zero and learn"
    finished = run_tool(
        "test.py", ROOT / "configs/gcnet/gcnet_r50-d8_1xb8-20k_camvid-360x480.py",
        tmp_path / "iter_2.pth", "--work-dir", tmp_path, "--cfg-options", *camvid_options,
        "model.backbone.dcn.type=DCN", "model.backbone.stage_with_dcn=(False,False,True,True)",
    )  # fmt: skip
    assert finished.status == 0, finished.err[-2000:]
    assert "mIoU: " in finished.out + finished.err


def test_an_inference_api_for_segmentors_says_so():
    from mmseg_gc.apis import init_model

    with pytest.raises(UserError, match="is of a detector.*mmdet.apis.init_detector"):
        init_model(COCO)


def test_published_names_fit(tmp_path):
    """Files of mmdetection 1.x and 2.x give every weight of today's model, in its class order."""
    from mmengine.registry import DefaultScope

    from mmseg_gc.registry import MODELS

    cfg = load_config(ROOT / "configs/gcnet_det/mask-rcnn_r50-gcb-r4-c3-c5_fpn_1x_coco.py").model
    cfg.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope("mmdet"), MODELS.switch_scope_and_registry(None) as m:
        model = m.build(cfg)
    state = model.state_dict()
    assert "backbone.layer2.0.context_block.channel_add_conv.3.bias" in state
    save_checkpoint({"state_dict": state, "meta": {}}, tmp_path / "v2.pth")

    old = {}
    for name, value in state.items():
        if name.endswith(("fc_cls.weight", "fc_cls.bias")):
            value = torch.cat([value[-1:], value[:-1]])
        elif name.endswith(("fc_reg.weight", "fc_reg.bias")):
            value = torch.cat([torch.zeros_like(value[:4]), value])
        elif "conv_logits" in name:
            value = torch.cat([torch.zeros_like(value[:1]), value])
        old[name.removeprefix("roi_head.")] = value
    save_checkpoint({"state_dict": old, "meta": {}}, tmp_path / "v1.pth")

    expected = {name: value.clone() for name, value in state.items()}
    for file in ("v2.pth", "v1.pth"):
        with torch.no_grad():
            for value in model.state_dict().values():
                value.zero_()
        load_into(model, load_checkpoint(tmp_path / file))
        for name, value in model.state_dict().items():
            assert torch.equal(value, expected[name]), (file, name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.rpn_head.feat_chanels": 1}, "feat_chanels doesn't exist; did you mean"),
        ({"model.backbone.deph": 1}, "model.backbone.deph doesn't exist; did you mean 'depth'"),
        ({"model.roi_head.bbox_head.num_classes": 7}, "num_classes is 7, but .* has 80 classes"),
        ({"model.rpn_head.anchor_generator.scale": 1}, "anchor_generator.scale doesn't exist"),
        ({"test_evaluator.metrics": "bbox"}, "test_evaluator.metrics doesn't exist"),
    ],
)
def test_a_wrong_key_is_named(changes, message):
    with pytest.raises(UserError, match=message):
        load_config(COCO, changes)
