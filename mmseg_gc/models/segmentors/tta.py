"""Test-time augmentation: the mean prediction over several views of a picture."""

from collections.abc import Iterable

from mmengine.model import BaseTTAModel
from mmengine.structures import PixelData
from torch import Tensor, nn

from mmseg_gc.models.segmentors.base import labels_of
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
        return self._merged(
            self.module.test_step({key: views[i] for key, views in data.items()})
            for i in range(len(data["inputs"]))
        )

    def merge_preds(self, data_samples_list: list[list[SegDataSample]]) -> list[SegDataSample]:
        """One prediction a picture from lists of its views' predictions."""
        return self._merged(zip(*data_samples_list, strict=True))

    def _merged(self, views: Iterable[list[SegDataSample]]) -> list[SegDataSample]:
        # Views come one by one and only their sum stays: full-size scores are large.
        views = iter(views)
        merged = list(next(views))
        sums = [self._probabilities(sample) for sample in merged]
        num_views = 1
        for samples in views:
            num_views += 1
            for total, sample in zip(sums, samples, strict=True):
                total += self._probabilities(sample)
        for sample, total in zip(merged, sums, strict=True):
            mean = total.div_(num_views)
            sample.seg_logits = PixelData(data=mean)
            labels = labels_of(mean, self.module.decode_head.threshold)
            sample.pred_sem_seg = PixelData(data=labels)
        return merged

    def _probabilities(self, sample: SegDataSample) -> Tensor:
        scores = sample.seg_logits.data  # (C, H, W)
        # A single channel holds a probability already.
        return scores.softmax(dim=0) if scores.size(0) > 1 else scores.clone()
