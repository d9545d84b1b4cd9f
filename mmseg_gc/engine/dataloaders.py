"""What a data loader's config needs beside what it says, and loaders that give nothing."""

import torch
from mmengine.dist import get_rank
from mmengine.runner import BaseLoop, EpochBasedTrainLoop
from torch.utils.data import DataLoader

from mmseg_gc.engine.samplers import InfiniteSampler, MMEngineInfiniteSampler, SeededDataset
from mmseg_gc.engine.workers import start_worker
from mmseg_gc.errors import UserError
from mmseg_gc.registry import DATA_SAMPLERS, DATASETS


def complete_dataloader(dataloader: dict, seed: int | None) -> None:
    """Make the config ``dataloader`` exact to resume, fast on a GPU, and fit for its workers."""
    sampler = dataloader.get("sampler")
    if isinstance(sampler, dict) and not sampler.get("shuffle", True):
        # In order means to be counted: padding the last round would count some twice.
        sampler.setdefault("round_up", False)
    if dataloader.get("num_workers", 0) == 0:
        dataloader["persistent_workers"] = False  # torch refuses it without workers
    elif "worker_init_fn" not in dataloader:
        dataloader["worker_init_fn"] = dict(
            type=start_worker,
            num_workers=dataloader["num_workers"],
            rank=get_rank(),
            seed=seed,
            disable_subprocess_warning=dataloader.pop("disable_subprocess_warning", False),
        )
    # Pinned batches travel to a GPU while it still works on the last one.
    dataloader.setdefault("pin_memory", torch.cuda.is_available())
    _seed_samples(dataloader)


def _seed_samples(dataloader: dict) -> None:
    """Let the samples of an endless sampler be augmented by their place in the run."""
    sampler, dataset = dataloader.get("sampler"), dataloader.get("dataset")
    if not (isinstance(sampler, dict) and isinstance(dataset, dict)):
        return
    if dataloader.get("batch_sampler"):
        return  # whether it hands on the sampler's draws or numbers of its own is not known
    kind = sampler["type"]
    if (DATA_SAMPLERS.get(kind) if isinstance(kind, str) else kind) is not InfiniteSampler:
        return
    sampler["type"] = InfiniteSampler
    dataset = DATASETS.build(dataset)
    if hasattr(dataset, "full_init"):
        dataset.full_init()
    dataloader["dataset"] = SeededDataset(dataset)


def require_batches(loader: DataLoader) -> None:
    """Refuse a loader that never gives a batch."""
    if not hasattr(loader.dataset, "__len__") or isinstance(
        loader.sampler, MMEngineInfiniteSampler
    ):
        return
    num_samples = len(loader.dataset)
    if not num_samples:
        raise UserError(
            "A data set has no sample: correct its indices, filter_cfg, ann_file or data_prefix."
        )
    if loader.drop_last and num_samples < (loader.batch_size or 1) and not len(loader):
        raise UserError(
            f"The data set has {num_samples} samples, fewer than batch_size ({loader.batch_size}), "
            "and drop_last=True leaves out the only batch: lower batch_size, set drop_last=False, "
            "or take the InfiniteSampler."
        )


def require_end_of_epoch(loop: BaseLoop) -> None:
    """Refuse to count epochs of samples that never end.

    Raises:
        UserError: names the two keys.
    """
    sampler = getattr(loop.dataloader, "sampler", None)
    if isinstance(loop, EpochBasedTrainLoop) and isinstance(sampler, MMEngineInfiniteSampler):
        raise UserError(
            "train_dataloader.sampler is an InfiniteSampler, whose first epoch never ends: set it "
            "to dict(type='DefaultSampler', shuffle=True), or train_cfg.type to "
            "'IterBasedTrainLoop'."
        )
