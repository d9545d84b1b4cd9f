"""Build a trained model from a config and a checkpoint, and label images with it."""

import logging
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.model import BaseTTAModel
from mmengine.registry import init_default_scope
from torch import nn

from mmseg_gc.apis.devices import require_device
from mmseg_gc.apis.forks import keep_forks_from_hanging, tell_of_fork
from mmseg_gc.apis.images import Expected, Image, as_array, drawable, test_dataset
from mmseg_gc.checkpoint import load_checkpoint, load_into
from mmseg_gc.config import is_detection, load_config
from mmseg_gc.config.leaf_datasets import leaf_datasets
from mmseg_gc.config.prediction import views_pipeline
from mmseg_gc.config.unlabelled import without_labels
from mmseg_gc.engine.acceleration import prepare_for_inference
from mmseg_gc.engine.console import off_stdout
from mmseg_gc.engine.names_of_weights import tell_other_classes
from mmseg_gc.engine.out_of_memory import explain_memory, test_cfg_of
from mmseg_gc.engine.sync_bn import adapt_sync_bn
from mmseg_gc.engine.tf32 import set_tf32
from mmseg_gc.errors import UserError
from mmseg_gc.evaluation.label_files import NUMBERING
from mmseg_gc.registry import DATASETS, MODELS, SCOPE
from mmseg_gc.structures import SegDataSample
from mmseg_gc.visualization import SegLocalVisualizer


