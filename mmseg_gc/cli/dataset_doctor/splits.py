"""The pairs of every split that a config names, and what is wrong before a file is opened."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config

from mmseg_gc.cli.dataset_doctor.findings import Finding
from mmseg_gc.cli.dataset_doctor.reading import Decoding, Pair
from mmseg_gc.config import check_config, head_ignore_index
from mmseg_gc.config.leaf_datasets import leaf_datasets
from mmseg_gc.config.names import type_name
from mmseg_gc.datasets.files import FolderListing, as_suffixes, is_hidden, without_suffix
from mmseg_gc.errors import UserError, user_sentence
from mmseg_gc.registry import DATASETS, TRANSFORMS

SPLITS = ("train", "val", "test")


@dataclass
class Split:
    """One split; ``names`` has several where the config gives them the same data set."""

    names: list[str]
    pairs: list[Pair] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    palette: list[list[int]] = field(default_factory=list)
    rules: dict = field(default_factory=dict)

    @property
    def name(self) -> str:
        return "+".join(self.names)

    def add(self, kind: str, text: str, path: str = "") -> None:
        self.findings.append(Finding(kind, self.name, text, path))


def open_splits(cfg: Config, wanted: list[str]) -> list[Split]:
    """Every split of ``wanted`` that the config has, with each fault of its folders and lists."""
    splits = []
    opened: list[tuple[Split, dict]] = []
    for name in wanted:
        dataset = (cfg.get(f"{name}_dataloader") or {}).get("dataset")
        if dataset is None:
            continue
        for split, other in opened:
            if other == dataset and "train" not in split.names:
                split.names.append(name)
                break
        else:
            opened.append((Split([name]), dataset))
    for split, dataset in opened:
        for leaf in leaf_datasets(dataset):
            _open(leaf, split)
        splits.append(split)
    return splits


def config_findings(cfg: Config, splits: list[Split]) -> list[Finding]:
    """Where the config is wrong, or its model and data sets disagree."""
    found = []
    try:
        check_config(cfg)
    except UserError as error:
        found.append(Finding("config", "config", str(error)))
    if cfg.get("model", {}).get("decode_head"):
        of_head = head_ignore_index(cfg.model)
        for split in splits:
            of_split = split.rules.get("ignore_index", of_head)
            if of_split != of_head:
                text = f"model.decode_head.ignore_index is {of_head}, the data set's {of_split}"
                found.append(Finding("config", split.name, text))
    return found


def _open(leaf: Mapping, split: Split) -> None:
    try:
        dataset = DATASETS.build({**leaf, "pipeline": [], "lazy_init": True})
        decoding = _decoding(leaf.get("pipeline") or (), dataset, split)
    except Exception as error:  # a constructor is a program: it can fail in any way
        split.add("structure", user_sentence(error) or f"{type(error).__name__}: {error}")
        return
    dataset.checks_files = False
    split.classes = list(dataset.metainfo.get("classes") or ())
    split.palette = list(dataset.metainfo.get("palette") or ())
    split.rules = dataset.label_rules
    is_labelled = dataset.data_prefix.get("seg_map_path") is not None
    if not is_labelled and set(split.names) & {"train", "val"}:
        split.add("structure", "there is no label folder: set data_prefix.seg_map_path")
    if dataset.is_local:
        is_labelled &= _add_missing_folders(dataset, split)
        if split.findings and not Path(dataset.data_prefix["img_path"]).is_dir():
            return
    try:
        infos = dataset.load_data_list()
    except (UserError, OSError) as error:
        split.add("structure", user_sentence(error) or str(error))
        return
    split.rules = dataset.label_rules
    for suffix, files in dataset.left_out.items():
        for file in files:
            path = os.path.join(dataset.data_prefix["img_path"], file)
            text = f"ends in {suffix!r}, not in {dataset.img_suffix!r}"
            split.add("left-out", text, path)
    if dataset.is_local:
        infos = _present(infos, is_labelled, split)
        if is_labelled and not dataset.ann_file:
            _add_orphans(dataset, infos, split)
    for info in infos:
        own = {key: info[key] for key in split.rules if key in info}
        rules = split.rules | own if own else split.rules
        label = info.get("seg_map_path")
        split.pairs.append(Pair(split.name, info["img_path"], label, rules, decoding))


def _decoding(pipeline: Sequence[dict], dataset, split: Split) -> Decoding:
    """How the pipeline's own steps read files; defaults where it has other steps."""
    steps: dict[str, dict] = {"LoadImageFromFile": {}, "LoadAnnotations": {}}
    for step in pipeline:
        if not steps.get(type_name(step), True):
            steps[type_name(step)] = step
    image, label = (TRANSFORMS.build({"type": kind, **step}) for kind, step in steps.items())
    chosen = label.reduce_zero_label
    if chosen is not None and chosen != dataset.reduce_zero_label:
        split.add(
            "config",
            f"LoadAnnotations.reduce_zero_label is {chosen} but the data set's is "
            f"{dataset.reduce_zero_label}: set it on the data set alone",
        )
    return Decoding(
        color_type=image.color_type,
        image_backend=image.imdecode_backend,
        image_args=image.backend_args,
        label_backend=label.imdecode_backend,
        label_args=label.backend_args,
        changes_channels=not all(map(_is_known, pipeline)),
    )


