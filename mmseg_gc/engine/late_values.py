"""Values that stay on their device until something reads them, or until they have come."""

from collections import defaultdict

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from torch import Tensor

MAX_WAITING = 1000


def fetch(values: Tensor) -> tuple[Tensor, "torch.cuda.Event | None"]:
    """``values`` on the host, and what tells that they are there; None: they are."""
    if not values.is_cuda:
        return values, None
    values = values.to("cpu", non_blocking=True)  # into pinned memory
    arrived = torch.cuda.Event()
    arrived.record()
    return values, arrived


class OnTheirWay:
    """The numbers in tensors of one element each, which a device may still be computing."""

    def __init__(self, values: dict[str, Tensor]):
        self._names = list(values)
        of_devices = defaultdict(list)  # a custom loss may give a CPU's numbers beside a GPU's
        for name, value in values.items():
            of_devices[value.device].append(name)
        self._parts = []
        for names in of_devices.values():
            numbers = torch.stack([values[name].detach().reshape(()).float() for name in names])
            self._parts.append((names, *fetch(numbers)))

    @property
    def have_come(self) -> bool:
        """Whether `values` won't make the host wait."""
        return all(arrived is None or arrived.query() for _, _, arrived in self._parts)

    def values(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for names, numbers, arrived in self._parts:
            if arrived is not None:
                arrived.synchronize()
            found.update(zip(names, numbers.tolist(), strict=True))
        return {name: found[name] for name in self._names}


class LateHistory(HistoryBuffer):
    """A history that takes tensors as they are and reads them when it is asked for anything.

    Reading makes the host wait for the device, so all histories that share ``waiting`` are read
    together. A copy, as in a checkpoint, is mmengine's plain history.
    """

    def __init__(self, source: HistoryBuffer, waiting: list[tuple["LateHistory", Tensor]]):
        self.waiting = waiting
        super().__init__(*source.data, max_length=source.max_length)

    def append(self, value: Tensor) -> None:
        """Take a tensor of one element, which must not change afterwards."""
        self.waiting.append((self, value.detach().reshape(())))
        if len(self.waiting) >= MAX_WAITING:
            read(self.waiting)

    @property
    def _log_history(self) -> np.ndarray:
        read(self.waiting)
        return self._values

    @_log_history.setter
    def _log_history(self, values: np.ndarray) -> None:
        self._values = values

    @property
    def _count_history(self) -> np.ndarray:
        read(self.waiting)
        return self._counts

    @_count_history.setter
    def _count_history(self, counts: np.ndarray) -> None:
        self._counts = counts

    def _extend(self, values: list[float]) -> None:
        self._values = np.append(self._values, values)[-self.max_length :]
        self._counts = np.append(self._counts, [1] * len(values))[-self.max_length :]

    def __reduce__(self) -> tuple:
        return HistoryBuffer, (*self.data, self.max_length)


def read(waiting: list[tuple[LateHistory, Tensor]]) -> None:
    """Empty ``waiting`` into its histories: one copy from the device for each type of number."""
    taken, waiting[:] = waiting[:], []
    kinds = defaultdict(list)
    for place, (_, value) in enumerate(taken):
        kinds[value.device, value.dtype].append(place)
    numbers: dict[int, float] = {}
    for places in kinds.values():
        stacked = torch.stack([taken[place][1] for place in places])
        numbers.update(zip(places, stacked.cpu().tolist(), strict=True))
    values = defaultdict(list)
    for place, (history, _) in enumerate(taken):
        values[history].append(numbers[place])
    for history, new in values.items():
        history._extend(new)


def record(hub: MessageHub, key: str, value: Tensor) -> None:
    """`MessageHub.update_scalar` of a tensor of one element, without waiting for it."""
    history = hub.log_scalars.get(key)
    if not isinstance(history, LateHistory):
        if history is None:
            hub.update_scalar(key, 0.0)  # notes that checkpoints hold it
            history = HistoryBuffer()
        others = (h for h in hub.log_scalars.values() if isinstance(h, LateHistory))
        shared = next((other.waiting for other in others), [])
        history = hub.log_scalars[key] = LateHistory(history, shared)
    history.append(value)
