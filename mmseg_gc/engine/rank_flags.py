"""What all ranks have to agree on in every iteration: a loss that isn't finite, and a signal."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import torch
from mmengine.dist import all_reduce
from torch import Tensor

from mmseg_gc.engine.late_values import fetch


@dataclass
class Sent:
    """The flags of one iteration, on their way from the device to the host."""

    iteration: int
    names: list[str]
    # (3,) int32 on the host: not finite on any rank, the signal of any rank, not finite here.
    values: Tensor
    arrived: "torch.cuda.Event | None"


class RankFlags:
    """One reduction an iteration for all flags, which are read when the host needn't wait.

    A GPU's flags are read one iteration after they were sent: by then they have long been copied,
    while the GPU still has the next iteration to do. A CPU's are read at once. Every rank reads
    the same flags after the same iteration, so that what follows from them is agreed on.
    """

    def __init__(self):
        self.own_signal: Callable[[], int] = lambda: 0
        self.signal = 0
        self.newest = -1
        self._on_their_way: deque[Sent] = deque()

    def send(self, iteration: int, not_finite: Tensor, names: list[str]) -> Tensor:
        """Begin to tell all ranks of this one's flags, and return the bool () of any rank's.

        ``not_finite`` is a bool (), and ``names`` are the files it's about.
        """
        self.newest = iteration
        here = not_finite.int()
        flags = torch.stack([here, torch.full_like(here, self.own_signal())])
        all_reduce(flags, "max")
        values, arrived = fetch(torch.cat([flags, here[None]]))
        self._on_their_way.append(Sent(iteration, names, values, arrived))
        return flags[0].bool()

    def collect(self, *, up_to_now: bool = False) -> list[tuple[Sent, bool]]:
        """The iterations with a loss that isn't finite and whether it was here, oldest first.

        ``up_to_now`` waits for those of this iteration as well. It updates ``signal``.
        """
        bad = []
        while self._on_their_way:
            sent = self._on_their_way[0]
            if sent.arrived is not None:
                if sent.iteration == self.newest and not up_to_now:
                    break
                sent.arrived.synchronize()
            self._on_their_way.popleft()
            anywhere, signal, here = sent.values.tolist()
            self.signal = self.signal or signal
            if anywhere:
                bad.append((sent, bool(here)))
        return bad
