"""0.x's ``data``: data sets, loaders, and what the model's data preprocessor takes over."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmseg_gc.config.check_settings import look_up
from mmseg_gc.config.names import type_name
from mmseg_gc.config.old.keys import Node, backend_args, node_of, refuse_rest
from mmseg_gc.config.old.pipelines import (
    Preprocessing,
    convert_test_pipeline,
    convert_train_pipeline,
    tta_pipeline,
)
from mmseg_gc.errors import UserError
from mmseg_gc.registry import DATASETS

LOADER_KEYS = {"drop_last", "persistent_workers", "pin_memory", "prefetch_factor"}
DATA_CURE = "set it in train_dataloader, val_dataloader or test_dataloader of a 1.x config"
WRAPPERS = {"ConcatDataset", "MultiImageMixDataset", "RepeatDataset"}
LISTED = ("img_dir", "ann_dir", "split")


def convert_data(old: Mapping, new: Node) -> list[str]:
    """Put 1.x's loaders, ``tta_pipeline`` and data preprocessor into ``new``; what to log."""
    if "data" not in old:
        return []
    data = node_of(old, "data")
    parts = {name: data.pop(name) for name in ("train", "val", "test") if data.get(name)}
    parts = {name: _several(part) for name, part in parts.items()}
    batch, workers = data.pop("samples_per_gpu", 1), data.pop("workers_per_gpu", 0)
    given = {name: node_of(data, f"{name}_dataloader") for name in ("train", "val", "test")}
    for name in given:
        data.pop(f"{name}_dataloader", None)
    refuse_rest(data, "data", DATA_CURE)
    labels = _labels(parts.get("train"))
    found: dict[str, Preprocessing] = {}
    notes = []
    for name, part in parts.items():
        is_train = name == "train"
        dataset, found[name] = _converted(part, is_train, labels)
        size = batch if is_train else 1
        new[f"{name}_dataloader"] = _loader(given[name], name, dataset, size, workers, old)
        notes.append(f"data.{name} -> {name}_dataloader")
        notes += found[name].notes
    steps = next((_pipeline(parts[n]) for n in ("test", "val") if n in parts), ())
    views = tta_pipeline(steps, labels)
    if views is not None:
        new["tta_pipeline"] = views
        new.setdefault("tta_model", dict(type="SegTTAModel"))
        aug = next(s for s in steps if type_name(s) == "MultiScaleFlipAug")
        if aug.get("flip") or aug.get("img_ratios"):
            notes.append("MultiScaleFlipAug names several views -> tta_pipeline, by --aug-test")
    notes += _preprocessor(found, new)
    return notes


def _several(part: Any) -> Node:
    return (
        dict(part) if isinstance(part, Mapping) else dict(type="ConcatDataset", datasets=list(part))
    )


def _pipeline(part: Any) -> Sequence[Node]:
    """The pipeline of the first data set in ``part``."""
    if not isinstance(part, Mapping):
        return _pipeline(part[0]) if part else ()
    for key in ("dataset", "datasets"):
        if key in part:
            return _pipeline(part[key])
    return part.get("pipeline", ())


def _labels(part: Any) -> Node:
    """How the training reads labels, for the tests to read them alike."""
    for step in _pipeline(part or {}):
        if type_name(step) == "LoadAnnotations":
            return backend_args(dict(step))
    return dict(type="LoadAnnotations")


def _loader(given: Node, name: str, dataset: Node, batch: int, workers: int, old: Mapping) -> Node:
    batch, workers = given.pop("samples_per_gpu", batch), given.pop("workers_per_gpu", workers)
    is_train = name == "train"
    shuffle = given.pop("shuffle", is_train)
    kept = {key: given.pop(key) for key in LOADER_KEYS & given.keys()}
    refuse_rest(given, f"data.{name}_dataloader", DATA_CURE)
    endless = is_train and not counts_epochs(old)
    kind = "InfiniteSampler" if endless else "DefaultSampler"
    if is_train and not endless:
        kept.setdefault("drop_last", True)
    kept.setdefault("persistent_workers", workers > 0)
    return dict(
        batch_size=batch,
        num_workers=workers,
        sampler=dict(type=kind, shuffle=shuffle),
        dataset=dataset,
        **kept,
    )


def counts_epochs(old: Mapping) -> bool:
    """Whether the run of 0.x counts epochs."""
    return type_name(node_of(old, "runner")) == "EpochBasedRunner" or "total_epochs" in old


