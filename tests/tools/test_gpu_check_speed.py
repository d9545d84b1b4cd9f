"""What the GPU tool measures, with stand-ins for the processes of both sides."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mmseg_gc.errors import UserError

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "tools"), str(ROOT / "tools/benchmarks")]
from gpu_check import inputs, nets, speed_checks  # noqa: E402
from gpu_check.check import CheckFailed, SkipCheck  # noqa: E402
from gpu_check.setting import Setting  # noqa: E402
from gpu_check.speed_checks import Rates  # noqa: E402
from gpu_check.speed_rows import rows  # noqa: E402
from gpu_check.table import table  # noqa: E402

CPU = Setting(torch.device("cpu"), tiny=True)


def test_rows_have_what_the_task_asks_for():
    on_gpu, on_cpu = rows(cuda=True, tiny=False), rows(cuda=False, tiny=True)
    assert {row.key for row in on_cpu} < {row.key for row in on_gpu}
    assert len({row.key for row in on_gpu}) == len({row.name for row in on_gpu}) == len(on_gpu)
    by_key = {row.key: row for row in on_gpu}
    assert by_key["train-cityscapes-amp"][4:7] == ((512, 1024), "fp16", 2)
    assert by_key["train-ade20k-fp32"][4:7] == ((512, 512), "fp32", 4)
    assert by_key["ade20k-half"].ori_shape == (2000, 2668)
    assert by_key["whole-compiled"].compiled
    assert {row.precision for row in on_cpu} == {"bf16", "fp32"}
    assert {row.config for row in on_cpu} == {nets.SMALL}


def test_views_are_mirrored_at_every_scale():
    views = inputs.views((32, 48), (0.5, 1.0))
    shapes = [tuple(images[0].shape) for images in views["inputs"]]
    assert shapes == [(3, 16, 24)] * 2 + [(3, 32, 48)] * 2
    assert torch.equal(views["inputs"][2][0].flip(2), views["inputs"][3][0])
    assert [samples[0].flip for samples in views["data_samples"]] == [False, True] * 2


def test_a_row_is_measured_beside_the_peer(monkeypatch):
    """Both sides answer by themselves here; the share is of what the network computes in."""
    asked = []

    class Sides:
        def ask(self, package, question, **arguments):
            asked.append((package, question))
            if question == "operations":
                return 5e9
            ms = 10.0 if package == "mmseg_gc" else 30.0
            return dict(milliseconds=ms, peak=[1 << 20, 4 << 20, 8 << 20], computed_in="tf32")

    monkeypatch.setattr(speed_checks, "sides_of", lambda setting: Sides())
    monkeypatch.setattr(speed_checks, "rates_of", lambda setting: Rates({"tf32": 1e12, "fp32": 1}))
    setting = Setting(torch.device("cuda"), peer=Path("python"))
    found = speed_checks.measure(setting, "whole-half")
    assert found[1:7] == (10.0, 4.0, 30.0, 4.0, 0.5, "tf32")
    assert asked == [("mmseg_gc", "measure"), ("mmseg_gc", "operations"), ("mmseg", "measure")]
    assert speed_checks.measure(setting, "slide-half").share is None
    alone = speed_checks.measure(Setting(torch.device("cuda")), "whole-half")
    assert alone.peer_milliseconds is None and "–" in table("a card", None, [alone])
    with pytest.raises(SkipCheck, match="on a GPU alone"):
        speed_checks.measure(CPU, "whole-compiled")


def test_a_fault_of_ours_fails_and_one_of_the_peer_is_told(monkeypatch):
    class Sides:
        faulty = "mmseg"

        def ask(self, package, question, **arguments):
            if package == self.faulty:
                raise UserError(f"{package} failed at 'measure': OutOfMemoryError: 4 GiB.")
            return dict(milliseconds=1.0, peak=[0, 0, 0], computed_in="fp16")

    sides = Sides()
    monkeypatch.setattr(speed_checks, "sides_of", lambda setting: sides)
    setting = Setting(torch.device("cuda"), peer=Path("python"))
    assert "peer: OutOfMemoryError: 4 GiB" in str(speed_checks.measure(setting, "slide-half"))
    sides.faulty = "mmseg_gc"
    with pytest.raises(CheckFailed, match="OutOfMemoryError"):
        speed_checks.measure(setting, "slide-half")


def test_a_process_that_ended_is_started_anew(monkeypatch):
    class Worker:
        started = 0

        def __init__(self, *args):
            Worker.started += 1
            self.process = SimpleNamespace(poll=lambda: self.status)
            self.status = None

        def ask(self, question, ends=False, **arguments):
            if question != "start":
                self.status = 1 if ends else None
                raise UserError("mmseg_gc failed at 'measure': illegal memory access.")

    monkeypatch.setattr(speed_checks, "Worker", Worker)
    sides = speed_checks.Sides(CPU)
    for ends, started in ((False, 1), (True, 1), (False, 2)):
        with pytest.raises(UserError, match="illegal"):
            sides.ask("mmseg_gc", "measure", ends=ends)
        assert Worker.started == started


def test_operations_of_a_training_step():
    from gpu_check.speed_worker import Side

    side = Side("mmseg_gc", "cpu")
    by_key = {row.key: row for row in rows(cuda=False, tiny=True)}
    one = side.operations(list(by_key["whole-fp32"]))
    step = side.operations(list(by_key["train-cityscapes-fp32"]))
    # Two images of a quarter of the pixels, three times as much for each, and the auxiliary head.
    assert 1.5 < step / one < 2


@pytest.mark.slow
def test_a_row_is_measured():
    from gpu_check.speed_worker import Side

    by_key = {row.key: row for row in rows(cuda=False, tiny=True)}
    for key in ("ade20k-fp32", "train-cityscapes-amp", "ms-flip-half", "slide-fp32"):
        row = by_key[key]
        answer = Side("mmseg_gc", "cpu").measure(list(row), repeat=1, warm_up=0)
        assert answer["milliseconds"] > 0 and answer["computed_in"] == row.precision
