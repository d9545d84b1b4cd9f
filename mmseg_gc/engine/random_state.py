"""The random states of a process: python's, numpy's and torch's, on the CPU and on its GPU."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size


def capture_random_state() -> dict:
    """What `restore_random_state` takes, in types that are read back without running code."""
    _, keys, position, has_gauss, cached = np.random.get_state()
    version, words, gauss = random.getstate()
    state = {
        "python": [version, list(words), gauss],
        "numpy": [torch.from_numpy(np.asarray(keys, np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: dict) -> None:
    """Continue as if nothing had been drawn since ``state`` was captured."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    keys, position, has_gauss, cached = state["numpy"]
    keys = keys.cpu().numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, position, has_gauss, cached))
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


def gather_random_states() -> list[dict]:
    """Every process's state, by rank; all processes have to call it."""
    return all_gather_object(capture_random_state())


def restore_own_random_state(states: list[dict]) -> bool:
    """Restore this rank's state; False, and nothing done, if another number of ranks saved."""
    if len(states) != get_world_size():
        return False
    restore_random_state(states[get_rank()])
    return True


@contextmanager
def seeded(seed: int, position: int) -> Iterator[None]:
    """Draw inside this block as a function of the two numbers alone, and outside as if without it.

    Only the CPU's generators are touched: this is for reading and augmenting a sample.
    """
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = [int(word) for word in np.random.SeedSequence((seed, position)).generate_state(4)]
    random.seed(words[0])
    np.random.seed(words[1:3])
    # `torch.manual_seed` would seed the GPU as well.
    torch.default_generator.manual_seed(words[3])
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])
