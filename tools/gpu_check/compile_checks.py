"""torch.compile in training and in inference, beside the same without."""

import shutil
import tempfile
from pathlib import Path

from gpu_check import inputs, nets
from gpu_check.check import Check, CheckFailed, SkipCheck
from gpu_check.label_checks import WHOLE, share_unequal
from gpu_check.setting import Setting
from gpu_check.short_training import AMP, NO_DROPOUT, train, training_config

ITERATIONS = 4


def training_agrees(setting: Setting) -> str:
    """Losses of ``--compile`` and of the eager training; ``--tiny`` leaves code generation out."""
    import torch._dynamo  # takes seconds, which listing the checks need not
    from torch._dynamo.utils import counters

    if not setting.tiny:
        _require_compiler()
    options = AMP | NO_DROPOUT | {"train_cfg.val_interval": 1000}  # testing is compiled apart
    with tempfile.TemporaryDirectory() as folder:
        plain, _ = train(training_config(setting, Path(folder, "plain"), ITERATIONS, options))
        torch._dynamo.reset()
        counters.clear()
        cfg = training_config(setting, Path(folder, "compiled"), ITERATIONS, options)
        cfg.compile = dict(backend="aot_eager") if setting.tiny else True
        compiled, _ = train(cfg)
    graphs = counters["stats"]["unique_graphs"]
    worst = max(abs(a - b) / b for a, b in zip(compiled, plain, strict=True))
    note = f"{graphs} graphs, losses at most {worst:.1e} off"
    if not worst < 0.02:
        raise CheckFailed(f"{note}: {compiled}, not {plain}")
    if not graphs:
        raise CheckFailed("nothing was compiled")
    return note


def inference_agrees(setting: Setting) -> str:
    """Labels of a prepared network with ``compile=True`` and without, for two sizes of image."""
    import torch._dynamo

    _require_compiler()
    precision = setting.amp if setting.cuda else "fp32"
    torch._dynamo.reset()
    plain, fast = (
        nets.prepared(nets.build_small(WHOLE, setting.device), precision, compile=compiled)
        for compiled in (False, True)
    )
    notes = []
    height, width = setting.size
    for size in ((height, width), (height + 32, width)):
        data = inputs.test_batch(size)
        notes.append(share_unequal(nets.labels(fast, data), nets.labels(plain, data)))
    note = f"{precision}: {' and '.join(f'{share:.3%}' for share in notes)} of the labels differ"
    if max(notes) > 0.02:
        raise CheckFailed(note)
    return note


def _require_compiler() -> None:
    if not any(map(shutil.which, ("g++", "clang++", "c++", "gcc", "cc"))):
        raise SkipCheck("there is no C++ compiler on the PATH")


CHECKS = [
    Check("compile/training", "losses of --compile are those without", training_agrees, 150),
    Check("compile/inference", "labels of compile=True are those without", inference_agrees, 120),
]
