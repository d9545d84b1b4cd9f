"""The published weights and figures of this package's configs, as their metafiles have them."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

from mmseg_gc.config.find import config_files, config_folder, find_config
from mmseg_gc.errors import UserError

DETECTORS = "gcnet_det"  # the folder of their configs


class Published(NamedTuple):
    """The address of a config's weights and their mIoU, of single-scale testing, in percent."""

    weights: str | None = None
    miou: float | None = None


@cache
def published() -> dict[str, Published]:
    """What is published, by name of config."""
    found = {}
    fast_loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for path in sorted(config_folder().glob("*/metafile.yaml")):
        for model in yaml.load(path.read_text(encoding="utf-8"), fast_loader)["Models"]:
            results = model.get("Results") or ()
            scores = [(result.get("Metrics") or {}).get("mIoU") for result in results]
            miou = next((score for score in scores if score is not None), None)
            found[model["Name"]] = Published(model.get("Weights"), miou)
    return found


def config_names() -> list[str]:
    """The names of this package's segmentors."""
    return sorted(name for name, path in config_files().items() if path.parent.name != DETECTORS)


def published_weights(model: str) -> str | None:
    """The address of the weights for the config that ``model`` names; None where it is a path.

    Raises:
        UserError: there is no config of that name, or nobody has published weights for it.
    """
    path = find_config(model)
    if Path(model).is_file() or path.stem not in config_names():
        return None
    weights = published().get(path.stem, Published()).weights
    if weights is None:
        raise UserError(
            f"{path.stem} has no published weights: name a checkpoint of your own by weights."
        )
    return weights
