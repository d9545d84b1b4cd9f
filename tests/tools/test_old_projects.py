"""Three projects as their owners have them train, test and label, unchanged."""

import sys

import cv2
import numpy as np
import pytest

from mmseg_gc.config import load_config
from mmseg_gc.registry import DATASETS, HOOKS, MODELS

# Modules of the projects, as written for mmsegmentation.
OLD_DATA_SET = """
from mmseg.datasets.builder import DATASETS
from mmseg.datasets.custom import CustomDataset


@DATASETS.register_module()
class OldRoads(CustomDataset):
    CLASSES = ('background', 'road')
    PALETTE = [[0, 0, 0], [255, 0, 0]]

    def __init__(self, **kwargs):
        super(OldRoads, self).__init__(
            img_suffix='.png', seg_map_suffix='.png', reduce_zero_label=False, **kwargs)
"""
NEW_PARTS = """
import torch
import torch.nn as nn
from mmcv.cnn import ConvModule
from mmengine.hooks import Hook
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses.accuracy import accuracy
from mmseg.models.utils import resize
from mmseg.registry import HOOKS, MODELS
from mmseg.utils import ConfigType, SampleList


@MODELS.register_module()
class OwnHead(BaseDecodeHead):
    def __init__(self, num_convs: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.convs = nn.Sequential(*[
            ConvModule(self.in_channels, self.channels, 3, padding=1, norm_cfg=self.norm_cfg)
            for _ in range(num_convs)])

    def forward(self, inputs):
        return self.cls_seg(self.convs(self._transform_inputs(inputs)))


@MODELS.register_module()
class OwnLoss(nn.Module):
    def __init__(self, loss_weight=1.0, loss_name='loss_own'):
        super().__init__()
        self.loss_weight, self._loss_name = loss_weight, loss_name

    def forward(self, pred, target, weight=None, ignore_index=255, **kwargs):
        return self.loss_weight * nn.functional.cross_entropy(
            pred, target, ignore_index=ignore_index)

    @property
    def loss_name(self):
        return self._loss_name


@HOOKS.register_module()
class OwnHook(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        print('OwnHook', runner.iter, sorted(outputs))
"""

