from pathlib import Path

import pytest
from mmengine.config import Config

from mmseg_gc.config import load_config
from mmseg_gc.errors import UserError
from mmseg_gc.registry import MODELS

CONFIGS = Path(__file__).parents[2] / "configs"
ROW = CONFIGS / "gcnet" / "gcnet_r50-d8_4xb2-40k_cityscapes-512x1024.py"
CAMVID = CONFIGS / "gcnet" / "gcnet_r18-d8_1xb8-20k_camvid-360x480.py"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_work_dir_comes_from_the_name_unless_given():
    assert load_config(ROW).work_dir == f"work_dirs/{ROW.stem}"
    assert load_config(ROW, work_dir="elsewhere").work_dir == "elsewhere"


def test_options_are_merged():
    cfg = load_config(ROW, {"model.backbone.depth": 101, "randomness.seed": 3})
    assert cfg.model.backbone.depth == 101
    assert cfg.randomness.seed == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model.backbone.deph": 18}, r"model\.backbone\.deph doesn't exist; did you mean 'depth'"),
        ({"model.decode_head.type": "GCHaed"}, r"no model 'GCHaed' here; did you mean 'GCHead'"),
        (
            {"model.decode_head.type": "Zz9"},
            r"no model 'Zz9' here; this package has .*GCHead",
        ),
        ({"train_dataloadr.batch_size": 2}, r"no config key 'train_dataloadr'; did you mean"),
        ({"train_dataloader.batchsize": 2}, r"train_dataloader\.batchsize doesn't exist"),
        (
            {"train_cfg.max_iter": 10},
            r"train_cfg\.max_iter doesn't exist; did you mean 'max_iters'",
        ),
        ({"optim_wrapper.optimizer.lrr": 1}, r"optimizer\.lrr doesn't exist; did you mean 'lr'"),
        ({"model.decode_head.num_classes": 7}, r"num_classes is 7, but .* has 19 classes"),
        ({"test_evaluator.iou_metric": "x"}, r"test_evaluator\.iou_metric doesn't exist"),
        ({"train_pipeline.9.foo": 1}, r"can't be merged"),
    ],
)
def test_a_wrong_key_is_named_with_the_cure(options, message):
    with pytest.raises(UserError, match=message):
        load_config(ROW, options)


def test_a_key_left_over_from_a_base_file_is_told_with_its_cure(tmp_path):
    text = f'_base_ = "{ROW}"\nmodel = dict(decode_head=dict(type="FCNHead"))\n'
    cure = r"decode_head\.\w+ doesn't exist; known keys: .*base file, add _delete_=True"
    with pytest.raises(UserError, match=cure) as told:
        load_config(write(tmp_path / "own.py", text))
    assert "num_convs" in str(told.value) and "self" not in str(told.value)


def test_a_misspelt_key_at_the_top_of_a_file(tmp_path):
    path = write(tmp_path / "c.py", "val_dataloadr = dict(batch_size=1)\n")
    with pytest.raises(UserError, match="'val_dataloadr' in .*c.py doesn't exist; did you mean"):
        load_config(path)


def test_a_missing_file_suggests_its_neighbour():
    with pytest.raises(UserError, match="did you mean .*gcnet_r50-d8_4xb2-40k_cityscapes-512x1024"):
        load_config(ROW.with_name("gcnet_r50-d8_4xb2_40k_cityscapes-512x1024.py"))


def test_a_broken_file_says_where(tmp_path):
    path = write(tmp_path / "broken.py", "model = dict(\n")
    with pytest.raises(UserError, match="broken.py can't be read: SyntaxError"):
        load_config(path)


def test_a_config_of_mmsegmentation_runs_as_it_is(tmp_path):
    text = Config.fromfile(ROW).pretty_text.replace("mmseg_gc", "mmseg")
    text = text.replace("type='GCHead'", "type='mmseg.GCHead'")
    cfg = load_config(write(tmp_path / "theirs.py", text))
    assert cfg.default_scope == "mmseg_gc"
    assert cfg.model.decode_head.type == "GCHead"


def test_everything_follows_the_heads_ignore_index(tmp_path):
    text = f"""_base_ = "{CAMVID}"
pipeline = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations"),
            dict(type="RandomRotate", prob=0.5, degree=5, seg_pad_val=255),
            dict(type="RandomCrop", crop_size=(64, 64)),
            dict(type="Pad", size=(64, 64)), dict(type="PackSegInputs")]
train_dataloader = dict(dataset=dict(pipeline=pipeline))
"""
    cfg = load_config(write(tmp_path / "own.py", text))
    dataset = cfg.train_dataloader.dataset
    assert cfg.model.data_preprocessor.seg_pad_val == 11
    assert dataset.ignore_index == 11
    rotate, crop, pad = dataset.pipeline[2:5]
    assert (rotate.seg_pad_val, crop.ignore_index) == (11, 11)
    assert pad.pad_val == dict(img=0, seg=11)
    assert cfg.val_evaluator.ignore_index == cfg.test_evaluator.ignore_index == 11


FOLDERS = ROW.with_name("gcnet_r50-d8_1xb4-20k_folders-512x512.py")


