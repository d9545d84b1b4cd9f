"""The gate: an exported file says what torch says, or it is called FAILED."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from mmseg_gc.deploy.network import ExportNetwork
from mmseg_gc.deploy.samples import Sample
from mmseg_gc.evaluation.confusion import class_figures, confusion_counts
from mmseg_gc.inference import ResampledLogits, labels_of
from mmseg_gc.models.segmentors import EncoderDecoder

Size = tuple[int, int]
# In float32: the largest difference of logits, relative to the largest of torch's, and the share of
# pixels that have the same label.
MAX_DIFFERENCE = 1e-4
MIN_EQUAL = 0.9999
# Points of mIoU that half precisions and int8 may lose or gain; where there are no labels, of the
# mIoU that their labels have against torch's.
MAX_MIOU = {"fp16": 0.1, "bf16": 0.1, "int8": 0.5}


@dataclass(frozen=True)
class AtSize:
    """What was found at one ``size`` (h, w); ``miou`` in percent, None without labels."""

    size: Size
    difference: float | None  # None: the file gives labels
    equal: float
    miou_torch: float | None
    miou_file: float | None
    agreement: float  # mIoU of the file's labels against torch's


@dataclass(frozen=True)
class Verdict:
    """Whether a file of a ``precision`` passed, by which bounds, on which ``images``."""

    precision: str
    images: str
    sizes: list[AtSize]
    runtime: str = ""
    passed: bool = field(init=False)
    reason: str = field(init=False)

    def __post_init__(self) -> None:
        faults = [fault for one in self.sizes if (fault := self._fault(one))]
        object.__setattr__(self, "passed", not faults)
        object.__setattr__(self, "reason", "; ".join(faults))

    def _fault(self, at: AtSize) -> str:
        name = "×".join(map(str, at.size))
        if self.precision == "fp32":
            if at.difference is not None and not at.difference <= MAX_DIFFERENCE:
                return f"{name}: logits differ by {at.difference:.2g}, above {MAX_DIFFERENCE:g}"
            if at.equal < MIN_EQUAL:
                return f"{name}: {at.equal:.4%} of the labels are equal, below {MIN_EQUAL:.2%}"
            return ""
        bound = MAX_MIOU[self.precision]
        if at.miou_torch is not None and at.miou_file is not None:
            if abs(at.miou_torch - at.miou_file) <= bound:
                return ""
            both = f"mIoU {at.miou_file:.2f} and torch's {at.miou_torch:.2f}"
            return f"{name}: {both} differ by more than {bound}"
        if at.agreement >= 100 - bound:
            return ""
        return f"{name}: mIoU against torch's labels is {at.agreement:.2f}, below {100 - bound}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def table(self) -> str:
        """A line for each size."""
        rows = [
            f"{'size':>11} {'rel. diff.':>10} {'equal labels':>12} {'mIoU torch':>10} {'file':>7}"
        ]
        for at in self.sizes:
            size = "×".join(map(str, at.size))
            difference = "" if at.difference is None else f"{at.difference:.1e}"
            mious = [
                "" if value is None else f"{value:.2f}" for value in (at.miou_torch, at.miou_file)
            ]
            rows.append(
                f"{size:>11} {difference:>10} {at.equal:>12.4%} {mious[0]:>10} {mious[1]:>7}"
            )
        return "\n".join(rows)


def sizes_for(base: Size, shape: Size | None) -> list[Size]:
    """Sizes (h, w) to compare at: ``base``, half of it and an odd one; or ``shape`` alone."""
    if shape is not None:
        return [shape]
    half = (max(32, base[0] // 16 * 8), max(32, base[1] // 16 * 8))
    odd = (base[0] * 3 // 4 | 1, base[1] * 3 // 4 | 1)
    return list(dict.fromkeys([base, half, odd]))


@torch.no_grad()
def compare(
    model: EncoderDecoder,
    network: ExportNetwork,
    exported: Callable[[Tensor], Tensor],
    samples: Sequence[Sample],
    sizes: Sequence[Size],
    *,
    precision: str,
    images: str,
    runtime: str = "",
) -> Verdict:
    """Ask ``exported`` and the plain ``model`` the same ``samples`` at all ``sizes``.

    ``network`` is what was exported, whose input and output ``exported`` has.
    """
    logits_of = _Logits(model)
    found = []
    for size in sizes:
        tally = _Tally(model)
        for sample in samples:
            raw = sample.resized(size)[None]
            reference = logits_of(raw)
            given = exported(
                raw.permute(0, 2, 3, 1).contiguous() if network.bake else logits_of.last
            )
            tally.add(network.output, reference, given, size, sample.label)
        found.append(tally.at(size))
    return Verdict(precision, images, found, runtime)


class _Logits:
    """The plain network in torch; ``last`` are the normalised images that it was shown last."""

    def __init__(self, model: EncoderDecoder) -> None:
        self.model = model
        self.last: Tensor = torch.empty(0)

    def __call__(self, raw: Tensor) -> Tensor:
        self.last = self.model.data_preprocessor.normalise(raw)
        return self.model.decode_head(self.model.extract_feat(self.last)).float()


class _Tally:
    """Differences, equal labels and confusion counts over images of one size."""

    def __init__(self, model: EncoderDecoder) -> None:
        self.model = model
        self.num_classes = max(model.num_classes, 2)
        self.ignore_index = getattr(model.decode_head, "ignore_index", None)
        self.difference: float | None = None
        self.equal = self.pixels = 0
        shape = (self.num_classes, self.num_classes)
        self.against_torch = torch.zeros(shape, dtype=torch.int64)
        self.of_torch, self.of_file = (torch.zeros(shape, dtype=torch.int64) for _ in range(2))
        self.has_labels = False

    def add(
        self, output: str, reference: Tensor, given: Tensor, size: Size, label: Tensor | None
    ) -> None:
        expected = self._labels(reference, size)
        if output == "logits":
            labels = self._labels(given, size)
            self._differ(reference, given)
        elif output == "probabilities":
            self._differ(self._probabilities(reference, size), given)
            labels = self._chosen(given[0])
        else:
            labels = given.reshape(size).to(torch.uint8 if self.num_classes <= 256 else torch.int64)
        self.equal += int((labels == expected).sum())
        self.pixels += expected.numel()
        self.against_torch += confusion_counts(labels, expected, self.num_classes, -1)
        if label is not None:
            self.has_labels = True
            ignored = -1 if self.ignore_index is None else self.ignore_index
            for counts, ids in ((self.of_torch, expected), (self.of_file, labels)):
                at_label = _nearest(ids, (label.shape[0], label.shape[1]))
                counts += confusion_counts(at_label, label, self.num_classes, ignored)

    def _differ(self, reference: Tensor, given: Tensor) -> None:
        largest = float(reference.abs().max())
        difference = float((given - reference).abs().max()) / max(largest, 1e-12)
        if not difference < float("inf"):  # NaN as well
            difference = float("inf")
        self.difference = max(self.difference or 0.0, difference)

    def _resized(self, logits: Tensor, size: Size) -> Tensor:
        return ResampledLogits(logits[0]).resized(size, self.model.align_corners).all_rows()

    def _labels(self, logits: Tensor, size: Size) -> Tensor:
        resized = self._resized(logits, size)
        return self._chosen(resized.sigmoid() if len(resized) == 1 else resized)

    def _chosen(self, values: Tensor) -> Tensor:
        return labels_of(values, getattr(self.model.decode_head, "threshold", None))[0]

    def _probabilities(self, logits: Tensor, size: Size) -> Tensor:
        resized = self._resized(logits, size)[None]
        return resized.sigmoid() if resized.shape[1] == 1 else resized.softmax(dim=1)

    def at(self, size: Size) -> AtSize:
        return AtSize(
            size=size,
            difference=self.difference,
            equal=self.equal / self.pixels,
            miou_torch=_miou(self.of_torch) if self.has_labels else None,
            miou_file=_miou(self.of_file) if self.has_labels else None,
            agreement=_miou(self.against_torch),
        )


def _nearest(labels: Tensor, size: Size) -> Tensor:
    rows = (torch.arange(size[0]) + 0.5) * labels.shape[0] / size[0]
    columns = (torch.arange(size[1]) + 0.5) * labels.shape[1] / size[1]
    return labels[rows.long()][:, columns.long()]


def _miou(counts: Tensor) -> float:
    return float(class_figures(counts, "mIoU")["IoU"].nanmean()) * 100
