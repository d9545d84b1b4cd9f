"""What each of the 30 published detectors is: mmdetection's file, and what is changed in it."""

import csv
import io
from importlib.util import find_spec
from pathlib import Path

import pytest
from mmengine.config import Config

CONFIGS = Path(__file__).parents[1] / "configs" / "gcnet_det"
# model, backbone, norm, box head, GC ratio (0: none), schedule: the published table, row by row
TABLE = """\
mask,r50,fix,2fc,0,1x
mask,r50,fix,2fc,16,1x
mask,r50,fix,2fc,4,1x
mask,r50,fix,2fc,0,2x
mask,r50,fix,2fc,16,2x
mask,r50,fix,2fc,4,2x
mask,r50,sync,2fc,0,1x
mask,r50,sync,2fc,16,1x
mask,r50,sync,2fc,4,1x
mask,r50,sync,2fc,0,2x
mask,r50,sync,2fc,16,2x
mask,r50,sync,2fc,4,2x
mask,r50,sync,4conv1fc,0,1x
mask,r50,sync,4conv1fc,16,1x
mask,r50,sync,4conv1fc,4,1x
mask,r101,fix,2fc,0,1x
mask,r101,fix,2fc,16,1x
mask,r101,fix,2fc,4,1x
mask,r101,sync,2fc,0,1x
mask,r101,sync,2fc,16,1x
mask,r101,sync,2fc,4,1x
mask,x101-32x4d,sync,2fc,0,1x
mask,x101-32x4d,sync,2fc,16,1x
mask,x101-32x4d,sync,2fc,4,1x
cascade-mask,x101-32x4d,sync,2fc,0,1x
cascade-mask,x101-32x4d,sync,2fc,16,1x
cascade-mask,x101-32x4d,sync,2fc,4,1x
cascade-mask,x101-32x4d,dconv,2fc,0,1x
cascade-mask,x101-32x4d,dconv,2fc,16,1x
cascade-mask,x101-32x4d,dconv,2fc,4,1x
"""
ROWS = [tuple(row) for row in csv.reader(io.StringIO(TABLE))]
FOLDERS = {"mask": "mask_rcnn", "cascade-mask": "cascade_rcnn"}
SYNC = dict(type="SyncBN", requires_grad=True)


def name_of(model, backbone, norm, head, ratio, schedule) -> str:
    norm = {"fix": "", "sync": "-syncbn", "dconv": "-syncbn-dconv-c3-c5"}[norm]
    blocks = f"-gcb-r{ratio}-c3-c5" if model == "mask" else f"-r{ratio}-gcb-c3-c5"
    blocks = blocks if ratio != "0" else ""
    head = "_4conv1fc-syncbn" if head == "4conv1fc" else ""
    return f"{model}-rcnn_{backbone}{norm}{blocks}_fpn{head}_{schedule}_coco.py"


def changes_of(model, backbone, norm, head, ratio, schedule) -> dict:
    """The model's keys that differ from mmdetection's file."""
    own = "ResNeXt" if backbone.startswith("x") else "ResNet"
    changed = dict(backbone=dict(type=f"mmseg_gc.{own}"))
    if norm != "fix":
        changed["backbone"] |= dict(norm_cfg=SYNC, norm_eval=False)
    if ratio != "0":
        block = dict(
            cfg=dict(type="ContextBlock", ratio=1 / int(ratio)),
            stages=(False, True, True, True),  # c3 to c5
            position="after_conv3",
        )
        changed["backbone"]["plugins"] = [block]
    if head == "4conv1fc":
        box = dict(type="Shared4Conv1FCBBoxHead", conv_out_channels=256, norm_cfg=SYNC)
        changed["neck"] = dict(norm_cfg=SYNC)
        changed["roi_head"] = dict(bbox_head=box, mask_head=dict(norm_cfg=SYNC))
    return changed


def base_of(model, backbone, norm, head, ratio, schedule) -> str:
    deformable = norm == "dconv"
    folder = "dcn" if deformable else FOLDERS[model]
    return f"{folder}/{model}-rcnn_{backbone}{'-dconv-c3-c5' * deformable}_fpn_{schedule}_coco.py"


def watch(monkeypatch: pytest.MonkeyPatch, folder: Path | None, empty: Path) -> list[str]:
    """mmdetection's files that are read from now on: those in ``folder``, else ``empty`` ones."""
    read, original = [], Config._get_cfg_path

    def find(name: str, filename: str) -> tuple[str, str | None]:
        scope, _, rest = name.partition("::")
        if scope != "mmdet":
            return original(name, filename)
        read.append(rest)
        return str(folder / rest if folder else empty), None

    monkeypatch.setattr(Config, "_get_cfg_path", staticmethod(find))
    return read


@pytest.fixture
def bases(monkeypatch, tmp_path) -> list[str]:
    (tmp_path / "empty.py").touch()
    return watch(monkeypatch, None, tmp_path / "empty.py")


@pytest.fixture
def mmdetection(monkeypatch, tmp_path) -> list[str]:
    [folder] = find_spec("mmdet").submodule_search_locations
    return watch(monkeypatch, Path(folder) / ".mim" / "configs", tmp_path)


