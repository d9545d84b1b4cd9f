"""The configs of a comparison, and that they are equal in all but the model."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmseg_gc.config import is_detection, load_config
from mmseg_gc.config.leaf_datasets import leaf_datasets
from mmseg_gc.config.unlabelled import has_labels
from mmseg_gc.errors import UserError

SEED = 0  # of configs that have none
SAVES = 4  # times that a training saves, at least, so that one that is cut off goes on


@dataclass(frozen=True)
class Entry:
    """One config: how it is called in the table, and where its training and figures are."""

    name: str
    cfg: Config
    work_dir: Path

    @property
    def config(self) -> Path:
        """The whole config as a file, from which it is trained and tested."""
        return self.work_dir.with_name(f"{self.work_dir.name}.py")

    @property
    def iters(self) -> int:
        return self.cfg.train_cfg.max_iters


def read_entries(
    configs: Sequence[str],
    options: Callable[[str], Mapping[str, Any]],
    work_dir: str | Path,
    *,
    training: bool,
) -> list[Entry]:
    """What ``configs`` name, each with its ``options`` merged in and a folder in ``work_dir``.

    Raises:
        UserError: one can't be read, two have one name, or they differ in classes or data, or
            with ``training`` in schedule or seed.
    """
    cfgs = [load_config(config, options(config)) for config in configs]
    stems = [Path(cfg.filename).stem for cfg in cfgs]
    for stem in stems:
        if stems.count(stem) > 1:
            raise UserError(f"two of the configs are named {stem}: rename one.")
    names = short_names(stems)
    entries = [
        Entry(name, cfg, Path(work_dir, stem))
        for name, cfg, stem in zip(names, cfgs, stems, strict=True)
    ]
    for entry in entries:
        _require_segmentor(entry, training)
        entry.cfg.work_dir = str(entry.work_dir)
    require_equal(entries, training=training)
    for entry in entries if training else ():
        _make_resumable(entry.cfg)
    return entries


def short_names(stems: Sequence[str]) -> list[str]:
    """``stems`` without the words that all of them end in: ``fcn_r18-d8``, ``gcnet_r18-d8``."""
    words = [stem.split("_") for stem in stems]
    common = 0
    while len(stems) > 1 and len({tuple(each[-common - 1 :]) for each in words}) == 1:
        common += 1
    names = ["_".join(each[: len(each) - common]) for each in words]
    return names if all(names) else list(stems)


def _require_segmentor(entry: Entry, training: bool) -> None:
    cfg = entry.cfg
    if is_detection(cfg):
        raise UserError(f"{cfg.filename} is of a detector; compare takes segmentors alone.")
    needs = ["test_dataloader", "test_cfg", "test_evaluator"]
    needs += ["train_dataloader", "train_cfg", "optim_wrapper"] if training else []
    if missing := [key for key in needs if not cfg.get(key)]:
        raise UserError(
            f"{cfg.filename} has no {', '.join(missing)}; add it, or name what has it in _base_."
        )
    if not has_labels(cfg.test_dataloader.dataset):
        raise UserError(f"{cfg.filename} has no labels to score; name their folder.")
    if training and cfg.train_cfg.get("max_iters") is None:
        raise UserError(f"{cfg.filename} trains by epochs; compare takes schedules of iterations.")


def _num_classes(cfg: Config) -> int:
    heads = cfg.model.decode_head
    return (heads[-1] if isinstance(heads, list | tuple) else heads)["num_classes"]


def _class_names(cfg: Config) -> list[Any]:
    return [(leaf.get("metainfo") or {}).get("classes") for leaf in _leaves(cfg, "test")]


def _leaves(cfg: Config, split: str) -> list[dict[str, Any]]:
    return leaf_datasets(cfg[f"{split}_dataloader"].dataset)


def _data(split: str) -> Callable[[Config], str]:
    """Where a split's data is: its folders and lists, the pipeline left out."""

    def of(cfg: Config) -> str:
        places = []
        for leaf in _leaves(cfg, split):
            kind = leaf["type"] if isinstance(leaf["type"], str) else leaf["type"].__name__
            prefix = leaf.get("data_prefix") or {}
            root = os.path.normpath(leaf.get("data_root") or "")
            folders = ", ".join(str(folder) for folder in prefix.values())
            listed = leaf.get("ann_file") or ""
            places.append(f"{kind.rpartition('.')[2]} {root}: {folders} {listed}".strip())
        return "; ".join(places)

    return of


