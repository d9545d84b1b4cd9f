import pytest
import torch
from torch.utils.data import DataLoader

from mmseg_gc.engine.dataloaders import complete_dataloader, require_batches
from mmseg_gc.engine.samplers import InfiniteSampler, SeededDataset
from mmseg_gc.engine.workers import start_worker
from mmseg_gc.errors import UserError


def completed(**loader) -> dict:
    complete_dataloader(loader, seed=5)
    return loader


@pytest.mark.parametrize(
    ("sampler", "round_up"),
    [
        (dict(type="DefaultSampler", shuffle=False), False),
        (dict(type="DefaultSampler", shuffle=False, round_up=True), True),
        (dict(type="DefaultSampler", shuffle=True), None),
        (dict(type="DefaultSampler"), None),
    ],
)
def test_no_image_is_counted_twice(sampler, round_up):
    assert completed(sampler=sampler)["sampler"].get("round_up") is round_up


def test_workers():
    alone = completed(num_workers=0, persistent_workers=True)
    assert alone["persistent_workers"] is False and "worker_init_fn" not in alone
    several = completed(num_workers=3, persistent_workers=True)
    assert several["persistent_workers"] is True
    assert several["worker_init_fn"] == dict(
        type=start_worker, num_workers=3, rank=0, seed=5, disable_subprocess_warning=False
    )
    own = completed(num_workers=3, worker_init_fn=print)
    assert own["worker_init_fn"] is print


@pytest.mark.parametrize("gpu", [True, False])
def test_pinned_for_a_gpu(monkeypatch, gpu):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert completed()["pin_memory"] is gpu
    assert completed(pin_memory=not gpu)["pin_memory"] is not gpu


def test_an_endless_sampler_s_samples_are_seeded(camvid_root):
    dataset = dict(
        type="CamVidDataset",
        data_root=str(camvid_root),
        data_prefix=dict(img_path="train", seg_map_path="trainannot"),
        pipeline=[],
    )
    found = completed(sampler=dict(type="InfiniteSampler"), dataset=dict(dataset))
    assert found["sampler"]["type"] is InfiniteSampler
    assert isinstance(found["dataset"], SeededDataset) and len(found["dataset"]) == 4
    for more in (
        dict(sampler=dict(type="DefaultSampler")),
        dict(sampler=dict(type="InfiniteSampler"), batch_sampler=dict(type="Own")),
    ):
        assert completed(dataset=dict(dataset), **more)["dataset"] == dataset


@pytest.mark.parametrize(
    ("count", "drop_last", "said"),
    [
        (0, False, "has no sample: correct its indices"),
        (3, True, r"has 3 samples, fewer than batch_size \(4\)"),
    ],
)
def test_a_loader_without_a_batch(count, drop_last, said):
    with pytest.raises(UserError, match=said):
        require_batches(DataLoader(range(count), 4, drop_last=drop_last))


@pytest.mark.parametrize(("count", "drop_last"), [(4, True), (3, False)])
def test_a_loader_with_a_batch(count, drop_last):
    require_batches(DataLoader(range(count), 4, drop_last=drop_last))
