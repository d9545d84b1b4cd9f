"""Test-time augmentation: the mean prediction over several views of a picture."""

from collections.abc import Iterator
from itertools import groupby

from mmengine.model import BaseTTAModel
from torch import nn

from mmseg_gc.models.segmentors.encoder_decoder import EncoderDecoder
from mmseg_gc.models.segmentors.score_maps import DenseScores, MeanProbabilities, ScoreMap
from mmseg_gc.registry import MODELS
from mmseg_gc.structures import SegDataSample

FEW_PIXELS = 300 * 400  # of a view


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
        maps: list[list[ScoreMap]] = []  # of each view, of each picture
        for group in self._alike(views):
            size = len(group[0]["inputs"])
            batch = {key: [one for view in group for one in view[key]] for key in group[0]}
            batch = self.module.prepare_batch(batch)
            metas = [sample.metainfo for sample in batch["data_samples"]]
            found = self.module.score_maps(batch["inputs"], metas)
            maps += [found[i : i + size] for i in range(0, len(found), size)]
        samples = views[0]["data_samples"]
        for sample, scores in zip(samples, zip(*maps, strict=True), strict=True):
            self.module.write_result(
                sample,
                MeanProbabilities(scores),
                with_logits=self.module.test_cfg.get("return_logits", False),
                budget=self.module.memory_budget,
            )
        return samples

    def _alike(self, views: list[dict]) -> Iterator[list[dict]]:
        """``views`` in groups that go through the network at once."""
        # A GPU does a picture and its mirror image in less than twice the time; a CPU only where
        # reading the weights takes as long as using them, and both together take more memory.
        on_gpu = next(self.module.parameters()).is_cuda
        for sizes, group in groupby(views, _sizes):
            small = max(height * width for _, height, width in sizes) <= FEW_PIXELS
            if self.module.memory_budget is None and (on_gpu or small):
                yield list(group)
            else:
                yield from ([view] for view in group)

    def merge_preds(self, data_samples_list: list[list[SegDataSample]]) -> list[SegDataSample]:
        """One prediction a picture from lists of its views' predictions, with ``seg_logits``."""
        merged = [views[0] for views in data_samples_list]
        for sample, views in zip(merged, data_samples_list, strict=True):
            maps = [DenseScores(view.seg_logits.data) for view in views]
            self.module.write_result(sample, MeanProbabilities(maps), with_logits=True)
        return merged


def _sizes(view: dict) -> list[tuple[int, ...]]:
    return [tuple(picture.shape) for picture in view["inputs"]]
