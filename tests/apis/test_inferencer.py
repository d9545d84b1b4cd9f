"""Each argument of the inferencer does what it says, beside one that leaves it out."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmseg_gc.apis import MMSegInferencer, inference_model, init_model
from mmseg_gc.apis.inferencer import Labelled
from mmseg_gc.checkpoint import save_checkpoint
from mmseg_gc.config import load_config
from mmseg_gc.config.zoo import published
from mmseg_gc.errors import UserError

CONFIG = Path(__file__).parents[2] / "configs/gcnet/gcnet_r18-d8_1xb8-20k_camvid-360x480.py"
TINY = {
    "model.backbone.stem_channels": 8,
    "model.backbone.base_channels": 8,
    "model.decode_head.in_channels": 64,
    "model.decode_head.channels": 8,
    "model.auxiliary_head.in_channels": 32,
    "model.auxiliary_head.channels": 8,
    "test_dataloader.dataset.pipeline.1.scale": (96, 72),
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "w.pth"
    state = init_model(CONFIG, cfg_options=TINY).state_dict()
    state["decode_head.conv_seg.weight"].normal_()  # so that several classes win
    save_checkpoint(dict(state_dict=state), path)
    return str(path)


@pytest.fixture
def build(weights):
    def make(**options) -> MMSegInferencer:
        options = dict(device="cpu", show_progress=False) | options
        return MMSegInferencer(load_config(CONFIG, TINY), weights, **options)

    return make


@pytest.fixture
def image(camvid_root) -> str:
    return str(sorted((camvid_root / "val").iterdir())[0])


def test_several_views(build, weights, image):
    inferencer = build()
    model = init_model(CONFIG, weights, cfg_options=TINY)
    found = {views: inferencer(image, aug_test=views)["predictions"] for views in (False, True)}
    for views, labels in found.items():
        wanted = inference_model(model, image, aug_test=views).pred_sem_seg.data[0]
        assert np.array_equal(labels, wanted)
    assert (found[False] != found[True]).mean() > 0.01


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_precision_is_what_the_network_computes_in(build, image, precision, dtype):
    inferencer = build(precision=precision)
    seen = []
    inferencer.model.backbone.register_forward_hook(lambda *call: seen.append(call[2][0].dtype))
    inferencer(image)
    assert seen == [dtype]


def test_compiling_reaches_the_model(monkeypatch, build):
    asked = []
    monkeypatch.setattr(
        "mmseg_gc.apis.building.prepare_for_inference",
        lambda model, **options: asked.append(options) or model,
    )
    build(compile=True)
    assert asked == [dict(precision="fp32", compile=True, accelerate="auto")]


def test_what_comes_back(build, image):
    inferencer = build()
    plain = inferencer(image)
    assert plain["predictions"].shape == (72, 96) and plain["visualization"] == []
    sample = inferencer(image, return_datasamples=True)["predictions"]
    assert np.array_equal(sample.pred_sem_seg.data[0], plain["predictions"])
    assert inferencer(image, return_vis=True)["visualization"].shape == (72, 96, 3)


def test_how_strongly_labels_are_drawn(build, image):
    """Mixed by hand: the palette's colours over the image's, both RGB."""
    inferencer = build()
    labels = inferencer(image)["predictions"]
    colours = np.array(inferencer.model.dataset_meta["palette"])[labels]
    pixels = cv2.imread(image)[..., ::-1].astype(float)
    for opacity in (0.25, 0.8):
        drawn = inferencer(image, return_vis=True, opacity=opacity, with_labels=False)
        mixed = opacity * colours + (1 - opacity) * pixels
        assert np.abs(drawn["visualization"] - mixed).max() <= 1
    named = inferencer(image, return_vis=True)["visualization"]
    assert not np.array_equal(named, drawn["visualization"])  # names of classes lie on top


def test_names_and_colours_of_the_drawing(build):
    own = dict(classes=[f"c{i}" for i in range(11)], palette=[[i, 0, 0] for i in range(11)])
    assert build(**own).visualizer.dataset_meta == own
    other = build(dataset_name="CityscapesDataset").visualizer.dataset_meta
    assert (other["classes"][0], other["palette"][0]) == ("road", [128, 64, 128])
    assert build().visualizer.dataset_meta["classes"][0] == "Sky"


def test_where_files_go(build, image, tmp_path):
    inferencer = build()
    inferencer(image, out_dir=str(tmp_path), img_out_dir="drawn", pred_out_dir="ids")
    name = Path(image).stem
    files = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*"))
    assert files == [f"drawn/{name}.jpg", f"ids/{name}.png"]
    inferencer(image, out_dir=str(tmp_path / "a"), img_out_dir="")
    inferencer(image, out_dir=str(tmp_path / "b"), pred_out_dir="")
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["pred"]
    assert [p.name for p in (tmp_path / "b").iterdir()] == ["vis"]


def test_showing(monkeypatch, build, image):
    inferencer, shown = build(), []
    monkeypatch.setattr(
        inferencer.visualizer, "show", lambda *a, **options: shown.append(options["wait_time"])
    )
    inferencer(image)
    inferencer(image, show=True, wait_time=3)
    assert shown == [3]


@pytest.mark.parametrize("shown", [True, False])
def test_the_bar(build, image, capsys, shown):
    build(show_progress=shown)(image)
    assert ("1/1" in capsys.readouterr().err) == shown


@pytest.fixture
def sizes(tmp_path):
    """Images of 48 x 64, twice, one that is none, 32 x 64, and 48 x 64, by name."""
    rng = np.random.default_rng(0)
    for number, size in enumerate([(48, 64), (48, 64), None, (32, 64), (48, 64)]):
        file = tmp_path / f"{number}.png"
        if size is None:
            file.write_text("no image")
        else:
            cv2.imwrite(str(file), rng.integers(0, 256, (*size, 3), np.uint8))
    return [str(path) for path in sorted(tmp_path.iterdir())]


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_images_of_one_size_go_together(build, weights, sizes, monkeypatch, batch_size):
    config = load_config(CONFIG, TINY)
    config.test_dataloader.dataset.pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="PackSegInputs"),
    ]
    inferencer = MMSegInferencer(
        config, weights, device="cpu", show_progress=False, batch_size=batch_size
    )
    seen, step = [], inferencer.model.test_step
    monkeypatch.setattr(
        inferencer.model, "test_step", lambda data: seen.append(len(data["inputs"])) or step(data)
    )
    found = list(inferencer.stream(sizes))
    assert seen == {1: [1, 1, 1, 1], 2: [2, 1, 1], 5: [2, 1, 1]}[batch_size]
    assert [bool(result.error) for result in found] == [False, False, True, False, False]
    assert "2.png" in found[2].error
    for path, result in zip(sizes, found, strict=True):
        if not result.error:
            alone = inference_model(inferencer.model, path).pred_sem_seg.data[0].numpy()
            assert (result.labels == alone).mean() > 0.999
    seen.clear()
    inferencer(sizes[:2], batch_size=2)  # of one call, which beats the inferencer's
    assert seen == [2]
    for wrong in (lambda: build(batch_size=0), lambda: inferencer(sizes, batch_size=-1)):
        with pytest.raises(UserError, match="is no number of images; give 1 or more"):
            wrong()


def test_a_batch_that_fails_is_labelled_one_by_one(build, sizes, monkeypatch):
    inferencer = build(batch_size=2)
    step = inferencer.model.test_step

    def too_large(data):
        if len(data["inputs"]) > 1:
            raise MemoryError
        return step(data)

    monkeypatch.setattr(inferencer.model, "test_step", too_large)
    assert [result.error for result in inferencer.stream(sizes[:2])] == ["", ""]


def test_a_model_by_its_name(monkeypatch, tmp_path):
    """Its weights are fetched from where the metafile says, and refused if they are others."""
    name = "gcnet_r50-d8_4xb2-40k_cityscapes-512x1024"
    asked = []
    monkeypatch.setattr(
        "mmseg_gc.apis.inferencer.init_model", lambda *args, **_: asked.append(args)
    )
    for given in (name, "gcnet_r50-d8_512x1024_40k_cityscapes"):  # and that of 0.x
        with pytest.raises(AttributeError):  # there is no model
            MMSegInferencer(given, device="cpu")
        assert asked.pop() == (given, published()[name].weights)
        with pytest.raises(AttributeError):
            MMSegInferencer(given, "own.pth", device="cpu")
        assert asked.pop() == (given, "own.pth")
    assert published()[name].weights.endswith("-4b0fd17b.pth")
    assert name in MMSegInferencer.list_models("r50 40k")
    assert not [n for n in MMSegInferencer.list_models("r50 40k") if "r101" in n or "80k" in n]


def test_what_is_told_of_a_model_that_can_not_be_had(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("mmseg_gc.checkpoint.download.open_url", no_network)
    with pytest.raises(UserError, match="did you mean '.*40k.*' or '.*' or '.*'"):
        MMSegInferencer("gcnet_r50-d8_4xb2-40k_cityscapes-512x512")
    with pytest.raises(UserError, match="camvid-360x480 has no published weights: name a chec"):
        MMSegInferencer(CONFIG.stem)
    name = "gcnet_r50-d8_4xb2-40k_cityscapes-512x1024"
    with pytest.raises(UserError, match=r"can't be fetched to .* \(.*unreachable\).*put the file"):
        MMSegInferencer(name, device="cpu")
    folder = tmp_path / "hub/checkpoints"
    (folder / published()[name].weights.rsplit("/", 1)[1]).write_bytes(b"another file")
    with pytest.raises(UserError, match="SHA-256 .* where its name promises 4b0fd17b"):
        MMSegInferencer(name, device="cpu")


def no_network(*args, **options):
    raise OSError("network is unreachable")


def test_the_former_name_of_a_drawing_warns():
    drawn = Labelled("one.jpg", drawing=np.zeros((2, 3, 3), np.uint8))
    with pytest.warns(FutureWarning, match="drawing"):
        assert drawn.picture is drawn.drawing
