"""Test-time augmentation: the mean prediction over several views of an image."""

from collections.abc import Callable
from itertools import groupby, islice

from mmengine.model import BaseDataPreprocessor, BaseTTAModel
from torch import nn

from mmseg_gc.inference import (
    LogitMap,
    MeanProbabilities,
    ResampledLogits,
    Size,
    images_at_once_of,
    write_result,
)
from mmseg_gc.models.segmentors.base import overrides
from mmseg_gc.models.segmentors.encoder_decoder import EncoderDecoder
from mmseg_gc.registry import MODELS
from mmseg_gc.structures import SegDataSample


@MODELS.register_module()
class SegTTAModel(BaseTTAModel):
    """Averages the class probabilities of a segmentor over flipped and rescaled views.

    ``data_preprocessor`` is for a ``module`` config that has none of its own.

    Source: ``mmseg.models.SegTTAModel``; that one takes the sigmoid of a single output channel a
    second time, which this one does not.
    """

    def __init__(
        self, module: dict | nn.Module, data_preprocessor: dict | nn.Module | None = None
    ) -> None:
        if isinstance(module, dict):
            # Built here, since mmengine would look the name up in its own registry only.
            if module.get("data_preprocessor") is None:
                module = {**module, "data_preprocessor": data_preprocessor}
            module = MODELS.build(module)
        super().__init__(module)

    def test_step(self, data: dict) -> list[SegDataSample]:
        """Predictions for a batch of which each value of ``data`` lists the views."""
        model = self.module
        if not isinstance(model, EncoderDecoder) or model.predicts_its_own_way:
            return self._merged_test_steps(data)
        # A bare preprocessor hands views on as they are, which then are batches already.
        is_bare = type(model.data_preprocessor) is BaseDataPreprocessor
        if is_bare or overrides(self, SegTTAModel, "merge_preds"):
            return self._merged_test_steps(data)
        views = [
            {key: values[i] for key, values in data.items()} for i in range(len(data["inputs"]))
        ]

        def run(numbers: list[int]) -> list[list[LogitMap]]:
            """Of each of the views with these numbers, the logits of its images."""
            of_views = {key: [one for i in numbers for one in views[i][key]] for key in data}
            batch = model.prepare_batch(of_views)
            metas = [sample.metainfo for sample in batch["data_samples"]]
            found = iter(model.logit_maps(batch["inputs"], metas))
            return [list(islice(found, len(views[i]["inputs"]))) for i in numbers]

        groups = _groups(views, self._images_at_once())
        maps: dict[int, list[LogitMap]] = {}
        for numbers in groups:
            maps.update(zip(numbers, run(numbers), strict=True))
        samples = views[0]["data_samples"]
        of_images = zip(*(maps[i] for i in range(len(views))), strict=True)
        for sample, logits in zip(samples, of_images, strict=True):
            model.write_result(sample, MeanProbabilities(logits))
        return samples

    def _images_at_once(self) -> Callable[[Size], int]:
        """How many images of a size (h, w) may go through the network together."""
        if self.module.memory_budget is not None:
            return lambda size: 1
        # An image and its mirror image take less than twice the time of one.
        return images_at_once_of(self.module, next(self.module.parameters()).device)

    def _merged_test_steps(self, data: dict) -> list[SegDataSample]:
        """By the segmentor's own `test_step` and `merge_preds`, which needs each view's logits."""
        test_cfg = getattr(self.module, "test_cfg", None)
        before = dict(test_cfg or {})
        try:
            if test_cfg is not None:
                test_cfg["return_logits"] = True
            return super().test_step(data)
        finally:
            if test_cfg is not None:
                test_cfg.clear()
                test_cfg.update(before)

    def merge_preds(self, data_samples_list: list[list[SegDataSample]]) -> list[SegDataSample]:
        """One prediction an image from lists of its views' predictions, with ``seg_logits``."""
        merged = [views[0] for views in data_samples_list]
        threshold = getattr(self.module.decode_head, "threshold", None)
        for sample, views in zip(merged, data_samples_list, strict=True):
            mean = MeanProbabilities([ResampledLogits(view.seg_logits.data) for view in views])
            write_result(sample, mean, threshold=threshold, with_logits=True)
        return merged


def _groups(views: list[dict], at_once: Callable[[Size], int]) -> list[list[int]]:
    """Numbers of ``views`` that go together: of the same sizes, and not too many images."""
    # The largest first: what they leave free has room for the others.
    order = sorted(range(len(views)), key=lambda i: _largest(views[i]), reverse=True)
    groups = []
    for sizes, numbers in groupby(order, lambda i: _sizes(views[i])):
        alike, (_, height, width) = list(numbers), sizes[0]
        step = max(1, at_once((height, width)) // len(sizes))
        groups += [alike[start : start + step] for start in range(0, len(alike), step)]
    return groups


def _sizes(view: dict) -> list[tuple[int, ...]]:
    return [tuple(image.shape) for image in view["inputs"]]


def _largest(view: dict) -> int:
    """Pixels of a view's largest image."""
    return max(height * width for _, height, width in _sizes(view))
