"""Results go out one by one; what stops one image, or a whole run, costs nothing else."""

import errno
import os
import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_gc import atomic
from mmseg_gc.apis import MMSegInferencer, inferencer
from mmseg_gc.checkpoint import save_checkpoint
from mmseg_gc.config import load_config
from mmseg_gc.errors import UserError
from mmseg_gc.registry import MODELS

CONFIG = Path(__file__).parents[2] / "configs/gcnet/gcnet_r18-d8_1xb8-20k_camvid-360x480.py"
TINY = {
    "model.pretrained": None,
    "model.backbone.base_channels": 8,
    "model.decode_head.in_channels": 64,
    "model.decode_head.channels": 8,
    "model.auxiliary_head.in_channels": 32,
    "model.auxiliary_head.channels": 8,
}


@pytest.fixture(scope="module")
def label(tmp_path_factory):
    cfg = load_config(CONFIG, TINY)
    pipeline = [dict(type="LoadImageFromFile"), dict(type="PackSegInputs")]
    cfg.test_dataloader.dataset.pipeline = pipeline
    torch.manual_seed(0)
    weights = tmp_path_factory.mktemp("weights") / "w.pth"
    save_checkpoint(dict(state_dict=MODELS.build(cfg.model).state_dict()), weights)
    return MMSegInferencer(cfg, str(weights), device="cpu", show_progress=False)


@pytest.fixture
def images(tmp_path):
    """Five in a folder, of which the third has lost its second half."""
    rng = np.random.default_rng(0)
    for number in range(5):
        path = tmp_path / f"in/{number}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    content = path.with_name("2.png").read_bytes()
    path.with_name("2.png").write_bytes(content[: len(content) // 2])
    return path.parent


def written(out):
    return sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())


WHOLE = [f"{folder}/{n}.{suffix}" for folder, suffix in (("pred", "png"), ("vis", "jpg"))
         for n in (0, 1, 3, 4)]  # fmt: skip


def test_a_broken_image_does_not_stop_the_others(label, images, tmp_path):
    results = list(label.stream(str(images), out_dir=str(tmp_path / "out")))
    assert [bool(result.error) for result in results] == [False, False, True, False, False]
    assert "2.png" in results[2].error and results[2].data_sample is None
    assert written(tmp_path / "out") == WHOLE
    saved = np.array(Image.open(tmp_path / "out/pred/4.png"))
    assert np.array_equal(saved, results[4].labels)  # CamVid's numbers are the classes'


def test_a_call_labels_the_others_before_it_says_so(label, images, tmp_path):
    with pytest.raises(UserError, match=r"2\.png .* is no readable image"):
        label(str(images), out_dir=str(tmp_path / "out"))
    assert written(tmp_path / "out") == WHOLE
    with pytest.raises(UserError, match=r"2\.png .* is no readable image"):
        label(str(images))  # nothing would remain of them


def test_any_error_of_one_image_is_its_own(label, images, tmp_path, monkeypatch):
    def fail(*batch):
        raise IndexError("list index\n out of range")

    monkeypatch.setattr(label.model, "test_step", fail)
    first, *_ = label.stream(str(images), out_dir=str(tmp_path / "out"))
    told = "0.png: IndexError: list index out of range (MMSEG_GC_TRACEBACK=1 shows where)"
    assert first.error.endswith(told)
    monkeypatch.setenv("MMSEG_GC_TRACEBACK", "1")
    with pytest.raises(IndexError):
        list(label.stream(str(images)))


def test_nothing_of_an_image_is_held(label, images, monkeypatch):
    seen = []
    original = inferencer.label_each

    def note(*args, **options):
        [result] = original(*args, **options)
        if not isinstance(result, Exception):
            seen.append(weakref.ref(result.pred_sem_seg.data))
        return [result]

    monkeypatch.setattr(inferencer, "label_each", note)
    for result in label.stream(str(images), return_vis=True):
        del result
        assert not any(ref() is not None for ref in seen[:-1])  # the last is still at hand
    assert len(seen) == 4


def test_what_has_whole_results_is_skipped(label, images, tmp_path, monkeypatch):
    out = tmp_path / "out"
    list(label.stream(str(images), out_dir=str(out)))
    (out / "pred/0.png").write_bytes((out / "pred/0.png").read_bytes()[:-1])
    (out / "vis/1.jpg").write_bytes((out / "vis/1.jpg").read_bytes()[:-1])
    (out / "vis/3.jpg").unlink()
    done = []
    original = inferencer.label_each

    def note(model, images, aug_test):
        done.extend(Path(image).name for image in images)
        return original(model, images, aug_test=aug_test)

    monkeypatch.setattr(inferencer, "label_each", note)
    options = dict(out_dir=str(out), skip_existing=True)
    results = list(label.stream(str(images), **options))
    assert done == ["0.png", "1.png", "2.png", "3.png"]
    assert [result.skipped for result in results] == [False] * 4 + [True]
    done.clear()
    list(label.stream(str(images), **options, img_out_dir=""))
    assert done == ["2.png"]
    list(label.stream(str(images), out_dir=str(out)))
    assert len(done) == 6  # without the option all of them


def test_a_killed_run_is_made_up_for(label, images, tmp_path, monkeypatch):
    out, replace = tmp_path / "out", os.replace

    def killed(source, target):
        if str(target).endswith("vis/1.jpg"):
            os._exit(9)  # between writing and naming
        replace(source, target)

    if (child := os.fork()) == 0:
        os.replace = killed
        list(label.stream(str(images), out_dir=str(out)))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert len(written(out)) == 4 and list(atomic.left_behind(out))
    list(label.stream(str(images), out_dir=str(out), skip_existing=True))
    assert written(out) == WHOLE


def test_a_full_disk_stops_with_nothing_half_written(label, images, tmp_path, monkeypatch):
    def full(handle, mode):
        file = open(handle, mode)  # noqa: SIM115 - its owner closes it
        file.write(b"half")
        file.close()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic.os, "fdopen", full)
    with pytest.raises(UserError, match=r"0\.png can't be written .*No space left"):
        list(label.stream(str(images), out_dir=str(tmp_path / "out")))
    assert written(tmp_path / "out") == []