def _crops(cfg: Config) -> list[tuple[int, int]]:
    return [
        tuple(step["crop_size"])
        for leaf in _leaves(cfg, "train")
        for step in leaf.get("pipeline") or ()
        if str(step["type"]).endswith("RandomCrop")
    ]


def _optimizer(cfg: Config) -> str:
    optimizer = cfg.optim_wrapper.optimizer
    return ", ".join(f"{key} {value}" for key, value in optimizer.items())


def _seed(cfg: Config) -> int:
    return (cfg.get("randomness") or {}).get("seed", SEED)


# What is equal: of each how it is told from a config, and what makes it so.
TESTED = {
    "classes": (_num_classes, "only models of the same classes can be compared"),
    "names of classes": (_class_names, "only models of the same classes can be compared"),
    "test data": (_data("test"), "only tests of the same images can be compared"),
}
TRAINED = {
    "training data": (_data("train"), "name the same folders in both"),
    "iterations": (lambda cfg: cfg.train_cfg.max_iters, "give iters=NUMBER for all"),
    "images an iteration": (
        lambda cfg: cfg.train_dataloader.get("batch_size"),
        "give batch=NUMBER",
    ),
    "training crops": (_crops, "give crop=HEIGHTxWIDTH for all"),
    "optimizer": (_optimizer, "set optim_wrapper.optimizer for all by --cfg-options"),
    "schedules": (lambda cfg: cfg.get("param_scheduler"), "give them one param_scheduler"),
    "precision": (
        lambda cfg: str(cfg.optim_wrapper.get("type")).rpartition(".")[2],
        "give amp=true or amp=false",
    ),
    "seed": (_seed, "give seed=NUMBER for all"),
}


def shared_facts(entries: Sequence[Entry], *, trained: bool) -> dict[str, str]:
    """What all ``entries`` have in common, as `read_entries` has seen to."""
    cfg = entries[0].cfg
    facts = {"test data": str(TESTED["test data"][0](cfg))}
    if trained:
        told = ("training data", "iterations", "images an iteration", "optimizer", "precision")
        facts |= {what: str(TRAINED[what][0](cfg)) for what in (*told, "seed")}
        crops = [" × ".join(map(str, crop)) for crop in _crops(cfg)]
        facts["training crops"] = ", ".join(dict.fromkeys(crops)) or "none"
    return facts


def require_equal(entries: Sequence[Entry], *, training: bool) -> None:
    """See that the ``entries`` differ in the model alone.

    Raises:
        UserError: they differ in something else, of which the first is named.
    """
    first, *others = entries
    facts = (TESTED | TRAINED) if training else TESTED
    for what, (fact, cure) in facts.items():
        expected = fact(first.cfg)
        for other in others:
            if (found := fact(other.cfg)) != expected:
                raise UserError(
                    f"the configs differ in {what}: {first.name} has {expected}, {other.name} "
                    f"{found}; {cure}."
                )


def _make_resumable(cfg: Config) -> None:
    """Let a training have its seed, and save often enough to go on where it was cut off."""
    cfg.randomness = {"seed": SEED, **(cfg.get("randomness") or {})}
    hook = cfg.default_hooks.checkpoint
    hook.interval = min(hook.get("interval") or 1, max(1, cfg.train_cfg.max_iters // SAVES))
    hook.setdefault("max_keep_ckpts", 2)
