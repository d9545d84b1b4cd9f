import io
import random

import numpy as np
import torch

from mmseg_gc.engine import random_state
from mmseg_gc.engine.random_state import (
    capture_random_state,
    restore_own_random_state,
    restore_random_state,
    seeded,
)


def draw() -> tuple:
    return random.random(), np.random.rand(), np.random.randn(), torch.rand(1).item()


def test_draws_go_on_from_a_state_that_was_saved():
    draw()
    file = io.BytesIO()
    torch.save(capture_random_state(), file)
    first = [draw(), draw()]
    file.seek(0)
    restore_random_state(torch.load(file, weights_only=True))
    assert [draw(), draw()] == first


def test_each_rank_takes_its_own_state(monkeypatch):
    states, drawn = [], []
    for _ in range(2):
        states.append(capture_random_state())
        drawn.append(draw())
    monkeypatch.setattr(random_state, "get_world_size", lambda: 2)
    monkeypatch.setattr(random_state, "get_rank", lambda: 1)
    assert restore_own_random_state(states) and draw() == drawn[1]
    before = capture_random_state()
    assert not restore_own_random_state(states[:1])
    after = draw()
    restore_random_state(before)
    assert draw() == after


def test_draws_follow_from_seed_and_position_alone():
    outside = capture_random_state()
    found = {}
    for seed, position in ((1, 2), (1, 3), (2, 2), (1, 2)):
        with seeded(seed, position):
            found.setdefault((seed, position), []).append(draw())
    assert found[1, 2][0] == found[1, 2][1]
    assert len({runs[0] for runs in found.values()}) == 3
    after = draw()
    restore_random_state(outside)
    assert draw() == after
