"""Label images one after the other, while others are read and drawn."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.model import BaseModel
from PIL import Image as PILImage
from torch import nn

from mmseg_gc.apis.inference import collate, tta_model
from mmseg_gc.apis.pixels import (
    Loader,
    Pixels,
    input_shape,
    probabilities_of,
)
from mmseg_gc.apis.prediction import OPACITY, OUTPUTS, Prediction, require_outputs
from mmseg_gc.apis.sources import Named, find
from mmseg_gc.checkpoint.http import shown
from mmseg_gc.engine.out_of_memory import explain_memory, test_cfg_of
from mmseg_gc.errors import TRACEBACK_VARIABLE, UserError, user_sentence

READERS = 2  # threads
OF_LOGITS = frozenset({"confidence", "entropy", "probabilities"})
_END = object()


class Answer(NamedTuple):
    """What came of one image: a ``prediction``, or an ``error``, a sentence."""

    image: Named
    prediction: Prediction | None = None
    error: str = ""


def predict(
    model: nn.Module,
    images: Pixels | Iterable[Pixels],
    *,
    outputs: Iterable[str] = ("overlay",),
    batch_size: int = 1,
    aug_test: bool = False,
    scale: float | None = None,
    opacity: float = OPACITY,
) -> Prediction | list[Prediction] | Iterator[Prediction]:
    """Label images with what `init_model` returned.

    Args:
        images: a path, an http(s) address, the bytes of a file, an array (h, w, c) in BGR order or
            a PIL image gives one `Prediction`; a list of these a list; an iterator or a folder an
            iterator, which holds one batch at a time.
        outputs: what predictions are to be ready for, of `OUTPUTS`; labels always are.
        batch_size: images of one size that go through the network together.
        scale: metres that a pixel's side is long, for areas in m².

    Raises:
        UserError: an image can't be used, or there is none.
    """
    needs = needs_of(outputs)
    options: dict[str, Any] = dict(
        batch_size=batch_size, aug_test=aug_test, scale=scale, opacity=opacity
    )
    files, rest = find(images, count())
    found = _or_raise(answers(model, chain(files, rest), needs=needs, **options))
    if isinstance(images, list | tuple):
        return list(found)
    single = isinstance(images, bytes | np.ndarray | PILImage.Image | torch.Tensor)
    if single or (isinstance(images, str | Path) and not os.path.isdir(images) and len(files) == 1):
        return next(found)
    if not files and isinstance(images, str | Path):
        raise UserError(f"no image found in {images}.")
    return found


def needs_of(outputs: Iterable[str]) -> frozenset[str]:
    """What the ``outputs`` need beside labels.

    Raises:
        UserError: one doesn't exist.
    """
    names = require_outputs([outputs] if isinstance(outputs, str) else list(outputs))
    return frozenset().union(*(OUTPUTS[name].needs for name in names))


def answers(
    model: nn.Module,
    images: Iterable[Named],
    *,
    needs: frozenset[str] = frozenset(),
    batch_size: int = 1,
    aug_test: bool = False,
    scale: float | None = None,
    opacity: float = OPACITY,
) -> Iterator[Answer]:
    """Label ``images`` in their order; those that can't be used have an error.

    Up to ``batch_size`` neighbours of one size go through the network together. The next ones are
    read meanwhile, and an iterator is asked for them in a thread of its own.
    """
    if batch_size < 1:
        raise UserError(f"batch size {batch_size} is no number of images; give 1 or more.")
    loader = Loader(model, aug_test=aug_test, keeps_image="image" in needs)
    network = tta_model(model) if aug_test else model
    common: dict[str, Any] = dict(meta=model.dataset_meta or {}, scale=scale, opacity=opacity)
    fetching, reading = ThreadPoolExecutor(1), ThreadPoolExecutor(READERS)

    def load(image: Named) -> tuple[Named, Any, str]:
        try:
            return image, loader(image.image), ""
        except Exception as error:  # whatever it is, the next image may be well
            return image, None, sentence_of(error, image)

    try:
        ahead = batch_size + 2 * READERS
        fetched = _fetched(images, fetching, ahead)
        for batch in _batches(in_order(load, fetched, reading, ahead), batch_size):
            yield from _answer(network, batch, needs, aug_test, common)
    finally:
        for pool in (fetching, reading):
            pool.shutdown(cancel_futures=True)


def in_order(work: Callable, items: Iterable, pool: Executor, ahead: int) -> Iterator[Any]:
    """What ``work`` makes of ``items`` in ``pool``, in order, at most ``ahead`` in advance."""
    pending: deque[Future] = deque()
    for item in items:
        pending.append(pool.submit(work, item))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def sentence_of(error: Exception, image: Named) -> str:
    """One line that names the image; not the exception, whose frames would hold its pixels."""
    if os.environ.get(TRACEBACK_VARIABLE):
        raise error
    text = user_sentence(error)
    if text is None:
        reason = " ".join(str(error).split())
        text = f"{type(error).__name__}: {reason} ({TRACEBACK_VARIABLE}=1 shows where)"
    known = shown(image.image) if image.is_file else f"image {image.name}"
    return text if not image.is_file or known in text else f"{known}: {text}"


def _fetched(images: Iterable[Named], pool: Executor, ahead: int) -> Iterator[Named]:
    """``images``, asked for in ``pool``: a video decodes its next frames there."""
    source = iter(images)
    for image in in_order(lambda _: next(source, _END), count(), pool, ahead):
        if image is _END:
            return
        yield image


def _batches(loaded: Iterable[tuple], batch_size: int) -> Iterator[list[tuple]]:
    batch: list[tuple] = []
    for one in loaded:
        shape = None if one[1] is None else input_shape(one[1][0])
        alike = batch and shape is not None and shape == input_shape(batch[0][1][0])
        if batch and (not alike or len(batch) == batch_size):
            yield batch
            batch = []
        if shape is None:
            yield [one]
        else:
            batch.append(one)
    if batch:
        yield batch


def _answer(
    network: nn.Module, batch: list[tuple], needs: frozenset[str], aug_test: bool, common: dict
) -> Iterator[Answer]:
    if batch[0][1] is None:
        yield Answer(batch[0][0], error=batch[0][2])
        return
    try:
        results = _run(network, [loaded[0] for _, loaded, _ in batch], needs, aug_test)
    except Exception as error:
        if len(batch) == 1:
            yield Answer(batch[0][0], error=sentence_of(error, batch[0][0]))
            return
        results = None
    if results is None:  # one of them is to blame, or all are too large together
        for one in batch:
            yield from _answer(network, [one], needs, aug_test, common)
        return
    for (image, (_, pixels), _), maps in zip(batch, results, strict=True):
        name = os.path.basename(str(image.image)) if image.is_file else image.name
        yield Answer(image, Prediction(name=name, image=pixels, **maps, **common))


@torch.no_grad()
def _run(
    network: BaseModel, samples: list[dict], needs: frozenset[str], aug_test: bool
) -> list[dict[str, Any]]:
    test_cfg = test_cfg_of(network)
    wants_logits = bool(needs & OF_LOGITS)
    with explain_memory(test_cfg), _with_logits(test_cfg, wants_logits):
        results = network.test_step(collate(samples, aug_test=aug_test))
        return [_maps(result, needs, aug_test) for result in results]


def _maps(result: Any, needs: frozenset[str], aug_test: bool) -> dict[str, Any]:
    labels = result.pred_sem_seg.data
    maps = {"labels": labels[0]}
    if needs & OF_LOGITS:
        probabilities = probabilities_of(result, are_probabilities=aug_test)
        if "confidence" in needs:
            maps["confidence"] = probabilities.gather(0, labels.long())[0]
        if "entropy" in needs:
            sure = torch.special.entr(probabilities).sum(dim=0)
            maps["entropy"] = sure / np.log(len(probabilities))
        if "probabilities" in needs:
            maps["probabilities"] = probabilities.half()
    return {name: values.cpu().numpy() for name, values in maps.items()}


@contextmanager
def _with_logits(test_cfg: MutableMapping | None, wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    if test_cfg is None:
        raise UserError("this model has no test_cfg: confidence and entropy need its logits.")
    before = dict(test_cfg)
    test_cfg["return_logits"] = True
    try:
        yield
    finally:
        test_cfg.clear()
        test_cfg.update(before)


def _or_raise(found: Iterator[Answer]) -> Iterator[Prediction]:
    for answer in found:
        if answer.prediction is None:
            raise UserError(answer.error)
        yield answer.prediction
