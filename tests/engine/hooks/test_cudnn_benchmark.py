import pytest
import torch

from mmseg_gc.engine import CudnnBenchmarkHook


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    return torch.backends.cudnn


def images(*sizes):
    return {"inputs": [torch.zeros(3, *size) for size in sizes]}


@pytest.mark.parametrize("mode", ["val", "test"])
def test_it_goes_on_while_all_images_have_one_size(benchmark, mode):
    hook, seen = CudnnBenchmarkHook(), []
    for _ in range(2):  # it begins anew with every validation
        getattr(hook, f"before_{mode}_epoch")(None)
        for size in ((4, 8), (4, 8), (8, 4), (4, 8)):
            getattr(hook, f"before_{mode}_iter")(None, 0, images(size))
            seen.append(benchmark.benchmark)
        getattr(hook, f"after_{mode}_epoch")(None, {})
        assert benchmark.benchmark
    assert seen == [True, True, False, False] * 2


def test_views_of_several_scales_differ(benchmark):
    hook = CudnnBenchmarkHook()
    hook.before_test_epoch(None)
    views = {"inputs": [[torch.zeros(3, 4, 8)], [torch.zeros(3, 6, 12)]]}
    hook.before_test_iter(None, 0, views)
    assert not benchmark.benchmark


def test_what_is_off_stays_off(benchmark):
    benchmark.benchmark = False
    hook = CudnnBenchmarkHook()
    hook.before_val_epoch(None)
    hook.before_val_iter(None, 0, images((4, 8)))
    assert not benchmark.benchmark
    hook.after_val_epoch(None, {})
    assert not benchmark.benchmark


def test_every_run_has_it_unless_told_otherwise(toy, tmp_path):
    def has(**keys):
        hooks = toy.build(tmp_path, 1, **keys).hooks
        return any(isinstance(hook, CudnnBenchmarkHook) for hook in hooks)

    assert has() and not has(**{"default_hooks.cudnn_benchmark": None})
