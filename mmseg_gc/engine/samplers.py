"""Samples whose augmentation depends on their place in the run, and not on who prepares them."""

from collections.abc import Iterator, Sized
from typing import Any

import torch
from mmengine.dataset import InfiniteSampler as MMEngineInfiniteSampler
from torch.utils.data import Dataset

from mmseg_gc.engine.random_state import seeded
from mmseg_gc.registry import DATA_SAMPLERS


class Draw(int):
    """The index of one sample, with the run's random seed and its place among all ranks' samples.

    It is a number, so that a data set that nothing seeds takes it as it is.
    """

    seed: int
    position: int

    def __new__(cls, seed: int, position: int, index: int) -> "Draw":
        draw = super().__new__(cls, index)
        draw.seed, draw.position = seed, position
        return draw

    @property
    def index(self) -> int:
        return int(self)

    def __reduce__(self) -> tuple[type["Draw"], tuple[int, int, int]]:
        return type(self), (self.seed, self.position, int(self))

    def __repr__(self) -> str:
        return f"Draw(seed={self.seed}, position={self.position}, index={int(self)})"


@DATA_SAMPLERS.register_module()
class InfiniteSampler(MMEngineInfiniteSampler):
    """mmengine's order, with each index's place in the run, which `SeededDataset` seeds by.

    A run that goes on from a checkpoint draws what a run never stopped would have drawn; and N
    processes of batch B see together the samples of one process of batch N * B.
    """

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: int | None = None):
        super().__init__(dataset, shuffle, seed)
        self.skipped = 0

    def skip(self, num_samples: int) -> None:
        """Begin after this rank's first ``num_samples`` samples.

        Whole rounds through the data set are passed over at the cost of one permutation each.
        """
        self.skipped = num_samples

    def __iter__(self) -> Iterator[Draw]:
        position = self.rank + self.skipped * self.world_size
        generator = torch.Generator().manual_seed(self.seed)
        drawn, order = 0, torch.arange(0)
        while True:
            rounds = position // self.size + 1
            while drawn < rounds:
                order = self._order(generator)
                drawn += 1
            yield Draw(self.seed, position, int(order[position % self.size]))
            position += self.world_size

    def _order(self, generator: torch.Generator) -> torch.Tensor:
        if self.shuffle:
            return torch.randperm(self.size, generator=generator)
        return torch.arange(self.size)


class SeededDataset(Dataset):
    """Read and augment sample by sample under the seed that a `Draw` carries.

    Everything but indexing is the wrapped data set's.
    """

    def __init__(self, dataset: Any):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, draw: Draw | int) -> Any:
        if not isinstance(draw, Draw):
            return self.dataset[draw]
        with seeded(draw.seed, draw.position):
            return self.dataset[draw.index]

    def __getattr__(self, name: str) -> Any:
        # Copying and unpickling ask for special methods before there is a data set.
        if name.startswith("__") or name == "dataset":
            raise AttributeError(name)
        return getattr(self.dataset, name)
