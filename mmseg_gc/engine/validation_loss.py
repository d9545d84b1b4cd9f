"""The loss of a validation, from the logits that its labels are made of."""

import torch
from mmengine.dist import all_reduce
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

from mmseg_gc.errors import UserError
from mmseg_gc.inference import LogitMap, Watch
from mmseg_gc.models import EncoderDecoder
from mmseg_gc.models.losses import CrossEntropyLoss
from mmseg_gc.structures import SegDataSample, strange_ids

SUM = "val_loss"


class ValidationLoss:
    """Means over images of what the decode head's losses say of the logits at the label's size.

    Of whole images these are the logits of the training's loss; of sliding windows the mean over
    them, as the labels have it. Auxiliary heads don't run in a validation. Sums stay on the model's
    device until `read`.
    """

    def __init__(self, model: nn.Module) -> None:
        model = model.get_submodule("module") if is_model_wrapper(model) else model
        if not isinstance(model, EncoderDecoder):
            raise UserError(
                f"config key val_cfg.loss: a {type(model).__name__} makes no logits to compute it "
                "from; set it to False."
            )
        self.model = model
        self.head = model.decode_head
        losses = self.head.loss_decode
        self.criteria = list(losses) if isinstance(losses, nn.ModuleList) else [losses]
        self.device = next(model.parameters()).device
        self.names = list(dict.fromkeys(f"val_{one.loss_name}" for one in self.criteria))
        # The last element counts images.
        self.sums = torch.zeros(len(self.names) + 1, dtype=torch.float64, device=self.device)

    def __enter__(self) -> "ValidationLoss":
        self.model.watchers.append(self.watch)
        return self

    def __exit__(self, *_: object) -> None:
        self.model.watchers.remove(self.watch)

    def watch(self, sample: SegDataSample, logits: LogitMap) -> Watch:
        """Add the loss of ``sample``'s label, when all rows of ``logits`` have been shown.

        Raises:
            UserError: it has no label of that size.
        """
        label = sample.get("gt_sem_seg")
        size = None if label is None else tuple(label.data.shape[-2:])
        if size != logits.size:
            has = "no label" if size is None else f"a label of {size} pixels, not {logits.size},"
            raise UserError(
                f"{sample.get('img_path', 'an image')} has {has} to compute the loss from: load "
                "labels after Resize in the validation's pipeline, or leave out val_cfg.loss."
            )
        label = label.data.reshape(1, *size).to(self.device, non_blocking=True).long()
        # `IoUMetric` tells of ids that are no class; here they would end a GPU's process.
        strange = strange_ids(label, max(self.head.num_classes, 2), self.head.ignore_index)
        return self._watch(label.masked_fill(strange, 0))

    def _watch(self, label: Tensor) -> Watch:
        seen: list[Tensor] = []  # rows, of losses that need the whole image

        @torch.no_grad()
        def watch(rows: Tensor, top: int) -> None:
            bottom = top + rows.shape[1]
            done = bottom == label.shape[1]
            with torch.autocast(self.device.type, enabled=False):
                if self._adds_up:
                    self._add_rows(rows[None], label[:, top:bottom], label)
                else:
                    seen.append(rows.clone())
                    if done:
                        self._add_image(torch.cat(seen, dim=1)[None], label)
            self.sums[-1] += done

        return watch

    @property
    def _adds_up(self) -> bool:
        """Whether every loss is a mean over pixels, which a chunk of rows has its share of."""
        return all(
            isinstance(one, CrossEntropyLoss)
            and type(one).forward is CrossEntropyLoss.forward
            and not one.use_sigmoid
            and one.reduction == "mean"
            for one in self.criteria
        )

    def _add_rows(self, logits: Tensor, label: Tensor, whole_label: Tensor) -> None:
        ignore_index = self.head.ignore_index
        for loss in self.criteria:
            assert isinstance(loss, CrossEntropyLoss)  # by `_adds_up`
            total = loss(logits, label, reduction_override="sum", ignore_index=ignore_index)
            self._add(loss, total / loss.divisor(logits, whole_label, ignore_index))

    def _add_image(self, logits: Tensor, label: Tensor) -> None:
        for loss in self.criteria:
            self._add(loss, loss(logits, label, ignore_index=self.head.ignore_index))

    def _add(self, loss: nn.Module, value: Tensor) -> None:
        self.sums[self.names.index(f"val_{loss.loss_name}")] += value

    def read(self) -> dict[str, float]:
        """The losses over all processes; their sum, of those that are learnt from, comes first."""
        sums = self.sums.cpu()
        all_reduce(sums)
        means = dict(zip(self.names, (sums[:-1] / sums[-1]).tolist(), strict=True))
        learnt = [value for name, value in means.items() if name.startswith("val_loss_")]
        return {SUM: sum(learnt), **({} if len(means) == len(learnt) == 1 else means)}
