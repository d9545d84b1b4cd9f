"""Tests of inference run on one thread, from one seed."""

import pytest


@pytest.fixture(autouse=True)
def alone(one_thread_and_seed: None) -> None:
    pass
