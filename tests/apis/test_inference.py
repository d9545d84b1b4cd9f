"""One image's way: its pipeline is built once, and few files are read to follow it."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import cv2
import numpy as np
import pytest
import torch
from torch import nn

import mmseg_gc
from mmseg_gc.apis import inference, inference_model, init_model
from mmseg_gc.checkpoint import save_checkpoint
from mmseg_gc.registry import TRANSFORMS

CONFIG = Path(__file__).parents[2] / "configs/gcnet/gcnet_r18-d8_1xb4-demo_scenes-128x256.py"
PACKAGE = Path(mmseg_gc.__file__).parent
IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
# Prepared models have those of the acceleration too, and files those that decode them.
MOST_FILES = {("plain", "array"): 14, ("plain", "file"): 16, ("fast", "file"): 24}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, nn.Module]:
    weights = tmp_path_factory.mktemp("weights") / "w.pth"
    options = {
        "model.test_cfg": dict(_delete_=True, mode="whole"),
        "model.backbone.base_channels": 8,
        "model.decode_head.in_channels": 64,
        "model.auxiliary_head.in_channels": 32,
    }
    plain = init_model(CONFIG, cfg_options=options)
    save_checkpoint(dict(state_dict=plain.state_dict()), weights)
    return {"plain": plain, "fast": init_model(CONFIG, weights, cfg_options=options)}


@pytest.fixture
def image_file(tmp_path: Path) -> str:
    cv2.imwrite(str(tmp_path / "image.png"), IMAGE)
    return str(tmp_path / "image.png")


def files_called(function: Callable[[], object]) -> set[str]:
    """The package's files of whose functions ``function`` calls one."""
    files = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and frame.f_code.co_name != "<module>" and PACKAGE in path.parents:
            files.add(path.relative_to(PACKAGE).as_posix())

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return files


@pytest.mark.parametrize(("model", "image"), MOST_FILES)
def test_a_reader_follows_one_image_through_few_files(
    models: dict[str, nn.Module], image_file: str, model: str, image: str
) -> None:
    given = IMAGE if image == "array" else image_file
    inference_model(models[model], given)
    files = files_called(lambda: inference_model(models[model], given))
    assert "apis/inference.py" in files and "inference/label_maps.py" in files
    assert not any(file.startswith(("config/", "engine/")) for file in files)
    assert len(files) <= MOST_FILES[model, image], sorted(files)


def test_the_pipeline_is_built_once(models: dict[str, nn.Module], image_file: str) -> None:
    model = models["plain"]
    expected = inference_model(model, image_file).pred_sem_seg.data
    built = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TRANSFORMS.root, "build", built.append)
        patch.setattr(TRANSFORMS, "build", built.append)
        patch.setattr(inference, "Compose", built.append)
        for image in (image_file, IMAGE, [image_file, IMAGE]):
            results = inference_model(model, image)
            for result in results if isinstance(results, list) else [results]:
                assert torch.equal(result.pred_sem_seg.data, expected)
    assert not built


def test_a_pipeline_that_changes_is_followed(models: dict[str, nn.Module], image_file: str) -> None:
    """As people change ``model.cfg`` between two calls."""
    model = models["plain"]
    before = inference_model(model, image_file)
    resize = model.cfg.test_dataloader.dataset.pipeline[1]
    assert resize["type"] == "Resize"
    old = resize["scale"]
    resize["scale"] = (32, 24)
    try:
        assert inference_model(model, image_file).metainfo["img_shape"] == (24, 32)
        assert inference_model(model, IMAGE).metainfo["img_shape"] == (24, 32)
    finally:
        resize["scale"] = old
    again = inference_model(model, image_file)
    assert again.metainfo["img_shape"] == before.metainfo["img_shape"] != (24, 32)
