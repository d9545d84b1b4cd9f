"""Calibration beside numpy, however the logits come: in chunks, of one channel, as a mean."""

import numpy as np
import pytest
import torch

from mmseg_gc.inference import MeanProbabilities, ResampledLogits, label_maps
from mmseg_gc.inference.label_maps import at_original_size, write_result
from mmseg_gc.report.calibration import BINS, CalibrationWatcher, calibration_error


def table_by_hand(probabilities, chosen, label) -> np.ndarray:
    counts = label != 255
    confidence, right = probabilities[counts], (chosen == label)[counts]
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    table = np.zeros((3, BINS))
    for values, row in zip((np.ones(len(place)), right, confidence), table, strict=True):
        np.add.at(row, place, values)
    return table


def error_by_hand(table: np.ndarray) -> float:
    total, error = table[0].sum(), 0.0
    for count, right, confidence in table.T:
        if count:
            error += count / total * abs(right / count - confidence / count)
    return error


@pytest.mark.parametrize("chunk_bytes", [1 << 20, 1000])
@pytest.mark.parametrize("way", ["classes", "one channel", "mean of views"])
def test_tables_by_hand(way, chunk_bytes, labelled, one_thread_and_seed, monkeypatch):
    monkeypatch.setitem(label_maps.CHUNK_BYTES, "cpu", chunk_bytes)
    channels = 1 if way == "one channel" else 4
    logits = 2 * torch.randn(2, channels, 24, 30)
    label = torch.randint(0, 2 if channels == 1 else 4, (24, 30)).to(torch.uint8)
    label[:5] = 255
    sample = labelled(label)
    maps = [at_original_size(ResampledLogits(one), sample.metainfo, False) for one in logits]
    if way == "mean of views":
        shown, p = MeanProbabilities(maps), logits.softmax(dim=1).mean(dim=0)
    elif way == "classes":
        shown, p = maps[0], logits[0].softmax(dim=0)
    else:
        shown, of_one = maps[0], logits[0].sigmoid()
        p = torch.cat([1 - of_one, of_one])
    chosen = (p[1] > 0.4).long() if channels == 1 else p.argmax(dim=0)
    confidence = p.gather(0, chosen[None])[0]

    watcher = CalibrationWatcher(255, 0.4)
    write_result(sample, shown, threshold=0.4, watches=[watcher(sample, shown)])
    assert sample.pred_sem_seg.data[0].tolist() == chosen.tolist()
    table = watcher.take(sample).numpy()
    wanted = table_by_hand(confidence.numpy(), chosen.numpy(), label.numpy())
    np.testing.assert_allclose(table, wanted, atol=1e-4)
    assert calibration_error(table) == pytest.approx(error_by_hand(wanted), abs=1e-6)
    assert watcher.take(sample) is None


def test_samples_without_labels_are_left_out(labelled):
    sample = labelled(torch.zeros(4, 4, dtype=torch.uint8))
    watcher = CalibrationWatcher(255, None)
    assert watcher(sample, ResampledLogits(torch.zeros(2, 5, 4))) is None
    del sample.gt_sem_seg
    assert watcher(sample, ResampledLogits(torch.zeros(2, 4, 4))) is None
    assert np.isnan(calibration_error(np.zeros((3, BINS))))
