"""Test-time augmentation: the mean prediction over several views of a picture."""

from itertools import groupby, islice

from mmengine.model import BaseTTAModel
from torch import nn

from mmseg_gc.models.segmentors.encoder_decoder import EncoderDecoder
from mmseg_gc.models.segmentors.score_maps import DenseScores, MeanProbabilities, ScoreMap
from mmseg_gc.models.segmentors.two_at_once import two_at_once
from mmseg_gc.registry import MODELS
from mmseg_gc.structures import SegDataSample


@MODELS.register_module()
class SegTTAModel(BaseTTAModel):
    """Averages the class probabilities of a segmentor over flipped and rescaled views.

    Source: ``mmseg.models.SegTTAModel``; that one takes the sigmoid of a single output channel a
    second time, which this one does not.
    """

    def __init__(
        self, module: dict | nn.Module, data_preprocessor: dict | nn.Module | None = None
    ) -> None:
        if isinstance(module, dict):
            # Built here, since mmengine would look the name up in its own registry only.
            if data_preprocessor is not None:
                module = {**module, "data_preprocessor": data_preprocessor}
            module = MODELS.build(module)
        super().__init__(module)

    def test_step(self, data: dict) -> list[SegDataSample]:
        """Predictions for a batch of which each value of ``data`` lists the views."""
        if not isinstance(self.module, EncoderDecoder):
            return super().test_step(data)
        views = [
            {key: values[i] for key, values in data.items()} for i in range(len(data["inputs"]))
        ]

        def score(numbers: list[int]) -> list[list[ScoreMap]]:
            """Of each of the views with these numbers, its pictures' scores."""
            batch = {key: [one for i in numbers for one in views[i][key]] for key in data}
            batch = self.module.prepare_batch(batch)
            metas = [sample.metainfo for sample in batch["data_samples"]]
            found = iter(self.module.score_maps(batch["inputs"], metas))
            return [list(islice(found, len(views[i]["inputs"]))) for i in numbers]

        # A GPU does a picture and its mirror image in less than twice the time.
        on_gpu = next(self.module.parameters()).is_cuda
        groups = _groups(views, on_gpu and self.module.memory_budget is None)
        in_parallel = self.module.takes_views_in_parallel
        found = two_at_once(score, groups) if in_parallel else map(score, groups)
        maps: dict[int, list[ScoreMap]] = {}
        for numbers, of_group in zip(groups, found, strict=True):
            maps.update(zip(numbers, of_group, strict=True))
        samples = views[0]["data_samples"]
        of_pictures = zip(*(maps[i] for i in range(len(views))), strict=True)
        for sample, scores in zip(samples, of_pictures, strict=True):
            self.module.write_result(
                sample,
                MeanProbabilities(scores),
                with_logits=self.module.test_cfg.get("return_logits", False),
                budget=self.module.memory_budget,
            )
        return samples

    def merge_preds(self, data_samples_list: list[list[SegDataSample]]) -> list[SegDataSample]:
        """One prediction a picture from lists of its views' predictions, with ``seg_logits``."""
        merged = [views[0] for views in data_samples_list]
        for sample, views in zip(merged, data_samples_list, strict=True):
            maps = [DenseScores(view.seg_logits.data) for view in views]
            self.module.write_result(sample, MeanProbabilities(maps), with_logits=True)
        return merged


def _groups(views: list[dict], batched: bool) -> list[list[int]]:
    """Numbers of ``views``, each for itself or, ``batched``, with all those of the same sizes."""
    # The largest first: what they leave free has room for the others.
    order = sorted(range(len(views)), key=lambda i: _largest(views[i]), reverse=True)
    if not batched:
        return [[i] for i in order]
    return [list(group) for _, group in groupby(order, lambda i: _sizes(views[i]))]


def _sizes(view: dict) -> list[tuple[int, ...]]:
    return [tuple(picture.shape) for picture in view["inputs"]]


def _largest(view: dict) -> int:
    """Pixels of a view's largest picture."""
    return max(height * width for _, height, width in _sizes(view))
