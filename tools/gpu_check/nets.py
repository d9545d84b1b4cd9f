"""Configs and networks of this package and of mmsegmentation, with the same random weights."""

import copy
import importlib
import tempfile
import uuid
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gpu_check import inputs

CONFIGS = Path(__file__).resolve().parents[2] / "configs/gcnet"
SMALL = "gcnet_r18-d8_1xb4-demo_scenes-128x256.py"
CITYSCAPES = "gcnet_r50-d8_4xb2-40k_cityscapes-512x1024.py"
CITYSCAPES_SLIDE = "gcnet_r50-d8_4xb2-40k_cityscapes-769x769.py"
ADE20K = "gcnet_r50-d8_4xb4-80k_ade20k-512x512.py"


def read_config(
    name: str,
    options: dict[str, Any] | None = None,
    *,
    package: str = "mmseg_gc",
    work_dir: str | Path | None = None,
) -> Config:
    """A config of this package, to be built by ``package``, that logs and downloads nothing."""
    init_default_scope(package)
    if package == "mmseg_gc":
        load_config = importlib.import_module("mmseg_gc.config").load_config
        cfg = load_config(CONFIGS / name, options, check=False)
    else:
        importlib.import_module("mmseg.utils").register_all_modules(init_default_scope=False)
        cfg = Config.fromfile(CONFIGS / name)
        cfg.merge_from_dict(options or {})
    cfg.model.pretrained = None
    cfg.work_dir = str(work_dir or tempfile.gettempdir())
    cfg.log_level, cfg.experiment_name = "ERROR", uuid.uuid4().hex
    cfg.visualizer = dict(type="SegLocalVisualizer", vis_backends=[])
    return cfg


def build(
    name: str,
    options: dict[str, Any] | None = None,
    *,
    device: torch.device | str,
    package: str = "mmseg_gc",
) -> nn.Module:
    """A network in testing mode on ``device``; one seed gives it weights and statistics."""
    cfg = read_config(name, options, package=package)
    models = importlib.import_module(f"{package}.registry").MODELS
    torch.manual_seed(0)
    model = revert_sync_batchnorm(models.build(cfg.model))
    for module in model.modules():
        if isinstance(module, _BatchNorm):  # mmengine's too
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    model.decode_head.conv_seg.weight.data.normal_(0, 0.1)
    return model.to(device).eval()


def build_small(options: dict[str, Any], device: torch.device | str) -> nn.Module:
    """`SMALL` of this package, which labels `inputs.image` with many classes."""
    model = build(SMALL, options, device="cpu")
    _balance(model)
    return model.to(device)


def _balance(model: nn.Module) -> None:
    """Let all classes have logits of one mean and spread, where one would win everywhere."""
    with torch.no_grad():
        batch = model.data_preprocessor(dict(inputs=[inputs.image((128, 256))]), False)
        logits = model(batch["inputs"])
        mean, spread = logits.mean((0, 2, 3)), logits.std((0, 2, 3))
        classifier = model.decode_head.conv_seg
        classifier.bias.copy_((classifier.bias - mean) / spread)
        classifier.weight.div_(spread.view(-1, 1, 1, 1))


def prepared(model: nn.Module, precision: str | None, *, compile: bool = False) -> nn.Module:
    """``model`` made fast in ``precision``; as it is for None."""
    if precision is None:
        return model
    from mmseg_gc.accelerate import prepare_for_inference

    return prepare_for_inference(model, precision=precision, compile=compile)


def over_views(model: nn.Module, *, package: str = "mmseg_gc") -> nn.Module:
    """``model``, averaged over the views of a batch that lists them."""
    return importlib.import_module(f"{package}.models").SegTTAModel(module=model).eval()


def predict(model: nn.Module, data: dict):
    """The first sample of ``model.test_step``; ``data`` is left as it is."""
    with torch.no_grad():
        return model.test_step(copy.deepcopy(data))[0]


def labels(model: nn.Module, data: dict) -> Tensor:
    """Label map (1, H, W) on the CPU."""
    return predict(model, data).pred_sem_seg.data.cpu()