@pytest.mark.parametrize("taken", ["out", "out/pred", "out/vis"])
def test_outputs_are_tried_before_the_first_prediction(label, images, tmp_path, monkeypatch, taken):
    (tmp_path / taken).parent.mkdir(exist_ok=True)
    (tmp_path / taken).touch()
    monkeypatch.setattr(inferencer, "label_each", lambda *_, **__: pytest.fail("predicted"))
    with pytest.raises(UserError, match=rf"{taken} can't be written"):
        list(label.stream(str(images), out_dir=str(tmp_path / "out")))


def test_names_that_are_not_utf_8_work(label, images, tmp_path):
    odd = os.fsdecode(b"\xff\xfe.png")
    (images / "0.png").rename(images / odd)
    label(str(images / odd), out_dir=str(tmp_path / "out"))
    assert (tmp_path / "out/pred" / odd).is_file()


def test_memory_that_does_not_suffice_is_the_image_s(label, images, monkeypatch):
    def too_large(self, data):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes")

    monkeypatch.setattr(type(label.model), "test_step", too_large)
    with pytest.raises(UserError, match=r"0\.png doesn't fit into memory .*mode='slide'"):
        label(str(images / "0.png"))


def test_a_name_that_cannot_be_written_is_the_image_s(label, images, tmp_path):
    out = tmp_path / "out"
    (out / "pred/0.png").mkdir(parents=True)
    results = list(label.stream(str(images), out_dir=str(out)))
    assert [bool(result.error) for result in results] == [True, False, True, False, False]
    assert "pred/0.png can't be written" in results[0].error
    assert written(out) == [name for name in WHOLE if not name.endswith(("0.png", "0.jpg"))]
