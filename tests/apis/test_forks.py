"""A model in a process that was forked: it computes there, and doesn't wait for ever."""

import os
import signal
import sys
import time
import traceback

import numpy as np
import pytest
import torch

from mmseg_gc.apis import forks, inference_model, init_model

forking = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.fixture
def two_threads():
    """Where torch finds two; else nothing can hang, and the fork has one anyway."""
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def in_fork(work, seconds: float = 20) -> int:
    """The exit status of a fork that does ``work``; 99 if it hangs."""
    child = os.fork()
    if child == 0:
        status = 98
        try:
            status = work()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        finished, status = os.waitpid(child, os.WNOHANG)
        if finished:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 99


@forking
def test_a_fork_has_one_thread_and_says_so_once(two_threads, monkeypatch):
    said = []
    monkeypatch.setattr(forks, "print_log", lambda text, **_: said.append(text))
    forks.keep_forks_from_hanging()

    def work():
        threads = torch.get_num_threads()
        forks.tell_of_fork()
        forks.tell_of_fork()
        return 10 * threads + len(said)

    assert in_fork(work) == 11
    assert torch.get_num_threads() == 2  # here as before
    forks.tell_of_fork()
    assert said == []


@forking
def test_a_model_labels_in_a_fork_as_in_its_process(two_threads, tmp_path, gcnet_cfg):
    """libgomp has started its threads here: the parallel work below makes it do so."""
    pipeline = [dict(type="LoadImageFromFile"), dict(type="PackSegInputs")]
    dataset = dict(type="BaseSegDataset", pipeline=pipeline)
    config = tmp_path / "c.py"
    loader = dict(batch_size=1, dataset=dataset)
    config.write_text(f"model = {gcnet_cfg()!r}\ntest_dataloader = {loader!r}\n")
    torch.manual_seed(0)
    model = init_model(config)
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    torch.rand(256, 256).exp().sum()
    labels = inference_model(model, image).pred_sem_seg.data

    def work():
        return int(torch.equal(inference_model(model, image).pred_sem_seg.data, labels))

    assert in_fork(work) == 1
