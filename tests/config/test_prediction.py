"""What `prepare_test` makes of a config: several views go through what one image goes through."""

import copy

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmseg_gc.config import load_config
from mmseg_gc.config.prediction import prepare_test, write_predictions
from mmseg_gc.engine.runner import SegRunner
from mmseg_gc.errors import UserError
from mmseg_gc.evaluation import IoUMetric

LOAD = dict(type="LoadImageFromFile", color_type="unchanged")
LABEL, PACK = dict(type="LoadAnnotations"), dict(type="PackSegInputs")
ONE_VIEW = [
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [dict(type="Resize", scale_factor=1.0, keep_ratio=True)],
            [dict(type="RandomFlip", prob=0.0, direction="horizontal")],
            [LABEL],
            [PACK],
        ],
    ),
]
TOP_LEVEL = dict(type="SegDataPreProcessor", mean=[124.0] * 3, std=[58.0] * 3, bgr_to_rgb=True)


def tiny(preprocessor=None, channels=3):
    """Config of a network of one block that labels three classes."""
    norm = dict(type="BN")
    model = dict(
        type="EncoderDecoder",
        backbone=dict(
            type="ResNet",
            depth=18,
            in_channels=channels,
            stem_channels=4,
            base_channels=4,
            num_stages=1,
            strides=(1,),
            dilations=(1,),
            out_indices=(0,),
            norm_cfg=norm,
        ),
        decode_head=dict(
            type="FCNHead",
            in_channels=4,
            in_index=0,
            channels=4,
            num_convs=1,
            num_classes=3,
            norm_cfg=norm,
        ),
    )
    if preprocessor is not None:
        model["data_preprocessor"] = dict(type="SegDataPreProcessor", **preprocessor)
    return model


@pytest.fixture
def folder(tmp_path):
    """Two data sets of two images, 19 x 27 with 3 or 4 channels, and labels 0..2."""
    draw = np.random.default_rng(0)
    for channels in (3, 4):
        for name in ("a", "b"):
            pixels = draw.integers(0, 256, (19, 27, channels), dtype=np.uint8)
            label = draw.integers(0, 3, (19, 27), dtype=np.uint8)
            for kind, image in ((f"images{channels}", pixels), (f"labels{channels}", label)):
                (tmp_path / kind).mkdir(exist_ok=True)
                Image.fromarray(image).save(tmp_path / kind / f"{name}.png")
    return tmp_path


def config(folder, model, channels=3, wraps=False):
    part = dict(
        type="BaseSegDataset",
        data_root=str(folder),
        img_suffix=".png",
        metainfo=dict(classes=["x", "y", "z"]),
        data_prefix=dict(img_path=f"images{channels}", seg_map_path=f"labels{channels}"),
        pipeline=[LOAD, LABEL, PACK],
        test_mode=True,
    )
    dataset = dict(type="ConcatDataset", datasets=[part, part]) if wraps else part
    cfg = dict(
        default_scope="mmseg_gc",
        model=model,
        data_preprocessor=TOP_LEVEL,
        test_dataloader=dict(
            batch_size=1,
            num_workers=0,
            dataset=dataset,
            sampler=dict(type="DefaultSampler", shuffle=False),
        ),
        test_evaluator=dict(type="IoUMetric"),
        test_cfg=dict(type="TestLoop"),
        tta_pipeline=ONE_VIEW,
        default_hooks=dict(logger=dict(type="LoggerHook")),
        work_dir=str(folder / "work"),
    )
    return load_config(Config(cfg))


def labels(cfg, folder, *, aug_test):
    """The labels that a test run's model gives for the first image."""
    prepare_test(cfg, folder / "w.pth", aug_test=aug_test)
    runner = SegRunner.from_cfg(cfg)
    torch.manual_seed(0)
    for name, parameter in runner.model.named_parameters():
        if name.endswith("conv_seg.bias"):
            torch.nn.init.zeros_(parameter)
        elif parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    with torch.no_grad():
        batch = next(iter(runner.test_dataloader))
        return runner.model.eval().test_step(batch)[0].pred_sem_seg.data


@pytest.mark.parametrize(
    ("preprocessor", "channels"),
    [
        (dict(mean=[0.0, 10, 200], std=[255.0, 90, 30], bgr_to_rgb=False), 3),
        (
            dict(mean=[120.0] * 3, std=[60.0] * 3, rgb_to_bgr=True, test_cfg=dict(size_divisor=16)),
            3,
        ),
        (dict(mean=[120.0] * 3, std=[60.0] * 3, pad_val=3, test_cfg=dict(size=(40, 30))), 3),
        (dict(mean=[9.0, 99, 199, 5], std=[99.0, 9, 44, 90]), 4),
        (dict(), 3),
        (None, 3),
    ],
)
def test_one_view_is_the_plain_test(folder, preprocessor, channels):
    model = tiny(preprocessor, channels)  # None: the top level's serves both
    plain = labels(config(folder, model, channels), folder, aug_test=False)
    views = labels(config(folder, model, channels), folder, aug_test=True)
    assert len(plain.unique()) > 1
    assert views.equal(plain)


def test_every_data_set_of_several_gets_the_views(folder):
    cfg = config(folder, tiny(), wraps=True)
    prepare_test(cfg, "w.pth", aug_test=True)
    for part in cfg.test_dataloader.dataset.datasets:
        # The loader is the data set's own: it knows how its files are to be read.
        assert part.pipeline == [LOAD, ONE_VIEW[1]]


def test_views_need_a_pipeline(folder):
    cfg = config(folder, tiny())
    cfg.pop("tta_pipeline")
    with pytest.raises(UserError, match="has no tta_pipeline"):
        prepare_test(cfg, "w.pth", aug_test=True)


class OwnMetric(IoUMetric):
    def __init__(self, own=1, **kwargs):
        super().__init__(**kwargs)


@pytest.mark.parametrize(
    ("evaluators", "changed"),
    [
        (dict(type="IoUMetric"), dict(output_dir="o")),
        (dict(type=OwnMetric), dict(output_dir="o")),
        (
            [dict(type="CityscapesMetric", output_dir="tmp"), dict(type="IoUMetric")],
            dict(output_dir="o", keep_results=True),
        ),
        ([dict(type="IoUMetric"), dict(type="IoUMetric", prefix="f")], dict(output_dir="o")),
    ],
)
def test_the_first_evaluator_writes(evaluators, changed):
    cfg = Config(dict(test_evaluator=copy.deepcopy(evaluators)))
    write_predictions(cfg, "o")
    first, *others = evaluators if isinstance(evaluators, list) else [evaluators]
    found = cfg.test_evaluator if isinstance(evaluators, list) else [cfg.test_evaluator]
    assert found == [{**first, **changed}, *others]


def test_no_evaluator_writes():
    cfg = Config(dict(test_evaluator=[dict(type="DumpResults", out_file_path="x.pkl")]))
    with pytest.raises(UserError, match="no evaluator of None writes label maps"):
        write_predictions(cfg, "o")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_tested_segmentor_is_prepared(precision):
    cfg = Config(dict(model=tiny(), test_dataloader=dict(), custom_hooks=[dict(type="Own")]))
    prepare_test(cfg, "w.pth", precision=precision, compile=True)
    assert cfg.custom_hooks[0] == dict(type="Own")
    (hook,) = [hook for hook in cfg.custom_hooks if hook["type"] == "PrepareModelHook"]
    assert hook == dict(type="PrepareModelHook", precision=precision, compile=True)
