"""Damaged packed copies: the samples as they were packed, or one sentence before training."""

import contextlib
import io
import json
import os
import random
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from harness import fuzz, fuzz_in_child, run_child
from mmengine.registry import DefaultScope
from PIL import Image

import mmseg_gc.datasets  # noqa: F401  (registers them)
from mmseg_gc.registry import DATASETS

TOOLS = Path(__file__).parents[2] / "tools"
SHAPES = ((6, 8), (5, 9), (7, 3))
LOAD = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations")]


def config(root: Path, **more) -> dict:
    return dict(
        type="CamVidDataset",
        data_root=str(root),
        data_prefix=dict(img_path="train", seg_map_path="trainannot"),
        pipeline=LOAD,
        **more,
    )


@cache
def whole() -> tuple[Path, list[tuple[np.ndarray, np.ndarray]]]:
    """A packed data set's folder, with its images and labels."""
    if str(TOOLS) not in sys.path:
        sys.path.insert(0, str(TOOLS))
    import pack_dataset

    root = Path(tempfile.mkdtemp(prefix="fuzzed-pack-"))
    rng = np.random.default_rng(0)
    samples = []
    for number, shape in enumerate(SHAPES):
        image, label = rng.integers(0, 256, (*shape, 3), np.uint8), rng.integers(0, 12, shape)
        samples.append((image[..., ::-1], label))
        for folder, pixels in (("train", image), ("trainannot", label.astype(np.uint8))):
            (root / folder).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(root / folder / f"{number}.png")
    with quiet(), DefaultScope.overwrite_default_scope("mmseg_gc"):
        pack_dataset.pack(config(root), "train_dataloader.dataset", root / "train.pack", False)
    return root, samples


@contextlib.contextmanager
def quiet():
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def damage_bytes(rng: random.Random, path: Path) -> None:
    content = bytearray(path.read_bytes())
    start, stop = sorted(rng.randrange(len(content)) for _ in range(2))
    what = rng.randrange(7)
    if what < 3:
        content[start] ^= 1 << rng.randrange(8)
    elif what == 3:
        del content[start:]
    elif what == 4:
        del content[start:stop]
    elif what == 5:
        content[start:stop] = bytes(stop - start)
    else:
        content += content[start:stop]
    path.write_bytes(content)


def damage_index(rng: random.Random, path: Path) -> None:
    """Another value at one place of the index, which stays JSON."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    odd = (None, -1, 0, 1, 2**31, 2**70, 0.5, "", "a", [], {}, [[]], True, float("nan"))
    node = rng.choice(lines)
    while True:
        keys = list(node) if isinstance(node, dict) else range(len(node))
        if not len(keys):
            break
        key = rng.choice(keys)
        if not isinstance(node[key], list | dict) or rng.random() < 0.3:
            node[key] = rng.choice(odd)
            break
        node = node[key]
    if rng.random() < 0.2:
        rng.shuffle(lines)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def replace_file(rng: random.Random, path: Path) -> None:
    path.unlink()
    what = rng.randrange(5)
    if what == 0:
        path.mkdir()
    elif what == 1:
        path.write_bytes(b"")
    elif what == 2:
        path.write_bytes(b"[" * 100_000)
    elif what == 3:
        path.write_bytes(rng.randbytes(200))
    else:
        os.mkfifo(path)


KINDS = (damage_bytes, damage_bytes, damage_index, damage_index, replace_file)


def case(number: int, folder: Path) -> str:
    root, samples = whole()
    import pack_dataset

    rng = random.Random(number)
    copy = folder / "train.pack"
    shutil.copytree(root / "train.pack", copy)
    kind, file = KINDS[number % len(KINDS)], "index.jsonl"
    if kind is not damage_index and rng.random() < 0.3:
        file = "pixels.bin"
    kind(rng, copy / file)
    with quiet(), DefaultScope.overwrite_default_scope("mmseg_gc"):
        # As training opens it, and as --check does; training alone can't know of wrong pixels.
        dataset = DATASETS.build(config(root, packed=str(copy)))
        read = [dataset[index] for index in range(len(dataset))]
        pack_dataset.check(copy)
    assert len(read) == len(samples), f"{len(read)} samples"
    for found, (image, label) in zip(read, samples, strict=True):
        assert np.array_equal(found["img"], image), "another image"
        assert np.array_equal(found["gt_seg_map"], label), "another label"
    return "read"


@pytest.fixture(scope="module", autouse=True)
def swept():
    yield
    if whole.cache_info().currsize:
        shutil.rmtree(whole()[0])


def test_a_sample():
    outcomes = fuzz(case, 0, 20)
    assert outcomes["refused"] > 12


@pytest.mark.slow
def test_three_hundred():
    assert fuzz_in_child(__file__, 20, 340)["refused"] > 200


if __name__ == "__main__":
    run_child(case)
    shutil.rmtree(whole()[0])