def test_every_published_row_has_a_short_config():
    names = {name_of(*row) for row in ROWS}
    assert len(ROWS) == len(names) == 30
    assert {path.name for path in CONFIGS.glob("*_coco.py")} == names
    for path in CONFIGS.glob("*.py"):
        assert len(path.read_text().splitlines()) <= 15, path


@pytest.mark.parametrize("row", ROWS, ids=[name_of(*row) for row in ROWS])
def test_row(bases, row):
    cfg = Config.fromfile(CONFIGS / name_of(*row))
    assert bases == [base_of(*row)]
    found = cfg.to_dict()
    found.pop("norm_cfg", None)  # a variable that the keys are made of
    assert found == dict(model=changes_of(*row))


@pytest.mark.det
@pytest.mark.parametrize("row", ROWS, ids=[name_of(*row) for row in ROWS])
def test_row_on_mmdetection(mmdetection, row):
    """With mmdetection's own numbers below: network, weights to begin with, and schedule."""
    model, backbone, norm, head, ratio, schedule = row
    cfg = Config.fromfile(CONFIGS / name_of(*row))
    net = cfg.model.backbone
    wide = backbone == "x101-32x4d"
    assert cfg.model.type == ("MaskRCNN" if model == "mask" else "CascadeRCNN")
    assert (net.depth, net.get("groups", 1), net.get("base_width", 4)) == (
        50 if backbone == "r50" else 101,
        32 if wide else 1,
        4,
    )
    start = "open-mmlab://resnext101_32x4d" if wide else f"torchvision://resnet{net.depth}"
    assert net.init_cfg == dict(type="Pretrained", checkpoint=start)
    assert (net.frozen_stages, net.norm_eval) == (1, norm == "fix")
    assert net.norm_cfg == dict(type="BN" if norm == "fix" else "SyncBN", requires_grad=True)
    if norm == "dconv":
        assert net.dcn == dict(type="DCN", deform_groups=1, fallback_on_stride=False)
        assert net.stage_with_dcn == (False, True, True, True)
    boxes = cfg.model.roi_head.bbox_head
    kind = "Shared4Conv1FCBBoxHead" if head == "4conv1fc" else "Shared2FCBBoxHead"
    assert {box.type for box in (boxes if isinstance(boxes, list) else [boxes])} == {kind}
    epochs, drops = (24, [16, 22]) if schedule == "2x" else (12, [8, 11])
    sgd = dict(type="SGD", lr=0.02, momentum=0.9, weight_decay=0.0001)
    assert cfg.optim_wrapper == dict(type="OptimWrapper", optimizer=sgd)
    warm, decay = cfg.param_scheduler
    assert (warm.type, warm.start_factor, warm.end) == ("LinearLR", 0.001, 500)
    assert (decay.type, decay.milestones, decay.gamma) == ("MultiStepLR", drops, 0.1)
    assert cfg.train_cfg.max_epochs == decay.end == epochs
    assert cfg.train_dataloader.batch_size == 2  # on 8 GPUs
    assert cfg.train_dataloader.dataset.pipeline[2].scale == (1333, 800)
    assert cfg.model.data_preprocessor.mean == [123.675, 116.28, 103.53]
    assert cfg.model.data_preprocessor.std == [58.395, 57.12, 57.375]


@pytest.mark.parametrize("blocks", ["", "-gcb-r4-c3-c5"])
def test_a_detector_for_a_cpu(bases, blocks):
    """The two that this repository trains itself, on CamVid's instances, and compares."""
    cfg = Config.fromfile(CONFIGS / f"mask-rcnn_r50{blocks}_fpn_1xb2-300i_camvid-240x320.py")
    assert bases == ["_base_/models/mask-rcnn_r50_fpn.py", "_base_/default_runtime.py"]
    net, roi = cfg.model.backbone, cfg.model.roi_head
    assert (net.type, net.init_cfg, net.frozen_stages) == ("mmseg_gc.ResNet", None, -1)
    assert net.norm_eval is False
    assert [p.cfg.ratio for p in net.get("plugins", [])] == ([0.25] if blocks else [])
    assert (roi.bbox_head.num_classes, roi.mask_head.num_classes) == (3, 3)
    assert cfg.optim_wrapper == dict(
        type="OptimWrapper",
        optimizer=dict(type="AdamW", lr=0.0002, weight_decay=0.0001),
        clip_grad=dict(max_norm=10),
    )
    warm, decay = cfg.param_scheduler
    assert (warm.type, warm.start_factor, warm.begin, warm.end) == ("LinearLR", 0.01, 0, 30)
    assert (decay.type, decay.power, decay.eta_min) == ("PolyLR", 0.9, 2e-6)
    assert (decay.begin, decay.end, cfg.train_cfg.max_iters) == (30, 300, 300)
    assert cfg.train_dataloader.batch_size == 2
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        [resize] = [step for step in loader.dataset.pipeline if step.type == "Resize"]
        assert (resize.scale, resize.keep_ratio) == ((320, 240), True)
        assert loader.dataset.metainfo.classes == ("Car", "Pedestrian", "Bicyclist")
