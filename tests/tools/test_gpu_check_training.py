"""When the GPU tool's checks of training fail: on losses, scales and states made up here."""

import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "tools"), str(ROOT / "tools/benchmarks")]
from gpu_check import (  # noqa: E402
    compile_checks,
    process_checks,
    resume_checks,
    training_checks,
    wait_checks,
)
from gpu_check.check import CheckFailed, SkipCheck  # noqa: E402
from gpu_check.setting import Setting  # noqa: E402
from gpu_check.short_training import Told, training_config  # noqa: E402

CPU = Setting(torch.device("cpu"), tiny=True)
SCALES = [2.0**60, 2.0**40, 2.0**20, 2.0**20, 2.0**20]
WEIGHTS = [5.0, 5.0, 5.0, 5.5, 5.75]


class OneGpu(Setting):
    """Takes itself for a GPU; what would run on one is made up."""

    cuda = True


GPU = OneGpu(torch.device("cpu"), tiny=True)


@pytest.fixture
def overflow(monkeypatch):
    """The check, of a training that ended as told."""

    def check(losses=(4.0, 4.0, 4.0, 3.5), scales=SCALES, weights=WEIGHTS):
        def train(cfg, hooks):
            hooks[0].scales, hooks[0].weights = scales, weights
            return list(losses), None

        monkeypatch.setattr(training_checks, "train", train)
        return training_checks.first_overflow_changes_nothing(GPU)

    return check


def test_an_overflow(overflow):
    assert overflow().startswith("2 steps left out, losses 4.000, 4.000, 4.000, 3.500; scales")
    with pytest.raises(CheckFailed, match="iteration 2 overflowed and changed weights"):
        overflow(weights=[5.0, 5.0, 5.1, 5.5, 5.75])
    with pytest.raises(CheckFailed, match="after 2 overflows losses 4.000, 4.000, 4.000, nan"):
        overflow(losses=(4.0, 4.0, 4.0, float("nan")))
    with pytest.raises(SkipCheck, match="no overflow was brought about"):
        overflow(scales=[1024.0] * 5)
    with pytest.raises(SkipCheck, match="needs a GPU"):
        training_checks.first_overflow_changes_nothing(CPU)


@pytest.fixture
def ranks(monkeypatch):
    """The check of two ranks, which told this."""

    def check(*told, setting=CPU):
        monkeypatch.setattr(process_checks, "train_apart", lambda *args, **kwargs: told)
        monkeypatch.setattr(process_checks, "train", lambda cfg: ([4.0, 3.0], None))
        return process_checks.ranks_agree(setting, len(told))

    return check


def test_ranks(ranks):
    one = Told([4.1, 3.1], "MMDistributedDataParallel", "gloo", 7.0)
    other = one._replace(losses=[3.9, 2.9])
    assert "losses at most 0.0e+00 off" in ranks(one, other)
    for wrong, reason in (
        (one._replace(losses=[4.2, 3.4]), "off one process: "),
        (other._replace(weights=7.5), "ranks end with different weights"),
        (other._replace(backend="mpi"), "not gloo"),
    ):
        with pytest.raises(CheckFailed, match=reason):
            ranks(one, wrong)
    with pytest.raises(CheckFailed, match="isn't wrapped"):
        ranks(one._replace(wrapper="EncoderDecoder"), other)


@pytest.fixture
def resumed(monkeypatch):
    """The check, of runs that end with these weights; the second is the one that was resumed."""

    def check(*ends, scales=(8192.0, 8192.0)):
        states = iter(
            dict(
                state_dict={"w": torch.tensor([end])},
                ema_state_dict={"w": torch.zeros(1)},
                optimizer=dict(state={}, loss_scaler=dict(scale=scale)),
            )
            for end, scale in zip(ends, (*scales, 0.0), strict=False)
        )
        monkeypatch.setattr(resume_checks, "_half", lambda *args: None)
        monkeypatch.setattr(resume_checks, "_end", lambda *args: next(states))
        return resume_checks.resume_is_exact(GPU, {}, scaled=True)

    return check


def test_resuming(resumed):
    assert resumed(1.0, 1.0) == "bit for bit; the scale 8192 restored"
    assert resumed(1.0, 1.25, 1.125).startswith("2.5e-01 off, two runs in one go 1.2e-01")
    with pytest.raises(CheckFailed, match="two runs in one go 0.0e"):
        resumed(1.0, 1.25, 1.0)
    with pytest.raises(CheckFailed, match="the scaler ends as .*2048.*, not as .*8192"):
        resumed(1.0, 1.0, scales=(8192.0, 2048.0))
    with pytest.raises(CheckFailed, match="didn't grow past the middle"):
        resumed(1.0, 1.0, scales=(1024.0, 1024.0))


def test_losses_beside_the_cpus(monkeypatch):
    told = Told([4.0, 3.0], "EncoderDecoder", "none", 7.0)
    monkeypatch.setattr(training_checks, "train_apart", lambda *args, **kwargs: [told])
    monkeypatch.setattr(training_checks, "train", lambda cfg: ([4.0, 3.003], None))
    assert training_checks.losses_are_the_cpus(GPU).endswith("at most 1.0e-03 off")
    monkeypatch.setattr(training_checks, "train", lambda cfg: ([4.0, 3.03], None))
    with pytest.raises(CheckFailed, match="the CPU's are"):
        training_checks.losses_are_the_cpus(GPU)


@pytest.mark.filterwarnings("ignore:called a synchronizing")
def test_waits_of_a_training_are_those_of_two_whole_iterations(monkeypatch):
    modes = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)

    class Runner:
        iter = 0

    def train(cfg, hooks):
        for Runner.iter in range(cfg.train_cfg.max_iters):
            hooks[0].before_train_iter(Runner, 0)
            wait_checks.warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
            if Runner.iter == fails_at:
                raise RuntimeError

    monkeypatch.setattr(wait_checks, "train", train)
    fails_at = None
    note = wait_checks.training_rarely_waits(GPU)
    assert note.startswith("1 waits an iteration: ") and note.endswith(" x2")
    fails_at = wait_checks.FIRST
    with pytest.raises(RuntimeError):
        wait_checks.training_rarely_waits(GPU)
    assert modes == ["warn", "default"] * 2


def test_compiled_losses(monkeypatch):
    from torch._dynamo.utils import counters

    found = iter([([4.0], None), ([3.0], None), ([4.0], None), ([4.0], None)])

    @contextmanager
    def compiled(graphs):
        def train(cfg):
            counters["stats"]["unique_graphs"] = graphs
            return next(found)

        monkeypatch.setattr(compile_checks, "train", train)
        yield

    with compiled(3), pytest.raises(CheckFailed, match=r"3 graphs, losses at most 2.5e-01 off"):
        compile_checks.training_agrees(CPU)
    with compiled(0), pytest.raises(CheckFailed, match="nothing was compiled"):
        compile_checks.training_agrees(CPU)


def test_a_short_training_keeps_every_kind_of_state(tmp_path):
    cfg = training_config(CPU, tmp_path, 6, {"train_cfg.val_interval": 2, "resume": "auto"})
    assert cfg.train_cfg == dict(type="IterBasedTrainLoop", max_iters=6, val_interval=2)
    assert cfg.default_hooks.checkpoint.interval == 3 and cfg.custom_hooks[0].type == "EMAHook"
    assert cfg.resume == "auto" and not cfg.env_cfg.cudnn_benchmark
    assert cfg.train_dataloader.num_workers == 0
    assert training_config(GPU, tmp_path, 6).train_dataloader.num_workers == 2
