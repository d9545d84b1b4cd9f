"""Every number of the 16 published recipes, as mmsegmentation gives them."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmseg_gc.config import load_config

CONFIGS = Path(__file__).parents[1] / "configs" / "gcnet"
# data set, height and width of a crop, images of a GPU, its data loading processes, thousands of
# iterations; each for ResNet-50 and ResNet-101
TABLE = """\
cityscapes,512x1024,2,2,40
cityscapes,512x1024,2,2,80
cityscapes,769x769,2,2,40
cityscapes,769x769,2,2,80
ade20k,512x512,4,4,80
ade20k,512x512,4,4,160
voc12aug,512x512,4,4,20
voc12aug,512x512,4,4,40
"""
RECIPES = [
    pytest.param((depth, *row), id=f"r{depth}-{row[4]}k-{row[0]}-{row[1]}")
    for row in csv.reader(io.StringIO(TABLE))
    for depth in (50, 101)
]
# data set: classes, longest and shortest side that an image is scaled to, where its files are
CITYSCAPES = ("leftImg8bit/train", "gtFine/train"), ("leftImg8bit/val", "gtFine/val")
ADE = ("images/training", "annotations/training"), ("images/validation", "annotations/validation")
VOC = ("JPEGImages", "SegmentationClass"), ("JPEGImages", "SegmentationClass")
DATA = {
    "cityscapes": (19, (2048, 1024), "CityscapesDataset", "data/cityscapes/", *CITYSCAPES),
    "ade20k": (150, (2048, 512), "ADE20KDataset", "data/ade/ADEChallengeData2016", *ADE),
    "voc12aug": (21, (2048, 512), "PascalVOCDataset", "data/VOCdevkit/VOC2012", *VOC),
}
PREPROCESSOR = """\
type=SegDataPreProcessor
mean=(123.675, 116.28, 103.53)
std=(58.395, 57.12, 57.375)
bgr_to_rgb=True
pad_val=0
seg_pad_val=255
"""
BACKBONE = """\
type=ResNetV1c
num_stages=4
out_indices=(0, 1, 2, 3)
dilations=(1, 1, 2, 4)
strides=(1, 2, 1, 1)
norm_cfg.type=SyncBN
norm_cfg.requires_grad=True
norm_eval=False
style=pytorch
contract_dilation=True
"""
HEAD = """\
dropout_ratio=0.1
norm_cfg.type=SyncBN
norm_cfg.requires_grad=True
loss_decode.type=CrossEntropyLoss
loss_decode.use_sigmoid=False
"""
DECODE_HEAD = """\
type=GCHead
in_channels=2048
in_index=3
channels=512
ratio=0.25
pooling_type=att
fusion_types=('channel_add',)
loss_decode.loss_weight=1.0
"""
AUXILIARY_HEAD = """\
type=FCNHead
in_channels=1024
in_index=2
channels=256
num_convs=1
concat_input=False
loss_decode.loss_weight=0.4
"""
OPTIMIZER = """\
type=OptimWrapper
optimizer.type=SGD
optimizer.lr=0.01
optimizer.momentum=0.9
optimizer.weight_decay=0.0005
"""
VIEWS = [f"Resize keep_ratio=True scale_factor={r}" for r in ("0.5", "0.75", "1.0", "1.25", "1.5")]
VIEWS += ["Resize keep_ratio=True scale_factor=1.75"]
MIRRORED = [f"RandomFlip direction=horizontal prob={prob}" for prob in ("0.0", "1.0")]


def lines(node, path: str = "") -> Iterator[str]:
    """``path=value`` of every value in ``node``; a list of numbers or words is one value."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from lines(value, f"{path}.{key}" if path else key)
    elif isinstance(node, list | tuple):
        yield f"{path}={tuple(node)}"
    else:
        yield f"{path}={node}"


def facts(node) -> set[str]:
    return set(lines(node))


def steps(pipeline) -> list[str]:
    """A line for each step: its type, and its arguments in the order of their names."""
    return [
        " ".join([s["type"], *sorted(line.replace(", ", ",") for line in lines(without_type(s)))])
        for s in pipeline
    ]


def without_type(step) -> dict:
    return {key: value for key, value in step.items() if key != "type"}


def text(*blocks: str) -> set[str]:
    return {line for block in blocks for line in block.splitlines()}


@pytest.fixture(scope="module", params=RECIPES)
def recipe(request):
    """The row and the config that has its name."""
    depth, dataset, crop, images, workers, thousands = request.param
    name = f"gcnet_r{depth}-d8_4xb{images}-{thousands}k_{dataset}-{crop}.py"
    height, width = map(int, crop.split("x"))
    row = (depth, dataset, (height, width), int(images), int(workers), int(thousands) * 1000)
    return *row, load_config(CONFIGS / name)


def test_there_are_16_recipes():
    names = {path.name for path in CONFIGS.glob("gcnet_r*-d8_4x*.py") if "gcb" not in path.name}
    assert len(names) == len(RECIPES) == 16


def test_model(recipe):
    depth, dataset, crop, _, _, _, cfg = recipe
    odd = crop == (769, 769)
    model = cfg.model.to_dict()
    parts = [model.pop(name) for name in ("backbone", "decode_head", "auxiliary_head")]
    assert facts(parts[0]) == text(BACKBONE, f"depth={depth}")
    here = f"num_classes={DATA[dataset][0]}\nalign_corners={odd}"
    assert facts(parts[1]) == text(HEAD, DECODE_HEAD, here)
    assert facts(parts[2]) == text(HEAD, AUXILIARY_HEAD, here)
    assert facts(model.pop("data_preprocessor")) == text(PREPROCESSOR, f"size={crop}")
    slide = "test_cfg.mode=slide\ntest_cfg.crop_size=(769, 769)\ntest_cfg.stride=(513, 513)"
    assert facts(model) == text(
        "type=EncoderDecoder",
        f"pretrained=open-mmlab://resnet{depth}_v1c",
        slide if odd else "test_cfg.mode=whole",
    )