# Configs. @ROOT@ is the data, in the folders that both generations name.
OLD_CONFIG = """
custom_imports = dict(imports=['old_roads'], allow_failed_imports=False)
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    type='EncoderDecoder', pretrained=None,
    backbone=dict(type='ResNetV1c', depth=18, stem_channels=8, base_channels=8, num_stages=4,
                  out_indices=(0, 1, 2, 3), dilations=(1, 1, 2, 4), strides=(1, 2, 1, 1),
                  norm_cfg=norm_cfg, norm_eval=False, style='pytorch', contract_dilation=True),
    decode_head=dict(type='GCHead', in_channels=64, in_index=3, channels=8, ratio=1 / 4.,
                     pooling_type='att', fusion_types=('channel_add', ), dropout_ratio=0.1,
                     num_classes=2, norm_cfg=norm_cfg, align_corners=False,
                     loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False)),
    train_cfg=dict(), test_cfg=dict(mode='whole'))
dataset_type = 'OldRoads'
data_root = '@ROOT@'
img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
crop_size = (32, 32)
train_pipeline = [
    dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'),
    dict(type='Resize', img_scale=(64, 48), ratio_range=(0.9, 1.5)),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5), dict(type='PhotoMetricDistortion'),
    dict(type='Normalize', **img_norm_cfg),
    dict(type='Pad', size=crop_size, pad_val=0, seg_pad_val=255),
    dict(type='DefaultFormatBundle'), dict(type='Collect', keys=['img', 'gt_semantic_seg'])]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='MultiScaleFlipAug', img_scale=(64, 48), flip=False, transforms=[
        dict(type='Resize', keep_ratio=True), dict(type='RandomFlip'),
        dict(type='Normalize', **img_norm_cfg), dict(type='ImageToTensor', keys=['img']),
        dict(type='Collect', keys=['img'])])]
data = dict(
    samples_per_gpu=2, workers_per_gpu=0,
    train=dict(type=dataset_type, data_root=data_root, img_dir='images/train',
               ann_dir='labels/train', pipeline=train_pipeline),
    val=dict(type=dataset_type, data_root=data_root, img_dir='images/val', ann_dir='labels/val',
             pipeline=test_pipeline),
    test=dict(type=dataset_type, data_root=data_root, img_dir='images/val', ann_dir='labels/val',
              pipeline=test_pipeline))
log_config = dict(interval=1, hooks=[dict(type='TextLoggerHook', by_epoch=False)])
dist_params = dict(backend='nccl')
log_level = 'INFO'
load_from = None
resume_from = None
workflow = [('train', 1)]
cudnn_benchmark = True
optimizer = dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=0.0005)
optimizer_config = dict()
lr_config = dict(policy='poly', power=0.9, min_lr=1e-4, by_epoch=False)
runner = dict(type='IterBasedRunner', max_iters=2)
checkpoint_config = dict(by_epoch=False, interval=2)
evaluation = dict(interval=2, metric='mIoU', pre_eval=True)
"""
NEW_DATA = """
crop_size = (32, 32)
metainfo = dict(classes=('background', 'road'), palette=[[0, 0, 0], [255, 0, 0]])
train_pipeline = [
    dict(type=LoadImageFromFile), dict(type=LoadAnnotations),
    dict(type=RandomCrop, crop_size=crop_size, cat_max_ratio=0.75),
    dict(type=RandomFlip, prob=0.5), dict(type=PackSegInputs)]
test_pipeline = [
    dict(type=LoadImageFromFile), dict(type=Resize, scale=(64, 48), keep_ratio=True),
    dict(type=LoadAnnotations), dict(type=PackSegInputs)]
common = dict(type=BaseSegDataset, data_root='@ROOT@', metainfo=metainfo, img_suffix='.png')
train_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type=InfiniteSampler, shuffle=True),
    dataset=dict(data_prefix=dict(img_path='images/train', seg_map_path='labels/train'),
                 pipeline=train_pipeline, **common))
val_dataloader = dict(
    batch_size=1, num_workers=0, sampler=dict(type=DefaultSampler, shuffle=False),
    dataset=dict(data_prefix=dict(img_path='images/val', seg_map_path='labels/val'),
                 pipeline=test_pipeline, **common))
test_dataloader = val_dataloader
val_evaluator = dict(type=IoUMetric, iou_metrics=['mIoU'])
test_evaluator = val_evaluator
"""
# The names that stand without quotes above, which a config of text has to quote.
IMPORTS = """
from mmcv.transforms.loading import LoadImageFromFile
from mmcv.transforms.processing import RandomFlip, Resize
from mmengine.dataset.sampler import DefaultSampler, InfiniteSampler
from mmseg.datasets.basesegdataset import BaseSegDataset
from mmseg.datasets.transforms.formatting import PackSegInputs
from mmseg.datasets.transforms.loading import LoadAnnotations
from mmseg.datasets.transforms.transforms import RandomCrop
from mmseg.evaluation.metrics.iou_metric import IoUMetric
"""
NAMES = [name for line in IMPORTS.split("\n") for name in line.partition(" import ")[2].split(", ")]
NARROW = """
model.update(pretrained=None, data_preprocessor=dict(
    type='SegDataPreProcessor', mean=[0.] * 3, std=[255.] * 3, bgr_to_rgb=True, pad_val=0,
    seg_pad_val=255, size=crop_size), auxiliary_head=None)
model['backbone'].update(depth=18, stem_channels=8, base_channels=8, norm_cfg=dict(type='BN'))
train_cfg.update(max_iters=2, val_interval=2)
param_scheduler[0].update(end=2)
default_hooks['checkpoint'].update(interval=2)
default_hooks['logger'].update(interval=1)
"""
NEW_CONFIG = """
_base_ = ['../_base_/models/gcnet_r50-d8.py', '../_base_/default_runtime.py',
          '../_base_/schedules/schedule_20k.py']
custom_imports = dict(imports=['own_parts'], allow_failed_imports=False)
custom_hooks = [dict(type='OwnHook')]
model = dict(
    pretrained=None, auxiliary_head=None,
    data_preprocessor=dict(size=(32, 32)),
    backbone=dict(depth=18, stem_channels=8, base_channels=8, norm_cfg=dict(type='BN')),
    decode_head=dict(
        _delete_=True, type='OwnHead', in_channels=64, in_index=3, channels=8, num_classes=2,
        norm_cfg=dict(type='BN'), align_corners=False,
        loss_decode=[dict(type='CrossEntropyLoss', loss_weight=0.5), dict(type='OwnLoss')]))
train_cfg = dict(max_iters=2, val_interval=2)
param_scheduler = [dict(type='PolyLR', eta_min=1e-4, power=0.9, begin=0, end=2, by_epoch=False)]
default_hooks = dict(checkpoint=dict(interval=2), logger=dict(interval=1))
"""
PURE_CONFIG = """
from mmengine.config import read_base

with read_base():
    from mmseg.configs._base_.default_runtime import *
    from mmseg.configs._base_.models.gcnet_r50_d8 import *
    from mmseg.configs._base_.schedules.schedule_20k import *
"""