def _converted(node: Node, is_train: bool, labels: Node) -> tuple[Node, Preprocessing]:
    kind, node = type_name(node), dict(node)
    if kind in WRAPPERS:
        return _wrapper(kind, node, is_train, labels)
    lengths = {len(node[key]) for key in LISTED if isinstance(node.get(key), list | tuple)}
    if lengths:
        if len(lengths) > 1:
            raise UserError(
                f"config key data: the lists img_dir, ann_dir and split of {kind} have "
                f"{' and '.join(map(str, sorted(lengths)))} items; make them equally long."
            )
        parts = [
            {k: v[i] if k in LISTED and isinstance(v, list | tuple) else v for k, v in node.items()}
            for i in range(lengths.pop())
        ]
        return _wrapper("ConcatDataset", dict(datasets=parts), is_train, labels)
    return _leaf(kind, node, is_train, labels)


def _wrapper(kind: str, node: Node, is_train: bool, labels: Node) -> tuple[Node, Preprocessing]:
    node["type"] = kind
    node.pop("separate_eval", None)
    found = Preprocessing()
    if "datasets" in node:
        converted = [_converted(dict(part), is_train, labels) for part in node["datasets"]]
        node["datasets"] = [part for part, _ in converted]
        found = converted[0][1]
    if "dataset" in node:
        node["dataset"], found = _converted(_several(node["dataset"]), is_train, labels)
    if "pipeline" in node:  # of `MultiImageMixDataset`, behind that of what it mixes
        node["pipeline"], outer = convert_train_pipeline(node["pipeline"])
        inner = node["dataset"].get("pipeline") or []
        if inner and inner[-1].get("type") == "PackSegInputs":
            inner.pop()
        found = outer if outer.normalize else found
    return node, found


def _leaf(kind: str, node: Node, is_train: bool, labels: Node) -> tuple[Node, Preprocessing]:
    new: Node = {"type": "BaseSegDataset" if kind == "CustomDataset" else node["type"]}
    own = _own_parameters(new["type"])
    steps = node.pop("pipeline", ())
    if is_train:
        pipeline, found = convert_train_pipeline(steps)
    else:
        pipeline, _, found = convert_test_pipeline(steps, labels)
    if "data_root" in node:
        new["data_root"] = node.pop("data_root")
    prefix = {"img_path": "img_dir", "seg_map_path": "ann_dir"}
    prefix = {k: node.pop(v) for k, v in prefix.items() if v in node and v not in own}
    if prefix:
        new["data_prefix"] = prefix
    if "split" in node and "split" not in own:
        new["ann_file"] = node.pop("split") or ""
    metainfo = {k: node.pop(k) for k in ("classes", "palette") if k in node and k not in own}
    metainfo = {k: v for k, v in metainfo.items() if v is not None}
    if metainfo:
        new["metainfo"] = metainfo
    node.pop("gt_seg_map_loader_cfg", None)  # the test pipeline's LoadAnnotations
    node.pop("type")
    return {**new, **backend_args(node), "pipeline": pipeline}, found


def _own_parameters(kind: Any) -> set[str]:
    """0.x's keys that a user's own data set takes by name, and hands on itself."""
    cls = look_up(kind, DATASETS)[0]
    init = vars(cls).get("__init__") if isinstance(cls, type) else None
    code = getattr(init, "__code__", None)
    if code is None or cls.__module__.startswith("mmseg_gc."):
        return set()
    return set(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])


def _preprocessor(found: Mapping[str, Preprocessing], new: Node) -> list[str]:
    """Give the model the normalising and padding of the pipelines."""
    model = new.get("model")
    if not isinstance(model, dict):
        return []
    first = next(iter(found.values()), Preprocessing())
    for name, other in found.items():
        if other.normalize != first.normalize:
            raise UserError(
                f"config keys data.{next(iter(found))} and data.{name} normalise differently, but "
                "the model normalises all images alike; make their Normalize equal."
            )
    preprocessor: Node = dict(type="SegDataPreProcessor")
    if first.normalize is not None:
        preprocessor |= dict(
            mean=list(first.normalize["mean"]),
            std=list(first.normalize["std"]),
            bgr_to_rgb=first.normalize.get("to_rgb", True),
        )
    padding: Node = dict(pad_val=0, seg_pad_val=255)
    train = found.get("train")
    if train is not None:
        padding |= train.padding
        if not {"size", "size_divisor"} & padding.keys() and train.crop_size:
            padding["size"] = tuple(train.crop_size)
    preprocessor |= padding
    tested = [found[name].padding for name in ("val", "test") if name in found]
    tested = [pad for pad in tested if pad]
    if tested:
        keys = {"size", "size_divisor"} & tested[0].keys()
        preprocessor["test_cfg"] = {key: tested[0][key] for key in keys}
    # A base of 1.x may have brought one, which the pipelines of this config overrule.
    model["data_preprocessor"] = {**(model.get("data_preprocessor") or {}), **preprocessor}
    new.pop("data_preprocessor", None)
    return ["Normalize and Pad -> model.data_preprocessor"]
