"""One side of the comparison: ``python -m parity_checks.worker SIDE FOLDER CHECK…``."""

import importlib
import logging
import os
import sys
import warnings
from pathlib import Path

# Check -> the module and function that both sides run.
CHECKS = {
    "weights": ("models", "weights"),
    "logits": ("models", "logits"),
    "tta": ("models", "tta"),
    "losses": ("training", "losses"),
    "steps": ("training", "steps"),
    "heads": ("heads", "heads"),
    "metric": ("metric", "metric"),
    "test-transforms": ("data", "test_transforms"),
    "train-transforms": ("data", "train_transforms"),
    "pipelines": ("data", "pipelines"),
    "configs": ("configs", "configs"),
    "further-losses": ("further", "further_losses"),
    "further-transforms": ("further", "further_transforms"),
}


def main() -> None:
    import torch

    from parity_checks.side import Side

    name, folder, *checks = sys.argv[1:]
    folder = Path(folder)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with open(os.devnull, "w") as sink:  # tables and logs of the packages
        sys.stdout = sink
        side = Side(name, folder)
        for check in checks:
            module, function = CHECKS[check]
            run = getattr(importlib.import_module(f"parity_checks.{module}"), function)
            torch.save(run(side), folder / f"{name}.{check}.pt")
        sys.stdout = sys.__stdout__


if __name__ == "__main__":
    main()
