import copy
import os
import pickle
import random
import signal
import time

import numpy as np
import pytest
import torch
from mmengine.dataset import InfiniteSampler as MMEngineInfiniteSampler
from torch.utils.data import DataLoader, TensorDataset

from mmseg_gc.engine.random_state import capture_random_state, restore_random_state, seeded
from mmseg_gc.engine.samplers import Draw, InfiniteSampler, SeededDataset
from mmseg_gc.engine.workers import start_worker


def take(sampler, count):
    return [draw for draw, _ in zip(sampler, range(count), strict=False)]


def of_rank(kind, rank, world_size, shuffle=True):
    sampler = kind(range(7), shuffle=shuffle, seed=5)
    sampler.rank, sampler.world_size = rank, world_size
    return sampler


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("world_size", [1, 3])
def test_the_order_is_mmengines(world_size, shuffle):
    for rank in range(world_size):
        ours = take(of_rank(InfiniteSampler, rank, world_size, shuffle), 30)
        theirs = take(of_rank(MMEngineInfiniteSampler, rank, world_size, shuffle), 30)
        assert [draw.index for draw in ours] == theirs
        assert [draw.position for draw in ours] == list(range(rank, 30 * world_size, world_size))


def test_a_draw_is_an_index_wherever_one_is_asked_for():
    """Also of a data set that mmengine's own runner made, which nothing seeds."""
    draw = pickle.loads(pickle.dumps(Draw(5, 10, 3)))
    assert (draw.seed, draw.position, draw.index) == (5, 10, 3)
    assert [*"abcde"][draw] == "d" and draw - 1 == 2 and torch.arange(9)[draw] == 3
    loader = DataLoader(
        TensorDataset(torch.arange(7)),
        sampler=InfiniteSampler(range(7), seed=5),
        batch_size=7,
        num_workers=1,
    )
    [batch] = next(iter(loader))
    assert sorted(batch.tolist()) == list(range(7))


@pytest.mark.parametrize("count", [0, 1, 6, 7, 8, 29])
def test_skipping_is_not_drawing(count):
    whole = take(of_rank(InfiniteSampler, 1, 2), 40)
    sampler = of_rank(InfiniteSampler, 1, 2)
    sampler.skip(count)
    assert take(sampler, 40 - count) == whole[count:]


def test_skipping_a_long_run_takes_no_time():
    sampler = InfiniteSampler(range(3000), seed=0)
    sampler.skip(640_000)  # 160k iterations of 4 images
    start = time.perf_counter()
    assert next(iter(sampler)).position == 640_000
    assert time.perf_counter() - start < 2


class Noise(TensorDataset):
    classes = ("road",)

    def __init__(self):
        super().__init__(torch.arange(7))

    def __getitem__(self, index):
        return index, random.random(), np.random.rand(), torch.rand(1).item()


def test_draws_depend_on_seed_and_place_alone():
    dataset = SeededDataset(Noise())
    first = dataset[Draw(1, 10, 3)]
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    assert dataset[Draw(1, 10, 3)] == first
    assert dataset[Draw(1, 10, 4)] == (4, *first[1:])
    assert dataset[Draw(1, 11, 3)][1:] != first[1:]
    assert dataset[Draw(2, 10, 3)][1:] != first[1:]
    assert len(set(first[1:])) == 3
    assert dataset[3] != dataset[3]  # an index without a place draws as it would have


def test_the_outside_goes_on_as_if_nothing_had_been_drawn():
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = Noise()[0]
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    with pytest.raises(KeyError), seeded(7, 8):
        Noise()[0]
        raise KeyError
    assert Noise()[0] == expected


def test_a_captured_state_is_restored():
    random.gauss(0, 1), np.random.randn()  # both keep half of a pair for the next call
    state = pickle.loads(pickle.dumps(capture_random_state()))
    expected = Noise()[0], random.gauss(0, 1), np.random.randn()
    restore_random_state(state)
    assert (Noise()[0], random.gauss(0, 1), np.random.randn()) == expected


def test_the_data_set_shines_through():
    dataset = SeededDataset(Noise())
    assert len(dataset) == 7 and dataset.classes == ("road",)
    assert copy.deepcopy(dataset).classes == pickle.loads(pickle.dumps(dataset)).classes
    with pytest.raises(AttributeError):
        dataset.metainfo  # noqa: B018


def loader(workers):
    sampler = InfiniteSampler(range(7), seed=3)
    return DataLoader(SeededDataset(Noise()), 2, sampler=sampler, num_workers=workers)


def test_the_number_of_workers_makes_no_difference():
    one, two = (iter(loader(workers)) for workers in (0, 2))
    for _ in range(5):
        assert all(torch.equal(a, b) for a, b in zip(next(one), next(two), strict=True))


class SignalsItself(Noise):
    def __getitem__(self, index):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGUSR1)
        return super().__getitem__(index)


def test_workers_outlive_signals_to_the_whole_job():
    def start(worker_id):
        start_worker(worker_id, num_workers=1, rank=0, seed=0)

    batches = DataLoader(SignalsItself(), 2, num_workers=1, worker_init_fn=start)
    iterator = iter(batches)
    assert len(next(iterator)[0]) == 2
    worker = iterator._workers[0]
    assert worker.is_alive()
    for _ in range(100):  # two signals that wait at once are one: the parent's may get lost
        worker.terminate()  # SIGTERM as well, but from the parent
        worker.join(0.1)
        if not worker.is_alive():
            break
    assert worker.exitcode == 0
    iterator._shutdown_workers()
