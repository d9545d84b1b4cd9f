import itertools
import pickle
from copy import deepcopy

import pytest
import torch
from mmengine.structures import PixelData

from mmseg_gc.structures import SegDataSample, has_strange_ids, strange_ids


def test_a_data_loader_can_pin_all_of_it(monkeypatch):
    """torch asks what isn't a tensor for its own `pin_memory`, and takes what that returns."""
    pinned = []

    def pin(tensor):
        pinned.append(tensor)
        return tensor.clone()

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    label, logits = torch.arange(6).view(1, 2, 3), torch.rand(4, 2, 3)
    sample = SegDataSample(metainfo=dict(img_path="a.png", ori_shape=(2, 3)))
    sample.gt_sem_seg, sample.seg_logits = PixelData(data=label), PixelData(data=logits)
    found = sample.pin_memory()
    assert {id(tensor) for tensor in pinned} == {id(label), id(logits)}
    assert type(found) is SegDataSample and type(found.gt_sem_seg) is PixelData
    assert found.metainfo == sample.metainfo
    assert torch.equal(found.gt_sem_seg.data, label)
    assert found.gt_sem_seg.data is not label and sample.gt_sem_seg.data is label
    assert torch.equal(found.seg_logits.data, logits)
    assert "pred_sem_seg" not in found


def test_what_is_missing_is_said_with_the_cure():
    sample = SegDataSample(metainfo=dict(img_path="a.png"))
    with pytest.raises(AttributeError, match="no seg_logits; set .*return_logits=True"):
        _ = sample.seg_logits
    with pytest.raises(AttributeError, match=r"no pred_sem_seg\.$"):
        _ = sample.pred_sem_seg
    assert sample.get("gt_sem_seg") is None
    sample.pred_sem_seg = PixelData(data=torch.arange(6).view(1, 2, 3))
    for copy in (deepcopy(sample), pickle.loads(pickle.dumps(sample)), sample.cpu(), sample.new()):
        assert copy.keys() == ["pred_sem_seg"] and copy.img_path == "a.png"
        assert torch.equal(copy.pred_sem_seg.data, sample.pred_sem_seg.data)
    del sample.pred_sem_seg
    assert "pred_sem_seg" not in sample


@pytest.mark.parametrize("ignore_index", [None, 255, 0, 2, 11, -1])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.int32])
def test_strange_ids(ignore_index, dtype):
    """By both ways, against a look at each id."""
    ids = [0, 2, 3, 11, 255, *([-1] if dtype.is_signed else [])]
    for pair in itertools.product(ids, ids):
        label = torch.tensor([pair], dtype=dtype)
        wanted = [i != ignore_index and not 0 <= i < 3 for i in pair]
        assert strange_ids(label, 3, ignore_index).tolist() == [wanted]
        assert has_strange_ids(label, 3, ignore_index).item() is any(wanted)
