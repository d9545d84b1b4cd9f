"""Start without the parts of torch that only trainings on many machines use."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

# mmengine imports these wherever a model is defined, which takes longer than torch itself: with
# them come the compiler, its symbolic algebra and DTensor.
SHARDING = (
    "torch.distributed.optim",
    "torch.distributed.fsdp",
    "torch.distributed.fsdp.api",
    "torch.distributed.fsdp.fully_sharded_data_parallel",
)


@contextmanager
def light_imports() -> Iterator[None]:
    """Let torch and mmengine be imported meanwhile without what shards a model over machines.

    Its classes for that do nothing in this process; a command that trains leaves this alone. torch
    itself finds the real modules afterwards. What is imported stays: no garbage is looked
    for in it, now or later, which would take a third of a short command's time.
    """
    collecting = gc.isenabled()
    gc.disable()
    put = {name: _Nothing(name) for name in SHARDING if name not in sys.modules}
    sys.modules.update(put)
    try:
        yield
    finally:
        for name in put:
            del sys.modules[name]
        gc.freeze()
        if collecting:
            gc.enable()


class _Nothing(ModuleType):
    """A module that has an empty class of every name."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})
