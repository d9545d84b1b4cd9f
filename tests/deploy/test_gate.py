"""The gate opens for the same numbers alone; bounds and figures are computed here by hand."""

import numpy as np
import pytest
import torch

from mmseg_gc.deploy.gate import compare, sizes_for
from mmseg_gc.deploy.network import ExportNetwork
from mmseg_gc.deploy.samples import Sample

SIZES = sizes_for((48, 64), None)


@pytest.fixture(scope="module")
def model(tiny_files):
    from mmseg_gc.apis import init_model

    return init_model(*tiny_files, accelerate="none")


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    rng = np.random.default_rng(0)
    pixels = np.kron(rng.integers(0, 256, (3, 6, 8), np.uint8), np.ones((1, 8, 8), np.uint8))
    label = torch.from_numpy(rng.integers(0, 11, (48, 64), np.uint8))
    return [Sample(torch.from_numpy(pixels), label)]


def ask(model, samples, change=lambda out: out, precision="fp32", output="logits", bake=False):
    network = ExportNetwork(model, output=output, bake=bake).eval()
    return compare(
        model,
        network,
        lambda image: change(network(image)),
        samples,
        SIZES,
        precision=precision,
        images="drawn",
    )


def test_three_sizes_one_of_them_odd():
    assert SIZES == [(48, 64), (32, 32), (37, 49)]
    assert sizes_for((769, 769), (769, 769)) == [(769, 769)]


@pytest.mark.parametrize("output", ["logits", "labels", "probabilities"])
@pytest.mark.parametrize("bake", [False, True])
def test_the_same_network_passes(model, samples, output, bake):
    verdict = ask(model, samples, output=output, bake=bake)
    assert verdict.passed, verdict.reason
    assert [at.equal for at in verdict.sizes] == [1.0] * 3
    assert "37×49" in verdict.table()


def test_logits_that_differ(model, samples):
    """Of the largest logit a thousandth, everywhere: no label changes."""
    verdict = ask(model, samples, lambda logits: logits + 1e-3 * logits.abs().max())
    assert not verdict.passed and "48×64: logits differ by 0.001, above 0.0001" in verdict.reason
    assert all(at.difference == pytest.approx(1e-3, rel=0.01) for at in verdict.sizes)
    assert ask(model, samples, lambda x: x + 1e-5 * x.abs().max()).passed
    assert not ask(model, samples, lambda logits: logits * float("nan")).passed


def test_labels_that_differ(model, samples):
    def one_wrong(labels):
        labels = labels.clone()
        labels[0, 0, 0] = (labels[0, 0, 0] + 1) % 11
        return labels

    verdict = ask(model, samples, one_wrong, output="labels")
    assert verdict.sizes[0].equal == 1 - 1 / (48 * 64)
    assert not verdict.passed and "of the labels are equal, below 99.99%" in verdict.reason


@pytest.mark.parametrize(("precision", "bound"), [("fp16", 0.1), ("int8", 0.5)])
def test_miou_decides_where_numbers_are_rounded(model, samples, precision, bound):
    """Logits may be anything; the mIoU of labels, by the definition, may move by the bound."""
    same = ask(model, samples, lambda logits: 2 * logits, precision)
    assert same.passed and same.sizes[0].difference == pytest.approx(1, abs=1e-6)
    verdict = ask(model, samples, lambda logits: logits.roll(1, dims=1), precision)
    at, label = verdict.sizes[0], samples[0].label.long()
    network = ExportNetwork(model, output="labels").eval()
    found = network(model.data_preprocessor.normalise(samples[0].image[None]))[0].long()
    for value, ids in ((at.miou_torch, found), (at.miou_file, (found + 1) % 11)):
        pairs = [((ids == c) & (label == c), (ids == c) | (label == c)) for c in range(11)]
        ious = [float(both.sum() / either.sum()) for both, either in pairs if either.any()]
        assert value == pytest.approx(100 * np.mean(ious))
    moved = abs(at.miou_torch - at.miou_file)
    assert verdict.passed == all(abs(s.miou_torch - s.miou_file) <= bound for s in verdict.sizes)
    assert (f"differ by more than {bound}" in verdict.reason) == (not verdict.passed) and moved > 0


def test_without_labels_those_of_torch_count(model, samples):
    unlabelled = [Sample(samples[0].image)]
    assert ask(model, unlabelled, lambda logits: 2 * logits, "int8").passed
    verdict = ask(model, unlabelled, lambda logits: logits.roll(1, dims=1), "int8")
    assert not verdict.passed and verdict.sizes[0].miou_torch is None
    assert "mIoU against torch's labels is 0.00, below 99.5" in verdict.reason
