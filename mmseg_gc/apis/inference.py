"""Label images with a trained model: files, or what people hold in memory."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, overload
from weakref import WeakKeyDictionary

import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.model import BaseModel, BaseTTAModel
from torch import nn

from mmseg_gc.apis import forks
from mmseg_gc.apis.building import init_model
from mmseg_gc.apis.expected import Expected, Image, as_array, drawable, test_dataset
from mmseg_gc.config.prediction import views_pipeline
from mmseg_gc.config.unlabelled import without_labels
from mmseg_gc.engine.out_of_memory import explain_memory, test_cfg_of
from mmseg_gc.errors import UserError
from mmseg_gc.registry import MODELS, TRANSFORMS
from mmseg_gc.structures import SegDataSample
from mmseg_gc.visualization import SegLocalVisualizer

__all__ = ["inference_model", "init_model", "show_result_pyplot"]


@overload
def inference_model(model: nn.Module, img: Image, aug_test: bool = False) -> SegDataSample: ...
@overload
def inference_model(
    model: nn.Module, img: list[Image] | tuple[Image, ...], aug_test: bool = False
) -> list[SegDataSample]: ...
def inference_model(
    model: nn.Module, img: Image | list[Image] | tuple[Image, ...], aug_test: bool = False
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
    images: list[Image] = list(img) if isinstance(img, list | tuple) else [img]
    if not images:
        raise UserError("no image to label: the list is empty.")
    labelled = _Labelling(model, aug_test)
    results = [labelled([image])[0] for image in images]
    return results if is_list else results[0]


def label_each(
    model: nn.Module, images: Sequence[Image], aug_test: bool = False
) -> list[SegDataSample | Exception]:
    """Label ``images``, neighbours of one size together; in place of a result may be its error."""
    labelled = _Labelling(model, aug_test)
    results: list[SegDataSample | Exception] = []
    for same in labelled.of_one_size(images):
        if isinstance(same, Exception):
            results.append(same)
            continue
        try:
            results += labelled.run(same)
        except Exception as error:
            results += [error] if len(same) == 1 else [labelled.alone(one) for one in same]
    return results


class _Labelling:
    """Images in memory or in files, through what reads them and the network."""

    def __init__(self, model: nn.Module, aug_test: bool) -> None:
        if forks.kept_alone:
            forks.tell_of_fork()
        self.reader = _reader(model, aug_test)
        self.network: Any = tta_model(model) if aug_test else model
        self.aug_test = aug_test

    def __call__(self, images: Sequence[Image]) -> list[SegDataSample]:
        return self.run([(image, self._read(image)) for image in images])

    def of_one_size(self, images: Sequence[Image]) -> list[list[tuple[Image, dict]] | Exception]:
        groups: list[list[tuple[Image, dict]] | Exception] = []
        for image in images:
            try:
                sample = self._read(image)
            except Exception as error:  # whatever it is, the next image may be well
                groups.append(error)
                continue
            last = groups[-1] if groups else None
            if isinstance(last, list) and _goes_with(last[0][1], sample):
                last.append((image, sample))
            else:
                groups.append([(image, sample)])
        return groups

    def alone(self, read: tuple[Image, dict]) -> SegDataSample | Exception:
        try:
            return self.run([read])[0]
        except Exception as error:
            return error

    @torch.no_grad()
    def run(self, read: Sequence[tuple[Image, dict]]) -> list[SegDataSample]:
        batch = collate([sample for _, sample in read], aug_test=self.aug_test)
        with self._explained(read[0][0]):
            return self.network.test_step(batch)

    def _read(self, image: Image) -> dict:
        with self._explained(image):
            return self.reader.sample(image)

    @contextmanager
    def _explained(self, image: Image) -> Iterator[None]:
        try:
            yield
        except (MemoryError, RuntimeError):
            what = str(image) if isinstance(image, str | Path) else "an image"
            with explain_memory(test_cfg_of(self.network), what):
                raise


def _goes_with(one: dict, other: dict) -> bool:
    shapes = [getattr(sample["inputs"], "shape", None) for sample in (one, other)]
    return shapes[0] is not None and shapes[0] == shapes[1]  # several views have none


class _Reader:
    """The test pipeline of ``cfg``, or its ``tta_pipeline``, built once for many images."""

    def __init__(self, cfg: Config, aug_test: bool) -> None:
        self.read_of = deepcopy(_said_of_images(cfg))
        self.expected = Expected.of(cfg)
        self.of_file, self.of_array, self.rest = reading_steps(cfg, aug_test)

    def sample(self, image: Image) -> dict:
        """What the test data set would give of ``image``."""
        if isinstance(image, str | Path):
            results = self.of_file(dict(img_path=str(image)))
        else:
            results = self.of_array(dict(img=as_array(image, self.expected)))
        return self.rest(results)


def reading_steps(cfg: Config, aug_test: bool) -> tuple[Any, Any, Compose]:
    """What loads a file, what takes an array in its place, and what follows either.

    They are those of the test pipeline, or with ``aug_test`` of the ``tta_pipeline``, of ``cfg``.
    """
    dataset = test_dataset(cfg)
    pipeline = views_pipeline(cfg, dataset) if aug_test else dataset["pipeline"]
    first, *rest = without_labels(pipeline)
    of_array = dict(type="LoadImageFromNDArray", to_float32=first.get("to_float32", False))
    return TRANSFORMS.build(dict(first)), TRANSFORMS.build(of_array), Compose(rest)


def collate(samples: list[dict], *, aug_test: bool) -> dict:
    """The batch that ``test_step`` takes of ``samples``, of which several views are one alone."""
    if aug_test:  # {key: [view, …]} -> {key: [[view], …]}
        [sample] = samples
        return {key: [[view] for view in views] for key, views in sample.items()}
    return {key: [sample[key] for sample in samples] for key in samples[0]}


_readers: WeakKeyDictionary[nn.Module, dict[bool, _Reader]] = WeakKeyDictionary()


def _reader(model: BaseModel, aug_test: bool) -> _Reader:
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


def tta_model(model: BaseModel) -> BaseTTAModel:
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
