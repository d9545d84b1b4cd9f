"""An exported file in the place of a network: whatever torch does, by the same paths."""

import copy
import pickle

import numpy as np
import pytest
import torch

from mmseg_gc.apis import MMSegInferencer, inference_model, init_model, predict
from mmseg_gc.errors import UserError


@pytest.fixture
def image() -> np.ndarray:
    """An odd size, smooth as a photograph."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (8, 9, 3), np.uint8)
    return np.kron(coarse, np.ones((10, 11, 1), np.uint8))[:77, :95]


@pytest.fixture(scope="module", params=["onnxruntime", "openvino"])
def model(request, exported):
    if request.param == "onnxruntime":
        return init_model(exported.path)
    return init_model(request.getfixturevalue("exported_openvino"))


def same(model, other, image, **options) -> bool:
    labels = [inference_model(one, image, **options).pred_sem_seg.data for one in (model, other)]
    assert labels[0].shape == (1, 77, 95) and labels[0].unique().numel() > 2
    return (labels[0] == labels[1]).float().mean() > 0.9995


WHOLE = dict(mode="whole")
WINDOWS = dict(mode="slide", crop_size=(48, 64), stride=(32, 40))


@pytest.fixture
def tested_as(tiny_model):
    """Let models be tested by a ``test_cfg``; afterwards the shared one is as it was."""
    before = dict(tiny_model.test_cfg)

    def change(test_cfg, *models):
        for one in (*models, tiny_model):
            one.test_cfg.clear()
            one.test_cfg.update(test_cfg)

    yield change
    change(before)


def test_the_file_alone(model, tiny_model, image):
    """Its own metadata says how images are read, and which classes there are."""
    assert model.dataset_meta["classes"] == list(tiny_model.dataset_meta["classes"])
    assert same(model, tiny_model, image)


def test_windows_within_a_budget(exported, tiny_model, image, tested_as):
    model = init_model(exported.path)
    tested_as({**WINDOWS, "memory_budget": "1GiB"}, model)
    assert same(model, tiny_model, image)
    tested_as({**WINDOWS, "memory_budget": "1MiB"}, model)
    with pytest.raises(UserError, match=r"memory_budget=1MiB is less than"):
        inference_model(model, image)


@pytest.mark.slow
@pytest.mark.parametrize("test_cfg", [WHOLE, WINDOWS], ids=["whole", "windows"])
def test_scales_and_flips(model, tiny_model, image, tested_as, test_cfg):
    tested_as(test_cfg, model)
    assert same(model, tiny_model, image, aug_test=True)
    tested_as(WHOLE, model)


def test_batches_probabilities_and_copies(exported, tiny_model, image):
    model = init_model(exported.path)
    options = dict(outputs=("probabilities", "overlay"), batch_size=2)
    ours = predict(model, [image, image[::-1], image[:, ::-1]], **options)
    theirs = predict(tiny_model, [image, image[::-1], image[:, ::-1]], **options)
    for one, other in zip(ours, theirs, strict=True):
        assert np.abs(one.probabilities - other.probabilities).max() < 2e-3  # float16
        assert one.classes == other.classes
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert same(twin, model, image)
    assert model.to("cpu") is model and next(model.parameters()).numel() == 0


def test_the_inferencer_takes_a_file(exported, tiny_model, image):
    labels = MMSegInferencer(exported.path, show_progress=False)(image)["predictions"]
    assert (labels == inference_model(tiny_model, image).pred_sem_seg.data[0].numpy()).all()


def test_what_an_exported_file_does_not_do(exported, model):
    with pytest.raises(UserError, match=r"is an exported file, which learns nothing: train"):
        model(torch.zeros(1, 3, 32, 32), [], mode="loss")
    with pytest.raises(UserError, match=r"tiny.onnx is run by its own runtime.*leave out compile"):
        init_model(exported.path, compile=True)


def rewritten(exported, folder, **changes):
    """The file with other metadata."""
    import onnx

    from mmseg_gc.deploy.formats import OnnxFile
    from mmseg_gc.deploy.runtimes import read_metadata

    path = folder / "changed.onnx"
    meta = read_metadata(exported.path)
    OnnxFile(onnx.load(exported.path)).save(path, {**meta, "mmseg_gc": "0", **changes})
    return path


def test_an_image_beyond_a_static_shape(exported, tmp_path, image, tiny_model, tested_as):
    static = dict(layout="NCHW", shape=[1, 3, 48, 64])
    model = init_model(rewritten(exported, tmp_path, input=static))
    cure = r"takes images of \(3, 48, 64\) \(CHW\) alone, and one is \(3, 77, 95\): export it"
    with pytest.raises(UserError, match=cure):
        inference_model(model, image)
    tested_as(WINDOWS, model)
    assert same(model, tiny_model, image)  # and so one window at a time


def test_labels_can_not_be_averaged(exported, tmp_path):
    path = rewritten(exported, tmp_path, output=dict(name="labels", kind="labels"))
    with pytest.raises(
        UserError, match=r"gives labels, of which .* export it with --output logits"
    ):
        init_model(path)