def test_schedule(recipe):
    *_, iterations, cfg = recipe
    assert facts(cfg.optim_wrapper) == text(OPTIMIZER)
    [decay] = cfg.param_scheduler
    assert facts(decay) == text(
        f"type=PolyLR\neta_min=0.0001\npower=0.9\nbegin=0\nend={iterations}\nby_epoch=False"
    )
    every = iterations // 10
    assert facts(cfg.train_cfg) == text(
        f"type=IterBasedTrainLoop\nmax_iters={iterations}\nval_interval={every}"
    )
    assert (cfg.val_cfg, cfg.test_cfg) == (dict(type="ValLoop"), dict(type="TestLoop"))
    hooks = cfg.default_hooks
    assert facts(hooks.checkpoint) == text(
        f"type=CheckpointHook\nby_epoch=False\ninterval={every}\nsave_best=mIoU"
    )
    assert facts(hooks.logger) == text("type=LoggerHook\ninterval=50\nlog_metric_by_epoch=False")
    assert {name: hooks[name].type.rpartition(".")[2] for name in hooks} == dict(
        timer="IterTimerHook",
        logger="LoggerHook",
        param_scheduler="ParamSchedulerHook",
        checkpoint="CheckpointHook",
        sampler_seed="DistSamplerSeedHook",
        visualization="SegVisualizationHook",
    )


def test_training_data(recipe):
    _, dataset, crop, images, workers, _, cfg = recipe
    _, scale, kind, root, places, _ = DATA[dataset]
    if crop == (769, 769):  # one more pixel than a multiple of 8, on which corners can lie
        scale = (2049, 1025)
    loader = cfg.train_dataloader.to_dict()
    data = loader.pop("dataset")
    assert facts(loader) == text(
        f"batch_size={images}\nnum_workers={workers}\npersistent_workers=True",
        "sampler.type=InfiniteSampler\nsampler.shuffle=True",
    )
    both = data.get("datasets", [data])
    labels = ["SegmentationClass", "SegmentationClassAug"] if len(both) == 2 else [places[1]]
    assert (data["type"], len(both)) == (
        ("ConcatDataset", 2) if dataset == "voc12aug" else (kind, 1)
    )
    size = f"({crop[0]},{crop[1]})"
    reads = "LoadAnnotations" + " reduce_zero_label=True" * (dataset == "ade20k")
    for one, folder, split in zip(both, labels, ("train", "aug"), strict=False):
        assert steps(one.pop("pipeline")) == [
            "LoadImageFromFile",
            reads,
            f"RandomResize keep_ratio=True ratio_range=(0.5,2.0) scale=({scale[0]},{scale[1]})",
            f"RandomCrop cat_max_ratio=0.75 crop_size={size}",
            "RandomFlip prob=0.5",
            "PhotoMetricDistortion",
            *([f"Pad size={size}"] if dataset == "voc12aug" else []),
            "PackSegInputs",
        ]
        listed = f"ann_file=ImageSets/Segmentation/{split}.txt" if dataset == "voc12aug" else ""
        assert facts(one) == text(
            f"type={kind}\ndata_root={root}\ndata_prefix.img_path={places[0]}",
            f"data_prefix.seg_map_path={folder}",
            listed,
        )


def test_test_data(recipe):
    _, dataset, crop, _, _, _, cfg = recipe
    _, scale, kind, root, _, places = DATA[dataset]
    if crop == (769, 769):
        scale = (2049, 1025)
    reads = "LoadAnnotations" + " reduce_zero_label=True" * (dataset == "ade20k")
    for split in ("val", "test"):
        loader = cfg[f"{split}_dataloader"].to_dict()
        data = loader.pop("dataset")
        assert steps(data.pop("pipeline")) == [
            "LoadImageFromFile",
            f"Resize keep_ratio=True scale=({scale[0]},{scale[1]})",
            reads,
            "PackSegInputs",
        ]
        listed = "ann_file=ImageSets/Segmentation/val.txt" if dataset == "voc12aug" else ""
        assert facts(data) == text(
            f"type={kind}\ndata_root={root}\ndata_prefix.img_path={places[0]}",
            f"data_prefix.seg_map_path={places[1]}",
            listed,
        )
        assert facts(loader) == text(
            "batch_size=1\nnum_workers=4\npersistent_workers=True",
            "sampler.type=DefaultSampler\nsampler.shuffle=False",
        )
        assert facts(cfg[f"{split}_evaluator"]) == text("type=IoUMetric\niou_metrics=('mIoU',)")


def test_six_scales_each_as_it_is_and_mirrored(recipe):
    *_, cfg = recipe
    load, views = cfg.tta_pipeline
    assert (load.type, views.type, cfg.tta_model.type) == (
        "LoadImageFromFile", "TestTimeAug", "SegTTAModel",
    )  # fmt: skip
    assert [steps(choices) for choices in views.transforms] == [
        VIEWS, MIRRORED, ["LoadAnnotations"], ["PackSegInputs"],
    ]  # fmt: skip


def test_runtime(recipe):
    *_, cfg = recipe
    assert facts(cfg.env_cfg) == text(
        "cudnn_benchmark=True\nmp_cfg.mp_start_method=fork\nmp_cfg.opencv_num_threads=0",
        "dist_cfg.backend=nccl",
    )
    assert (cfg.load_from, cfg.resume, cfg.tf32) == (None, False, None)
