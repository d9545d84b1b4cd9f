"""Tiny data sets in their owners' layouts, as the configs read them, and tiny models."""

import contextlib
import gc
import io
import json
import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
import torch
from filelock import FileLock
from mmengine.structures import PixelData
from PIL import Image
from torch.multiprocessing import start_processes

from mmseg_gc.structures import SegDataSample

IGNORED = 255
CAMVID_CONFIG = Path(__file__).parents[1] / "configs/gcnet/gcnet_r18-d8_1xb8-20k_camvid-360x480.py"
TINY = """
model = dict(
    pretrained=None,
    backbone=dict(base_channels=8),
    decode_head=dict(in_channels=64, channels=8),
    auxiliary_head=dict(in_channels=32, channels=8),
)
"""


@pytest.fixture(scope="session")
def tiny_text() -> str:
    """What a config of R18 has below its base for a model of an eighth of the width."""
    return TINY


@pytest.fixture(autouse=True, scope="module")
def _imports_are_no_garbage() -> None:
    """Keep what is there out of later collections: mmengine asks for one a data set."""
    gc.collect()
    gc.freeze()  # else 0.4 s each


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if find_spec("mmdet") is None:
        skip = pytest.mark.skip(reason="needs detection: run `make det`, then `make test-det`")
        for item in items:
            if item.get_closest_marker("det"):
                item.add_marker(skip)


def draw_scene(
    rng: np.random.Generator, size: tuple[int, int], ids: list[int], blobs: tuple[int, int] = (4, 6)
) -> tuple[np.ndarray, np.ndarray]:
    """An image (h, w, 3) and its label (h, w), both uint8: every id has a colour of its own."""
    height, width = size
    coarse = rng.choice(ids, size=blobs).astype(np.uint8)
    label = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)
    colours = np.random.default_rng(0).integers(30, 225, (256, 3))
    noise = rng.integers(-20, 21, (height, width, 3))
    return (colours[label] + noise).astype(np.uint8), label


