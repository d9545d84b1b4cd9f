"""Build a trained model from a config and a checkpoint, and label pictures with it."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.model import BaseTTAModel
from mmengine.registry import init_default_scope
from torch import nn

from mmseg_gc.checkpoint import load_checkpoint, load_into
from mmseg_gc.config import is_detection, load_config
from mmseg_gc.datasets.unlabelled import without_labels
from mmseg_gc.engine.acceleration import prepare_for_inference
from mmseg_gc.errors import UserError
from mmseg_gc.models.layers.sync_bn import adapt_sync_bn
from mmseg_gc.registry import DATASETS, MODELS, SCOPE
from mmseg_gc.structures import SegDataSample
from mmseg_gc.visualization import SegLocalVisualizer

Image = str | Path | np.ndarray


def init_model(
    config: str | Path | Config,
    checkpoint: str | Path | None = None,
    device: str | torch.device = "cpu",
    cfg_options: dict[str, Any] | None = None,
    precision: str = "fp32",
    compile: bool = False,
    accelerate: str = "auto",
) -> nn.Module:
    """Build the segmentor of ``config`` on ``device``, with the weights of ``checkpoint``.

    The model comes back in eval mode with ``cfg`` and ``dataset_meta`` (classes, palette) on it.
    With a ``checkpoint`` it is prepared for inference alone, in ``precision`` fp32, bf16 or fp16
    compiled or not, and with ``accelerate`` auto or none, as `prepare_for_inference` says. Without
    one it is the plain model, to load weights into or to train, and takes the defaults only.

    Raises:
        UserError: a file can't be read, the weights don't fit the model, the device or an
            unprepared model can't have that ``precision`` or ``compile``, or it's a detector.

    Source: ``mmseg.apis.init_model``.
    """
    cfg = load_config(config, cfg_options)
    if is_detection(cfg):
        raise UserError(
            f"{cfg.filename} is of a detector, and init_model is for segmentors: use "
            "mmdet.apis.init_detector."
        )
    init_default_scope(SCOPE)
    # The weights that training began from would be overwritten, and may need the network.
    cfg.model.pretrained = None
    cfg.model.backbone.pop("init_cfg", None)
    cfg.model.train_cfg = None
    model = MODELS.build(cfg.model)
    meta = {}
    if checkpoint is not None:
        loaded = load_checkpoint(str(checkpoint))
        load_into(model, loaded, source=checkpoint)
        meta = loaded.get("meta", {})
        del loaded  # as large as the model
    model.dataset_meta = _dataset_meta(cfg, meta)
    model.cfg = cfg
    model = adapt_sync_bn(model, device_type=torch.device(device).type, world_size=1)
    model = model.to(device).eval()
    if checkpoint is not None:
        return prepare_for_inference(
            model, precision=precision, compile=compile, accelerate=accelerate
        )
    if precision != "fp32" or compile:
        raise UserError(
            "init_model: precision and compile need a checkpoint; without one, load the weights "
            "and call mmseg_gc.accelerate.prepare_for_inference."
        )
    return model


def _dataset_meta(cfg: Config, meta: dict) -> dict[str, Any]:
    """Classes and palette: from the config's data set, else from the checkpoint (1.x, then 0.x)."""
    dataset = (cfg.get("test_dataloader") or {}).get("dataset") or {}
    if dataset.get("metainfo"):
        return dict(dataset["metainfo"])
    stored = meta.get("dataset_meta") or {
        "classes": meta.get("CLASSES"),
        "palette": meta.get("PALETTE"),
    }
    known = getattr(DATASETS.get(dataset["type"]), "METAINFO", {}) if "type" in dataset else {}
    return {key: known.get(key) or stored.get(key) for key in ("classes", "palette")}


def _test_pipeline(cfg: Config, *, from_array: bool, aug_test: bool) -> Compose:
    steps = cfg.tta_pipeline if aug_test else cfg.test_dataloader.dataset.pipeline
    steps = without_labels(steps)
    if from_array:
        steps[0] = dict(type="LoadImageFromNDArray")
    return Compose(steps)


def inference_model(
    model: nn.Module, img: Image | Sequence[Image], aug_test: bool = False
) -> SegDataSample | list[SegDataSample]:
    """Label one picture or several.

    Args:
        model: what `init_model` returned.
        img: a path, a BGR uint8 array ``(H, W, 3)``, or a list of either.
        aug_test: average over the scales and flips of the config's ``tta_pipeline``.

    Returns:
        A `SegDataSample` whose ``pred_sem_seg`` is ``(1, H, W)``, or a list for a list.

    Source: ``mmseg.apis.inference_model``.
    """
    is_list = isinstance(img, list | tuple)
    images = list(img) if is_list else [img]
    if not images:
        raise UserError("no image to label: the list is empty.")
    if aug_test:
        model = _tta_model(model)
    with torch.no_grad():
        results = [model.test_step(_load(model, image, aug_test))[0] for image in images]
    return results if is_list else results[0]


def _load(model: nn.Module, image: Image, aug_test: bool) -> dict:
    cfg = model.module.cfg if isinstance(model, BaseTTAModel) else model.cfg
    from_array = isinstance(image, np.ndarray)
    pipeline = _test_pipeline(cfg, from_array=from_array, aug_test=aug_test)
    sample = dict(img=image) if from_array else dict(img_path=str(image))
    data = defaultdict(list)
    for key, value in pipeline(sample).items():
        data[key].append(value)
    if aug_test:  # one sample's views: {key: [view, …]} -> {key: [[view], …]}
        return {key: [[view] for view in values[0]] for key, values in data.items()}
    return data


def _tta_model(model: nn.Module) -> BaseTTAModel:
    tta = MODELS.build({**model.cfg.get("tta_model", dict(type="SegTTAModel")), "module": model})
    return tta.eval()


def show_result_pyplot(
    model: nn.Module,
    img: Image,
    result: SegDataSample,
    opacity: float = 0.5,
    title: str = "",
    draw_gt: bool = True,
    draw_pred: bool = True,
    wait_time: float = 0,
    show: bool = True,
    with_labels: bool = True,
    save_dir: str | None = None,
    out_file: str | None = None,
) -> np.ndarray:
    """Draw ``result`` over ``img``, show or save it, and return the RGB picture ``(H, W, 3)``.

    Source: ``mmseg.apis.show_result_pyplot``.
    """
    if isinstance(img, np.ndarray):
        image = mmcv.bgr2rgb(img)
    else:
        image = mmcv.imread(str(img), channel_order="rgb")
    backends = [dict(type="LocalVisBackend")] if save_dir else None
    visualizer = SegLocalVisualizer(
        vis_backends=backends, save_dir=save_dir, alpha=opacity, **_names_and_colors(model)
    )
    return visualizer.add_datasample(
        title or "result",
        image,
        data_sample=result,
        draw_gt=draw_gt,
        draw_pred=draw_pred,
        show=show,
        wait_time=wait_time,
        out_file=out_file,
        with_labels=with_labels,
    )


def _names_and_colors(model: nn.Module) -> dict[str, Any]:
    meta = getattr(model, "dataset_meta", None) or {}
    return {key: meta.get(key) for key in ("classes", "palette")}
