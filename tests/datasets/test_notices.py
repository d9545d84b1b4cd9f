import os

from mmseg_gc.datasets.notices import is_first


def test_a_thing_is_told_once():
    key = f"told once {os.urandom(8).hex()}"
    assert is_first(key)
    assert not is_first(key)
    assert is_first(f"{key} of another")


def test_workers_that_were_forked_know_what_was_told():
    key = f"told by a worker {os.urandom(8).hex()}"
    child = os.fork()
    if child == 0:
        os._exit(0 if is_first(key) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert not is_first(key)