def quoted(text: str) -> str:
    for name in NAMES:
        text = text.replace(f"type={name}", f"type='{name}'") if name else text
    return text


PROJECTS = {
    "of 0.x": (OLD_CONFIG, "old_roads", OLD_DATA_SET),
    "of 1.x": (NEW_CONFIG + quoted(NEW_DATA), "own_parts", NEW_PARTS),
    "in pure Python": (
        PURE_CONFIG
        + IMPORTS
        + NEW_DATA
        + NARROW
        + "model['decode_head'].update(in_channels=64, channels=8, num_classes=2,\n"
        + "    norm_cfg=dict(type='BN'))\n",
        None,
        "",
    ),
}


@pytest.fixture
def roads(tmp_path):
    """Images of 48 x 64 and labels of 0 and 1: 2 to train with, 1 to validate."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 2), ("val", 1)):
        for kind in ("images", "labels"):
            (tmp_path / "data" / kind / split).mkdir(parents=True)
        for number in range(count):
            label = np.kron(rng.integers(0, 2, (6, 8)), np.ones((8, 8))).astype(np.uint8)
            image = np.stack([label * 200] * 3, -1) + rng.integers(0, 50, (48, 64, 3))
            for kind, pixels in (("images", image.astype(np.uint8)), ("labels", label)):
                cv2.imwrite(str(tmp_path / "data" / kind / split / f"{number}.png"), pixels)
    yield tmp_path / "data"
    for registry in (DATASETS, HOOKS, MODELS):  # of one process are all tests
        for name in ("OldRoads", "OwnHead", "OwnLoss", "OwnHook"):
            registry.module_dict.pop(name, None)


# One by default, which takes some seconds; the others look at the same tools.
@pytest.mark.parametrize(
    "name", ["of 0.x", *[pytest.param(n, marks=pytest.mark.slow) for n in list(PROJECTS)[1:]]]
)
def test_a_project_moves_in(name, run_tool, roads, tmp_path, monkeypatch):
    text, module, code = PROJECTS[name]
    (tmp_path / "project").mkdir()
    config = tmp_path / "project" / "mine.py"
    config.write_text(text.replace("@ROOT@", str(roads)))
    if module is not None:
        (tmp_path / "project" / f"{module}.py").write_text(code)
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.syspath_prepend(tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    trained = run_tool("train.py", config, "--work-dir", "w")
    assert trained.status in (0, None), trained.err
    assert ("OwnHook 1 ['decode.acc_seg', 'decode.loss_ce', 'decode.loss_own'" in trained.out) == (
        module == "own_parts"
    )
    tested = run_tool("test.py", config, "w/iter_2.pth", "--work-dir", "t", "--out", "maps")
    assert tested.status in (0, None), tested.err
    labelled = run_tool("label.py", config, "w/iter_2.pth", roads / "images/val", "--out-dir", "l")
    assert labelled.status in (0, None), labelled.err
    maps = [cv2.imread(f"{folder}/0.png", cv2.IMREAD_UNCHANGED) for folder in ("maps", "l/pred")]
    assert maps[0].shape == (48, 64) and (maps[0] == maps[1]).all()


def test_the_converted_file_is_the_same_config(run_tool, roads, tmp_path, monkeypatch):
    (tmp_path / "old_roads.py").write_text(OLD_DATA_SET)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "old_roads", raising=False)
    old, new = tmp_path / "old.py", tmp_path / "new.py"
    old.write_text(OLD_CONFIG.replace("@ROOT@", str(roads)))
    done = run_tool("misc/convert_config.py", old, new)
    assert done.status in (0, None), done.err
    before, after = (load_config(path, work_dir="w").to_dict() for path in (old, new))
    assert after == before
    assert "default_scope = 'mmseg'" in new.read_text()
    again = run_tool("misc/convert_config.py", old, new)
    assert again.status == 1 and "exists; choose another name, or add --overwrite" in again.err
    assert run_tool("misc/convert_config.py", old, new, "--overwrite").status in (0, None)
    wrong = run_tool("misc/convert_config.py", old, tmp_path / "new.txt")
    assert wrong.status == 1 and "name it NAME.py" in wrong.err
