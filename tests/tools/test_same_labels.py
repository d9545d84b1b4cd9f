"""`tools/test.py --out` and `tools/label.py` write the same files, which score what is printed."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_gc.checkpoint import save_checkpoint
from mmseg_gc.config import load_config
from mmseg_gc.registry import MODELS

CONFIG = """
default_scope = "mmseg_gc"
norm = dict(type="BN")
model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(type="SegDataPreProcessor", mean=[99.0, 88, 77], std=[50.0, 60, 70]),
    backbone=dict(type="ResNet", depth=18, stem_channels=4, base_channels=4, num_stages=1,
                  strides=(1,), dilations=(1,), out_indices=(0,), norm_cfg=norm),
    decode_head=dict(type="FCNHead", in_channels=4, in_index=0, channels=4, num_convs=1,
                     num_classes=2, norm_cfg=norm))
load, label = dict(type="LoadImageFromFile"), dict(type="LoadAnnotations")
pack = dict(type="PackSegInputs")
parts = [dict(type="BaseSegDataset", data_root="{root}", img_suffix=suffix, test_mode=True,
              reduce_zero_label=True, metainfo=dict(classes=["x", "y"]),
              pipeline=[load, label, pack],
              data_prefix=dict(img_path=f"images/{{name}}", seg_map_path=f"labels/{{name}}"))
         for name, suffix in (("one", ".png"), ("two", ".bmp"))]
test_dataloader = dict(batch_size=1, num_workers=0,
                       sampler=dict(type="DefaultSampler", shuffle=False),
                       dataset=dict(type="ConcatDataset", datasets=parts))
test_evaluator = [dict(type="IoUMetric"), dict(type="IoUMetric", iou_metrics="mDice", prefix="d")]
test_cfg = dict(type="TestLoop")
tta_pipeline = [load, dict(type="TestTimeAug", transforms=[
    [dict(type="Resize", scale_factor=r, keep_ratio=True) for r in (1.0, 1.5)],
    [dict(type="RandomFlip", prob=p, direction="horizontal") for p in (0.0, 1.0)],
    [label], [pack]])]
default_hooks = dict(logger=dict(type="LoggerHook"),
                     visualization=dict(type="SegVisualizationHook"))
visualizer = dict(type="SegLocalVisualizer", vis_backends=[dict(type="LocalVisBackend")])
"""


@pytest.fixture
def folder(tmp_path):
    """Two data sets of an image of the same name each, labels 0..2 where 0 is nothing."""
    draw = np.random.default_rng(0)
    for name, suffix in (("one", "png"), ("two", "bmp")):
        for kind in ("images", "labels"):
            (tmp_path / kind / name).mkdir(parents=True)
        pixels = draw.integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / name / f"p.{suffix}")
        label = draw.integers(0, 3, (20, 30), dtype=np.uint8)
        Image.fromarray(label).save(tmp_path / "labels" / name / "p.png")
    (tmp_path / "c.py").write_text(CONFIG.format(root=tmp_path))
    torch.manual_seed(0)
    model = MODELS.build(load_config(tmp_path / "c.py").model)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    torch.nn.init.zeros_(model.decode_head.conv_seg.bias)
    save_checkpoint(dict(state_dict=model.state_dict()), tmp_path / "w.pth")
    return tmp_path


@pytest.mark.parametrize("extra", [[], ["--aug-test"]])
def test_files_of_both_tools(run_tool, folder, extra):
    finished = run_tool(
        "test.py", folder / "c.py", folder / "w.pth", *extra, "--work-dir", folder / "work",
        "--out", folder / "out", "--show-dir", folder / "show",
    )  # fmt: skip
    assert finished.status == 0, finished.err
    labelled = run_tool(
        "label.py", folder / "c.py", folder / "w.pth", *extra, folder / "images/one",
        folder / "images/two", "--out-dir", folder / "lab", "--device=cpu",
    )  # fmt: skip
    assert labelled.status == 0, labelled.err

    counts = np.zeros((3, 3), int)
    for name in ("one", "two"):
        by_test = np.array(Image.open(folder / "out" / name / "p.png"))
        by_label = np.array(Image.open(folder / "lab/pred" / name / "p.png"))
        assert np.array_equal(by_test, by_label)
        assert set(np.unique(by_test)) == {1, 2}  # the numbers of the label files
        true = np.array(Image.open(folder / "labels" / name / "p.png"))
        np.add.at(counts, (true, by_test), 1)
        assert (folder / "show" / name / "p.png").is_file()
        assert (folder / "lab/vis" / name / "p.jpg").is_file()
    counts = counts[1:, 1:]
    hit, both = counts.diagonal(), counts.sum(0) + counts.sum(1)
    printed = dict(re.findall(r"(mIoU|d/mDice): ([\d.]+)", finished.out + finished.err))
    assert float(printed["mIoU"]) == pytest.approx((hit / (both - hit)).mean() * 100, abs=0.006)
    assert float(printed["d/mDice"]) == pytest.approx((2 * hit / both).mean() * 100, abs=0.006)