def test_heads_that_name_no_ignore_index_take_the_data_sets(tmp_path):
    text = f"""_base_ = "{FOLDERS}"
train_dataloader = dict(dataset=dict(ignore_index=0))
"""
    cfg = load_config(write(tmp_path / "own.py", text), check=False)
    assert cfg.model.decode_head.ignore_index == cfg.model.auxiliary_head.ignore_index == 0
    assert cfg.val_dataloader.dataset.ignore_index == cfg.val_evaluator.ignore_index == 0
    assert cfg.model.data_preprocessor.seg_pad_val == 0


@pytest.mark.parametrize(
    "line",
    [
        "val_dataloader = dict(dataset=dict(ignore_index=1))",
        "model = dict(decode_head=dict(ignore_index=2))",
    ],
)
def test_two_ids_to_ignore_are_refused(tmp_path, line):
    text = f"""_base_ = "{FOLDERS}"
train_dataloader = dict(dataset=dict(ignore_index=0))
{line}
"""
    with pytest.raises(
        UserError, match="ignore_index is 0 in train_dataloader.dataset and [12] in"
    ):
        load_config(write(tmp_path / "own.py", text), check=False)


def test_an_evaluators_own_ignore_index_is_for_scoring_alone(tmp_path):
    text = f"""_base_ = "{FOLDERS}"
val_evaluator = dict(ignore_index=0)
"""
    cfg = load_config(write(tmp_path / "own.py", text), check=False)
    assert cfg.val_evaluator.ignore_index == 0
    assert "ignore_index" not in cfg.model.decode_head


def test_heads_that_ignore_no_label_leave_the_data_as_it_was():
    heads = ("decode_head", "auxiliary_head")
    default = load_config(ROW)
    cfg = load_config(ROW, {f"model.{head}.ignore_index": None for head in heads})
    for key in ("train_dataloader", "test_dataloader", "val_evaluator", "tta_pipeline"):
        assert cfg[key] == default[key]
    assert cfg.model.data_preprocessor.seg_pad_val == 255


def test_loading_leaves_a_config_object_as_it_was():
    cfg = Config.fromfile(CAMVID)
    before = cfg.pretty_text
    load_config(cfg)
    assert cfg.pretty_text == before


def test_bases_of_mmsegmentation_are_found_here(tmp_path):
    path = write(
        tmp_path / "own.py",
        f"_base_ = 'mmseg::gcnet/{ROW.name}'\nmodel = dict(backbone=dict(depth=101))\n",
    )
    cfg = load_config(path)
    assert cfg.model.backbone.depth == 101
    assert MODELS.build({**cfg.model, "pretrained": None}).num_classes == 19
    path.write_text("_base_ = 'mmseg::pspnet/pspnet_r50-d8.py'\n")
    with pytest.raises(UserError, match="own.py builds on mmseg::pspnet"):
        load_config(path)


PURE_PYTHON = """
from mmseg.models import FCNHead, SegDataPreProcessor
from mmseg.models.backbones import ResNetV1c
from mmseg.models.segmentors import EncoderDecoder
from torch.nn import SyncBatchNorm

norm_cfg = dict(type=SyncBatchNorm, requires_grad=True)
model = dict(
    type=EncoderDecoder,
    data_preprocessor=dict(type=SegDataPreProcessor),
    backbone=dict(type=ResNetV1c, depth=18, norm_cfg=norm_cfg),
    decode_head=dict(
        type=FCNHead, in_channels=512, channels=8, num_classes=4, ignore_index=4, norm_cfg=norm_cfg
    ),
)
"""


def test_a_pure_python_config_finds_this_packages_classes(tmp_path):
    write(tmp_path / "base.py", PURE_PYTHON)
    path = write(
        tmp_path / "leaf.py",
        "from mmengine.config import read_base\n\nwith read_base():\n    from .base import *\n\n"
        "model.update(dict(decode_head=dict(num_classes=7, ignore_index=7)))\n",
    )
    model = MODELS.build(load_config(path).model)
    assert type(model) is MODELS.get("EncoderDecoder")
    assert model.num_classes == 7
    assert model.data_preprocessor.seg_pad_val == 7
    write(tmp_path / "base.py", PURE_PYTHON.replace("FCNHead", "Zz9"))
    with pytest.raises(UserError, match=r"imports Zz9 of .*, which doesn't exist here; .*FCNHead"):
        load_config(tmp_path / "base.py")


@pytest.mark.parametrize("scope", ["mmseg_gc", "mmseg"])
def test_plain_config_files_build_on_those_of_the_package(tmp_path, scope):
    """As a notebook reads them, by `Config.fromfile`."""
    (tmp_path / "own.py").write_text(
        f'_base_ = "{scope}::gcnet/gcnet_r50-d8_4xb2-40k_cityscapes-512x1024.py"\n'
        "train_cfg = dict(max_iters=7)\n"
    )
    cfg = Config.fromfile(tmp_path / "own.py")
    assert cfg.train_cfg.max_iters == 7 and cfg.model.backbone.depth == 50
    (tmp_path / "own.py").write_text(f'_base_ = "{scope}::gcnet/nothing.py"\n')
    with pytest.raises(UserError, match="gcnet/nothing.py, and .* doesn't exist"):
        Config.fromfile(tmp_path / "own.py")


def test_bases_of_other_packages_stay_mmengines(tmp_path):
    (tmp_path / "own.py").write_text('_base_ = "mmyolo::a/b.py"\n')
    with pytest.raises(ModuleNotFoundError, match="mmyolo is not installed"):
        Config.fromfile(tmp_path / "own.py")