def write_pair(image: np.ndarray, label: np.ndarray, image_path: Path, label_path: Path):
    """Write an image and its label; a label below ``SegmentationClass*`` gets VOC's palette."""
    for path in (image_path, label_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(image_path, quality=95)
    image = Image.fromarray(label)
    if label_path.parent.name.startswith("SegmentationClass"):
        image.putpalette([(7 * i) % 256 for i in range(768)])
    image.save(label_path)


@pytest.fixture(scope="session")
def cityscapes_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``data/cityscapes``: 4 train and 2 val images of 64 x 128, 19 train ids and 255."""
    root = tmp_path_factory.mktemp("data") / "cityscapes"
    rng = np.random.default_rng(1)
    for split, cities in {"train": ("aachen", "bochum"), "val": ("frankfurt",)}.items():
        for city in cities:
            for frame in range(2):
                name = f"{city}_000000_{frame:06d}"
                write_pair(
                    *draw_scene(rng, (64, 128), [*range(19), IGNORED]),
                    root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png",
                    root / "gtFine" / split / city / f"{name}_gtFine_labelTrainIds.png",
                )
    return root


@pytest.fixture(scope="session")
def ade20k_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``data/ade/ADEChallengeData2016``: 4 training and 2 validation images, labels 0..150."""
    root = tmp_path_factory.mktemp("data") / "ade" / "ADEChallengeData2016"
    rng = np.random.default_rng(2)
    for split, short, count in (("training", "train", 4), ("validation", "val", 2)):
        for number in range(1, count + 1):
            name = f"ADE_{short}_{number:08d}"
            size = (64 + 8 * (number % 3), 96 + 8 * (number % 2))
            write_pair(
                *draw_scene(rng, size, list(range(151)), blobs=(6, 8)),
                root / "images" / split / f"{name}.jpg",
                root / "annotations" / split / f"{name}.png",
            )
    return root


@pytest.fixture(scope="session")
def voc_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``data/VOCdevkit/VOC2012``: 3 train, 2 val and 3 aug images; labels 0..20 and 255."""
    root = tmp_path_factory.mktemp("data") / "VOCdevkit" / "VOC2012"
    rng = np.random.default_rng(3)
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for split, first, count in (("train", 0, 3), ("val", 10, 2), ("aug", 20, 3)):
        names = [f"2007_{number:06d}" for number in range(first, first + count)]
        (lists / f"{split}.txt").write_text("\n".join(names) + "\n")
        folder = "SegmentationClassAug" if split == "aug" else "SegmentationClass"
        for index, name in enumerate(names):
            write_pair(
                *draw_scene(rng, (72 + 8 * index, 104 - 8 * index), [*range(21), IGNORED]),
                root / "JPEGImages" / f"{name}.jpg",
                root / folder / f"{name}.png",
            )
    return root


@pytest.fixture(scope="session")
def camvid_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``data/camvid``: 4 train and 2 val images of 72 x 96, ids 0..10 and 11 for void."""
    root = tmp_path_factory.mktemp("data") / "camvid"
    rng = np.random.default_rng(4)
    for split, count in (("train", 4), ("val", 2)):
        lines = []
        for number in range(count):
            name = f"0001TP_{6690 + 30 * number:06d}.png"
            write_pair(
                *draw_scene(rng, (72, 96), list(range(12))),
                root / split / name,
                root / f"{split}annot" / name,
            )
            lines.append(f"/SegNet/CamVid/{split}/{name} /SegNet/CamVid/{split}annot/{name}\n")
        (root / f"{split}.txt").write_text("".join(lines))
    return root


@pytest.fixture
def one_thread_and_seed() -> Iterator[None]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    # mmengine logs one line a parameter when a model draws its first weights.
    logging.disable(logging.INFO)
    yield
    logging.disable(logging.NOTSET)
    torch.set_num_threads(1)  # which some tests change


@pytest.fixture
def gcnet_cfg() -> Callable[..., dict]:
    """Config of a GCNet R18-D8, an eighth as wide; ``head`` goes to all heads."""

    def make(head: dict | None = None, **model: object) -> dict:
        norm = dict(type="BN")
        common = dict(num_classes=5, norm_cfg=norm, dropout_ratio=0.0, **(head or {}))
        cfg = dict(
            type="EncoderDecoder",
            data_preprocessor=dict(type="SegDataPreProcessor"),
            backbone=dict(
                type="ResNetV1c",
                depth=18,
                stem_channels=8,
                base_channels=8,
                dilations=(1, 1, 2, 4),
                strides=(1, 2, 1, 1),
                norm_cfg=norm,
                contract_dilation=True,
            ),
            decode_head=dict(type="GCHead", in_channels=64, in_index=3, channels=16, **common),
            auxiliary_head=dict(
                type="FCNHead",
                in_channels=32,
                in_index=2,
                channels=8,
                num_convs=1,
                concat_input=False,
                **common,
            ),
        )
        return {**cfg, **model}

    return make


@pytest.fixture
def labelled() -> Callable[..., SegDataSample]:
    """Sample with a label map of shape (H, W) or (1, H, W), and further metas."""

    def make(label: torch.Tensor, **metas: object) -> SegDataSample:
        label = label if label.dim() == 3 else label.unsqueeze(0)
        size = tuple(label.shape[1:])
        sample = SegDataSample(metainfo={"img_shape": size, "ori_shape": size, **metas})
        sample.gt_sem_seg = PixelData(data=label)
        return sample

    return make


@pytest.fixture
def in_ranks(tmp_path: Path) -> Callable[..., list]:
    """``in_ranks(work, 2)``: what ``work(rank)`` gives in each of two forks that meet over gloo."""

    def run(work: Callable[[int], object], size: int) -> list:
        def rank_of(rank: int) -> None:
            signal.alarm(100)  # ends what hangs
            torch.set_num_threads(1)
            meeting = f"file://{tmp_path}/meeting"
            torch.distributed.init_process_group("gloo", meeting, rank=rank, world_size=size)
            torch.save(work(rank), tmp_path / f"{rank}.pt")
            torch.distributed.destroy_process_group()

        ranks = start_processes(rank_of, nprocs=size, join=False, start_method="fork")
        while not ranks.join():
            pass
        return [torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(size)]

    return run


@pytest.fixture
def free_port() -> str:
    """A port that nobody listens on, for the PORT of the launch scripts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, driven by playwright; where one of them is missing the test is skipped in words."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright: pip install -r requirements/browser.txt"
    )
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(autouse=True)
def _screen_tells_all_again():
    """A command leaves the log's screen quiet and its name behind, for its own process."""
    yield
    os.environ.pop("MMSEG_GC_COMMAND", None)
    logging.disable(logging.NOTSET)  # as tools switch it off for good
    console = sys.modules.get("mmseg_gc.engine.console")
    for handler in console.screen_handlers() if console else ():
        handler.setLevel(logging.INFO)


@pytest.fixture(scope="session")
def tiny_files(tmp_path_factory) -> tuple[Path, Path]:
    """The paths of a small config, which reads images as they are, and of weights for it."""
    from mmseg_gc.apis import init_model
    from mmseg_gc.checkpoint import save_checkpoint

    folder = tmp_path_factory.mktemp("tiny")
    pipeline = [dict(type="LoadImageFromFile"), dict(type="PackSegInputs")]
    loader = f"test_dataloader = dict(dataset=dict(pipeline={pipeline}))\n"
    config = folder / "tiny.py"
    config.write_text(f"_base_ = {str(CAMVID_CONFIG)!r}\n{TINY}{loader}")
    torch.manual_seed(0)
    model = init_model(config)
    head = model.decode_head.conv_seg
    torch.nn.init.normal_(head.weight, std=1.0)
    with torch.no_grad():  # of themselves, random weights give one class everywhere
        logits = model(torch.randn(4, 3, 48, 64, generator=torch.Generator().manual_seed(0)))
        # Rounded: the last bits depend on threads, and all processes have to make the same file.
        head.bias -= logits.mean(dim=(0, 2, 3)).round(decimals=2)
    save_checkpoint(dict(state_dict=model.state_dict()), folder / "w.pth")
    return config, folder / "w.pth"


@pytest.fixture(scope="session")
def tiny_model(tiny_files):
    from mmseg_gc.apis import init_model

    return init_model(*tiny_files)


class ExportedFile(NamedTuple):
    """An ONNX file of `tiny_files`, and how the command that wrote it ended."""

    path: Path
    status: int
    out: str


@pytest.fixture(scope="session")
def exported(tiny_files, tmp_path_factory) -> ExportedFile:
    """Made once for all processes of a run: torch's exporter takes seconds for any network."""
    pytest.importorskip("onnxscript", reason="needs the export extra: pip install '.[export]'")
    pytest.importorskip("onnxruntime", reason="needs the export extra: pip install '.[export]'")
    from mmseg_gc.cli.export import main

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    folder = shared / "exported"
    with FileLock(shared / "exported.lock"):
        if not (folder / "ended.json").is_file():
            folder.mkdir(exist_ok=True)
            said = io.StringIO()
            words = [*map(str, tiny_files), "-o", str(folder / "tiny.onnx"), "--gate-images", "1"]
            with contextlib.redirect_stdout(said), pytest.raises(SystemExit) as stopped:
                main(words)
            (folder / "ended.json").write_text(json.dumps([stopped.value.code, said.getvalue()]))
    status, out = json.loads((folder / "ended.json").read_text())
    return ExportedFile(folder / "tiny.onnx", status, out)


@pytest.fixture(scope="session")
def exported_openvino(exported, tmp_path_factory) -> Path:
    """The same network and metadata for OpenVINO."""
    pytest.importorskip("openvino", reason="needs the export extra: pip install '.[export]'")
    import onnx

    from mmseg_gc.deploy.formats import OnnxFile, OpenVinoFiles
    from mmseg_gc.deploy.runtimes import read_metadata

    path = tmp_path_factory.mktemp("openvino") / "tiny.xml"
    OpenVinoFiles.of(OnnxFile(onnx.load(exported.path))).save(path, read_metadata(exported.path))
    return path