def _is_known(step: dict) -> bool:
    kind = step.get("type")
    kind = TRANSFORMS.get(kind) if isinstance(kind, str) else kind
    return getattr(kind, "__module__", "").partition(".")[0] in ("mmseg_gc", "mmcv")


def _add_missing_folders(dataset, split: Split) -> bool:
    """Report missing folders; returns whether the label folder is there."""
    gone = [
        (key, folder)
        for key, folder in dataset.data_prefix.items()
        if not os.path.isdir(folder) and (folder or not dataset.ann_file)
    ]
    if dataset.data_root and not os.path.isdir(dataset.data_root):
        split.add("structure", f"data_root does not exist: {dataset.data_root}")
    else:
        for key, folder in gone:
            split.add("structure", f"the folder of data_prefix.{key} does not exist: {folder}")
    return "seg_map_path" not in dict(gone)


def _present(infos: list[dict], is_labelled: bool, split: Split) -> list[dict]:
    """The pairs whose image is there, without the labels that are not; reports the others."""
    gone = set(FolderListing().missing(info["img_path"] for info in infos))
    labels = {info["seg_map_path"] for info in infos if "seg_map_path" in info}
    unlabelled = set(FolderListing().missing(sorted(labels))) if is_labelled else labels
    kept = []
    for path, count in Counter(info["img_path"] for info in infos).items():
        if path in gone:
            split.add("no-picture", "is listed but does not exist", path)
        elif count > 1:
            split.add("twin", f"is listed {count} times", path)
    for info in infos:
        if info["img_path"] in gone:
            continue
        label = info.get("seg_map_path")
        if label in unlabelled:
            info = {key: value for key, value in info.items() if key != "seg_map_path"}
            if is_labelled:
                split.add("no-label", f"has no label {label}", info["img_path"])
        kept.append(info)
    return kept


def _add_orphans(dataset, infos: list[dict], split: Split) -> None:
    read = {os.path.abspath(info["seg_map_path"]) for info in infos if "seg_map_path" in info}
    suffixes = as_suffixes(dataset.seg_map_suffix)
    root = dataset.data_prefix["seg_map_path"]
    for folder, _, names in os.walk(root, followlinks=True):
        for name in sorted(names):
            path = os.path.join(folder, name)
            is_label = without_suffix(name, suffixes) is not None
            is_label = is_label and not is_hidden(os.path.relpath(path, root))
            if is_label and os.path.abspath(path) not in read:
                split.add("orphan", "has no image of its name", path)
