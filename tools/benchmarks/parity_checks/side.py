"""One of the two packages, reached by the names that both have."""

import copy
import importlib
import json
import sys
from functools import cached_property
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from torch import Tensor, nn

PACKAGES = {"reference": "mmseg", "ours": "mmseg_gc"}
CONFIGS = {
    "cityscapes": "gcnet_r{}-d8_4xb2-40k_cityscapes-512x1024.py",
    "ade20k": "gcnet_r{}-d8_4xb4-80k_ade20k-512x512.py",
    "voc12aug": "gcnet_r{}-d8_4xb4-20k_voc12aug-512x512.py",
}
NUM_CLASSES = {"cityscapes": 19, "ade20k": 150, "voc12aug": 21}
# `results[measure][row][case]`: every case of a row is compared, the worst is printed.
Results = dict[str, dict[str, dict[str, Tensor | str]]]


class Side:
    """``name`` is "reference" or "ours"; ``folder`` holds the inputs that both sides read."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.package = PACKAGES[name]
        self.folder = folder
        job = json.loads((folder / "job.json").read_text())
        self.quick: bool = job["quick"]
        self.depths: list[int] = job["depths"]
        self.datasets: list[str] = job["datasets"]
        self.config_dirs = {side: Path(path) for side, path in job["config_dirs"].items()}
        init_default_scope(self.package)
        if name == "reference":  # ours imports its modules when a name is looked up
            self.module("utils").register_all_modules()
        self.registry = self.module("registry")

    def module(self, name: str):
        return importlib.import_module(f"{self.package}.{name}")

    def say(self, what: str) -> None:
        print(f"  {self.name}: {what}", file=sys.stderr, flush=True)

    def config(self, path: Path) -> Config:
        """The config in ``path`` as this package's tools read it."""
        if self.name == "ours":
            return self.module("config").load_config(path)
        return Config.fromfile(path)

    def own_config(self, depth: int, dataset: str) -> Config:
        """This side's own config; depth 18, for which the reference has none, is a narrow R50."""
        folder = self.config_dirs[self.name] / "gcnet"
        cfg = self.config(folder / CONFIGS[dataset].format(50 if depth == 18 else depth))
        cfg.model.pretrained = None
        if depth == 18:
            cfg.model.backbone.depth = 18
            cfg.model.decode_head.update(in_channels=512, channels=128)
            cfg.model.auxiliary_head.update(in_channels=256, channels=64)
        return cfg

    def build(self, cfg: Config) -> nn.Module:
        """The model of ``cfg`` with plain batch normalisation in place of ``SyncBN``."""
        return revert_sync_batchnorm(self.registry.MODELS.build(copy.deepcopy(cfg.model)))

    def model(self, depth: int, dataset: str) -> nn.Module:
        """A model with the seeded weights that both sides share, in evaluation mode."""
        model = self.build(self.own_config(depth, dataset))
        model.load_state_dict(read_weights(self.folder, depth, dataset))
        return model.eval()

    def samples(self, shapes: list[tuple[int, int]], labels: Tensor | None = None) -> list:
        """Data samples of images whose files were of ``shapes``, with labels (N, 1, H, W)."""
        from mmengine.structures import PixelData

        sample_class = self.module("structures").SegDataSample
        samples = [sample_class(metainfo={"ori_shape": shape}) for shape in shapes]
        for sample, label in zip(samples, labels if labels is not None else [], strict=False):
            sample.gt_sem_seg = PixelData(data=label)
        return samples

    @cached_property
    def inputs(self) -> dict[str, Tensor]:
        """Images and labels of `prepare`."""
        return torch.load(self.folder / "inputs.pt", weights_only=True)

    @property
    def models(self) -> list[tuple[int, str, str]]:
        """Depth, data set and the name that rows begin with, of the models under comparison."""
        return [
            (depth, dataset, f"R{depth}-D8, {NUM_CLASSES[dataset]} classes")
            for depth in self.depths
            for dataset in self.datasets
        ]


def read_weights(folder: Path, depth: int, dataset: str) -> dict[str, Tensor]:
    """The state dict of one model: a body, and the last layers for the data set's classes."""
    parts = torch.load(folder / f"r{depth}.pt", weights_only=True, mmap=True)
    return {**parts["body"], **parts[dataset]}
