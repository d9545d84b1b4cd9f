"""Milliseconds and MiB beside mmsegmentation, and the share of the card's matrix rate."""

import sys
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from measures import Peak, matrix_rates
from side_by_side import Worker

from gpu_check.check import Check, CheckFailed, SkipCheck
from gpu_check.setting import Setting
from gpu_check.speed_rows import Row, rows
from mmseg_gc.errors import UserError

TOOLS = Path(__file__).resolve().parents[1]


class Figures(NamedTuple):
    """What a row of the table says; memory is the peak of all tensors, the model's included."""

    name: str
    milliseconds: float
    mib: float
    peer_milliseconds: float | None = None
    peer_mib: float | None = None
    share: float | None = None  # of the matrix rate
    computed_in: str = ""
    peer_says: str = ""  # why it has no figures

    def __str__(self) -> str:
        text = f"{self.milliseconds:.1f} ms, {self.mib:.0f} MiB"
        if self.share is not None:
            text += f", {self.share:.0%} of the {self.computed_in} matrix rate"
        if self.peer_milliseconds is not None:
            text += f"; peer {self.peer_milliseconds:.1f} ms, {self.peer_mib:.0f} MiB"
        return text + (f"; peer: {self.peer_says}" if self.peer_says else "")


class Rates(NamedTuple):
    """Operations a second by what products are computed in."""

    rates: dict[str, float]

    def __str__(self) -> str:
        return ", ".join(f"{name} {rate / 1e12:.2f}" for name, rate in self.rates.items()) + (
            " TFLOP/s"
        )


@cache
def rates_of(setting: Setting) -> Rates:
    return Rates(matrix_rates(setting.device, side=512 if setting.tiny else None))


class Sides:
    """The processes of both sides, started when first asked."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.workers: dict[str, Worker] = {}

    def ask(self, package: str, question: str, **arguments):
        if package not in self.workers:
            ours = package == "mmseg_gc"
            python = sys.executable if ours else str(self.setting.peer)
            paths = [TOOLS, TOOLS.parent] if ours else [TOOLS]
            worker = Worker(package, python, "gpu_check.speed_worker", paths)
            self.workers[package] = worker
            worker.ask("start", package=package, device=str(self.setting.device))
        try:
            return self.workers[package].ask(question, **arguments)
        except UserError:
            if self.workers[package].process.poll() is not None:
                del self.workers[package]  # the next row starts another
            raise
        except BaseException:  # out of time: what it would answer belongs to no one
            self.stop()
            raise

    def stop(self) -> None:
        for worker in self.workers.values():
            worker.process.kill()
            worker.process.wait()
        self.workers.clear()


@cache
def sides_of(setting: Setting) -> Sides:
    return Sides(setting)


def measure_rates(setting: Setting) -> Rates:
    return rates_of(setting)


def measure(setting: Setting, key: str) -> Figures:
    """The row of this key on both sides, one after the other."""
    listed = {row.key: row for row in rows(setting.cuda, setting.tiny)}
    if key not in listed:
        raise SkipCheck("measured on a GPU alone")
    row = listed[key]
    setting.require_precision(row.precision)
    sides = sides_of(setting)
    how = dict(repeat=1, warm_up=1) if setting.tiny else dict(repeat=7, warm_up=3)
    try:
        ours = sides.ask("mmseg_gc", "measure", row=row, **how)
    except UserError as error:
        raise CheckFailed(str(error)) from error
    peak = Peak(*ours["peak"])
    figures = Figures(row.name, ours["milliseconds"], peak.whole / 2**20)
    if row.whole_network:
        operations = sides.ask("mmseg_gc", "operations", row=row)
        rate = operations / (ours["milliseconds"] / 1000)
        kind = ours["computed_in"]
        share = rate / rates_of(setting).rates[kind]
        figures = figures._replace(share=share, computed_in=kind)
    return _beside_peer(figures, row, setting, how)


def _beside_peer(figures: Figures, row: Row, setting: Setting, how: dict[str, int]) -> Figures:
    if setting.peer is None or row.compiled:
        return figures
    if row.task == "train" and row.precision != "fp32" and not setting.cuda:
        return figures._replace(peer_says="trains in mixed precision on GPUs alone")
    try:
        peer = sides_of(setting).ask("mmseg", "measure", row=row, **how)
    except UserError as error:  # a fault of the peer's is no fault of this package
        return figures._replace(peer_says=str(error).partition(": ")[2][:200])
    mib = Peak(*peer["peak"]).whole / 2**20
    return figures._replace(peer_milliseconds=peer["milliseconds"], peer_mib=mib)


CHECKS = [
    Check("speed/matrix", "operations a second of the matrix product", measure_rates),
    *(
        Check(f"speed/{row.key}", row.name, partial(measure, key=row.key), limit=100)
        for row in rows(cuda=True, tiny=False)
    ),
]
