"""A training of a few iterations with all that keeps a state, here or in processes of its own."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from devices import show_only
from mmengine.config import Config
from mmengine.hooks import Hook

from gpu_check import inputs, nets
from gpu_check.check import CheckFailed
from gpu_check.setting import Setting
from mmseg_gc.engine import SegRunner
from mmseg_gc.registry import DATASETS

TOOLS = Path(__file__).resolve().parents[1]
NUM_CLASSES = 19
BATCH = 2
# A GPU draws dropout's masks otherwise than a CPU, and each rank draws its own.
NO_DROPOUT = {"model.decode_head.dropout_ratio": 0.0, "model.auxiliary_head.dropout_ratio": 0.0}
# What --amp of tools/train.py sets.
AMP = {"optim_wrapper.type": "mmseg_gc.AmpOptimWrapper", "val_cfg.fp16": True}
AMP_DTYPES = {"fp16": "float16", "bf16": "bfloat16"}


@DATASETS.register_module(force=True)
class DrawnDataset:
    """Images whose colour tells the class of each block, so that losses fall at once."""

    metainfo = dict(
        classes=[f"class {i}" for i in range(NUM_CLASSES)],
        palette=[[i, i, i] for i in range(NUM_CLASSES)],
    )

    def __init__(self, length: int, size: tuple[int, int]) -> None:
        self.length = length
        self.size = tuple(size)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict:
        number = int(index)
        truth = inputs.label(self.size, NUM_CLASSES, number)
        drawn = torch.Generator().manual_seed(number)
        noise = torch.randint(0, 12, (3, *self.size), generator=drawn, dtype=torch.uint8)
        sample = inputs.sample(self.size, truth=truth)
        return dict(inputs=truth * 12 + noise, data_samples=sample)


class LossesHook(Hook):
    """Keeps each iteration's loss, without asking the GPU for it."""

    def __init__(self) -> None:
        self.kept: list[torch.Tensor] = []

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        self.kept.append(torch.as_tensor(outputs["loss"]).detach().clone())

    @property
    def losses(self) -> list[float]:
        return [loss.item() for loss in self.kept]


def training_config(
    setting: Setting, work_dir: str | Path, iterations: int, options: dict[str, Any] | None = None
) -> Config:
    """R18 with EMA that validates and saves in the middle and at the end; ``options`` come last."""
    cfg = nets.read_config(nets.SMALL, work_dir=work_dir)
    cfg.model.data_preprocessor.size = setting.size
    workers = 2 if setting.cuda else 0
    for split, length, batch, sampler in (
        ("train", 16, BATCH, dict(type="InfiniteSampler")),
        ("val", 2, 1, dict(type="DefaultSampler", shuffle=False)),
    ):
        dataset = dict(type="DrawnDataset", length=length, size=setting.size)
        cfg[f"{split}_dataloader"] = dict(
            batch_size=batch,
            num_workers=workers,
            persistent_workers=workers > 0,
            sampler=sampler,
            dataset=dataset,
        )
    cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
    cfg.train_cfg.update(max_iters=iterations, val_interval=iterations // 2)
    cfg.default_hooks.checkpoint.interval = iterations // 2
    cfg.default_hooks.logger.interval = 1000
    cfg.custom_hooks = [dict(type="EMAHook", momentum=2e-4)]
    cfg.env_cfg.cudnn_benchmark = False  # its choice, and with it the sums, differs between runs
    cfg.randomness = dict(seed=3)
    cfg.merge_from_dict(options or {})
    return cfg


def train(cfg: Config, hooks: Sequence[Hook] = ()) -> tuple[list[float], SegRunner]:
    """The losses of all iterations, and the runner at the end."""
    runner = SegRunner.from_cfg(cfg)
    kept = LossesHook()
    for hook in (kept, *hooks):
        runner.register_hook(hook)
    runner.train()
    return kept.losses, runner


class Told(NamedTuple):
    """What a training in a process of its own tells at its end."""

    losses: list[float]
    wrapper: str
    backend: str
    weights: float  # a sum over all of them that differs if any does


def train_apart(
    setting: Setting,
    work_dir: Path,
    iterations: int,
    options: dict[str, Any],
    *,
    device: torch.device,
    ranks: int = 0,
    seconds: float = 100,
) -> list[Told]:
    """`train` in a process that sees ``device`` alone, or in ``ranks`` that see all GPUs.

    Raises: CheckFailed with the last line of what a process said if one fails.
    """
    question = dict(
        work_dir=str(work_dir), iterations=iterations, options=options, tiny=setting.tiny,
        device=str(device), launcher="pytorch" if ranks else "none",
    )  # fmt: skip
    paths = (TOOLS.parent, TOOLS, TOOLS / "benchmarks")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    if not ranks:
        env |= show_only(device)
    else:
        env |= dict(
            MASTER_ADDR="127.0.0.1", MASTER_PORT=str(_free_port()), WORLD_SIZE=str(ranks),
            LOCAL_WORLD_SIZE=str(ranks),
        )  # fmt: skip
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "gpu_check.short_training", json.dumps(question)],
            env=env | (dict(RANK=str(rank), LOCAL_RANK=str(rank)) if ranks else {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(max(ranks, 1))
    ]
    try:
        lines = _answers(processes, seconds * setting.patience)
        return [Told(**json.loads(line)) for line in lines]
    finally:
        for process in processes:
            process.kill()


def _answers(processes: list[subprocess.Popen], seconds: float) -> list[str]:
    """The last line that each process wrote."""
    end = time.monotonic() + seconds
    found = []
    for process in processes:
        try:
            out, err = process.communicate(timeout=max(end - time.monotonic(), 1))
        except subprocess.TimeoutExpired as error:
            raise CheckFailed(f"a process didn't end within {seconds:.0f} s") from error
        if process.returncode:
            said = (err.strip().splitlines() or ["nothing"])[-1]
            raise CheckFailed(f"a process ended with status {process.returncode}: {said[:300]}")
        found.append(out.strip().splitlines()[-1])
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _told(question: str) -> str:
    asked = json.loads(question)
    setting = Setting(torch.device(asked["device"]), tiny=asked["tiny"])
    options = asked["options"]
    cfg = training_config(setting, asked["work_dir"], asked["iterations"], options)
    cfg.launcher = asked["launcher"]
    losses, runner = train(cfg)
    backend = torch.distributed.get_backend() if torch.distributed.is_initialized() else "none"
    weights = sum(
        float(value.double().abs().sum())
        for name, value in runner.model.state_dict().items()
        if value.is_floating_point()
    )
    return json.dumps(Told(losses, type(runner.model).__name__, backend, weights)._asdict())


if __name__ == "__main__":
    print(_told(sys.argv[1]), flush=True)