@off_stdout()
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
    one it is the plain model, to load weights into or to train, and takes the defaults only. What
    there is to say goes to stderr.

    Processes that are forked afterwards compute on one thread each: load a model after the fork.

    Raises:
        UserError: there is no such device, a file can't be read, the weights don't fit the model,
            the device or an unprepared model can't have that ``precision`` or ``compile``, or it's
            a detector.

    Source: ``mmseg.apis.init_model``.
    """
    device = require_device(device)
    keep_forks_from_hanging()
    cfg = load_config(config, cfg_options)
    if is_detection(cfg):
        raise UserError(
            f"{cfg.filename} is of a detector, and init_model is for segmentors: use "
            "mmdet.apis.init_detector."
        )
    set_tf32(cfg.get("tf32"))
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
    model = adapt_sync_bn(model, device_type=device.type, world_size=1)
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
    """Classes, palette and the numbers of label files: the config's, else the checkpoint's."""
    dataset = (cfg.get("test_dataloader") or {}).get("dataset") or {}
    dataset = leaf_datasets(dataset)[0]
    stored = meta.get("dataset_meta") or {
        "classes": meta.get("CLASSES"),
        "palette": meta.get("PALETTE"),
    }
    if dataset.get("metainfo"):
        names = dict(dataset["metainfo"])
        if isinstance(names.get("classes"), list | tuple):
            tell_other_classes(names["classes"], stored.get("classes"))
    else:
        known = getattr(DATASETS.get(dataset["type"]), "METAINFO", {}) if "type" in dataset else {}
        names = {key: known.get(key) or stored.get(key) for key in ("classes", "palette")}
    return {**_numbering(dataset, stored), **names}


def _numbering(dataset: Mapping, stored: Mapping) -> dict[str, Any]:
    """What `label_file_ids` needs of a data set's config, else of a checkpoint's metainfo."""
    of_weights = {key: stored.get(key) for key in NUMBERING}
    if "type" not in dataset:
        return of_weights
    try:
        # No file is looked at, but the class may do anything.
        built = DATASETS.build({**dataset, "pipeline": [], "lazy_init": True, "test_mode": False})
    except Exception as error:
        print_log(
            f"test_dataloader.dataset can't be built ({error}), so that label files are numbered "
            "as the checkpoint says.",
            logger="current",
            level=logging.WARNING,
        )
        return of_weights
    numbering = {key: built.metainfo.get(key) for key in NUMBERING}
    if getattr(built, "may_hold_grey_levels", False):
        numbering["file_label_map"] = of_weights["file_label_map"]
    return numbering


def inference_model(
    model: nn.Module, img: Image | Sequence[Image], aug_test: bool = False
) -> SegDataSample | list[SegDataSample]:
    """Label one image or several.

    Args:
        model: what `init_model` returned.
        img: a path; an array ``(H, W, C)`` or ``(H, W)`` with the values that a file has, colours
            as BGR; a PIL image; or a list of these.
        aug_test: average over the scales and flips of the config's ``tta_pipeline``.

    Returns:
        A `SegDataSample` whose ``pred_sem_seg`` is ``(1, H, W)``, ids of classes, or a list for a
        list.

    Raises:
        UserError: an image has a type, shape, number of channels or range that the network doesn't
            take, or is too large for the memory, or ``aug_test`` finds no ``tta_pipeline``.

    Source: ``mmseg.apis.inference_model``.
    """
    is_list = isinstance(img, list | tuple)
    images = list(img) if is_list else [img]
    if not images:
        raise UserError("no image to label: the list is empty.")
    tell_of_fork()
    if aug_test:
        model = tta_model(model)
    with torch.no_grad():
        results = [_label(model, image, aug_test) for image in images]
    return results if is_list else results[0]


def _label(model: nn.Module, image: Image, aug_test: bool) -> SegDataSample:
    segmentor = model.module if isinstance(model, BaseTTAModel) else model
    try:
        return model.test_step(_reader(segmentor, aug_test).batch(image))[0]
    except (MemoryError, RuntimeError):
        what = str(image) if isinstance(image, str | Path) else "an image"
        with explain_memory(test_cfg_of(model), what):
            raise


class _Reader:
    """The test pipeline of ``cfg``, or its ``tta_pipeline``, built once for many images."""

    def __init__(self, cfg: Config, aug_test: bool) -> None:
        self.read_of = deepcopy(_said_of_images(cfg))
        self.expected = Expected.of(cfg)
        self.aug_test = aug_test
        dataset = test_dataset(cfg)
        steps = without_labels(views_pipeline(cfg, dataset) if aug_test else dataset["pipeline"])
        to_float32 = steps[0].get("to_float32", False)
        of_array = dict(type="LoadImageFromNDArray", to_float32=to_float32)
        self.of_file = Compose(steps)
        self.of_array = Compose([of_array, *self.of_file.transforms[1:]])

    def batch(self, image: Image) -> dict:
        """What a data loader would give of ``image`` alone, for a ``test_step``."""
        if isinstance(image, str | Path):
            results = self.of_file(dict(img_path=str(image)))
        else:
            results = self.of_array(dict(img=as_array(image, self.expected)))
        if self.aug_test:  # one sample's views: {key: [view, …]} -> {key: [[view], …]}
            return {key: [[view] for view in views] for key, views in results.items()}
        return {key: [value] for key, value in results.items()}


_readers: WeakKeyDictionary[nn.Module, dict[bool, _Reader]] = WeakKeyDictionary()


def _reader(model: nn.Module, aug_test: bool) -> _Reader:
    of_model = _readers.setdefault(model, {})
    reader = of_model.get(aug_test)
    # People change the pipeline of a model's `cfg` between two images.
    if reader is None or reader.read_of != _said_of_images(model.cfg):
        reader = of_model[aug_test] = _Reader(model.cfg, aug_test)
    return reader


def _said_of_images(cfg: Config) -> list[Any]:
    """All of ``cfg`` that says how an image is read."""
    preprocessor = cfg.model.get("data_preprocessor")
    return [cfg.get("test_dataloader"), cfg.get("tta_pipeline"), preprocessor]


def tta_model(model: nn.Module) -> BaseTTAModel:
    """``model`` behind what averages over the scales and flips of its config, in eval mode."""
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
    """Draw ``result`` over ``img``, show or save it, and return the RGB drawing ``(H, W, 3)``.

    Source: ``mmseg.apis.show_result_pyplot``.
    """
    image = drawable(img, Expected.of(model.cfg))
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
