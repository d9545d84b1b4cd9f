"""The scripts of ``demo/``: what each writes, and what it refuses."""

import cv2
import numpy as np
import pytest

from mmseg_gc.apis import inference_model, init_model
from mmseg_gc.datasets import CityscapesDataset


@pytest.fixture
def image(camvid_root) -> str:
    return str(sorted((camvid_root / "val").iterdir())[0])


@pytest.fixture
def run_demo(run_tool, tiny_files, tmp_path, monkeypatch):
    """``run_demo(NAME, INPUT, …)`` runs it on the CPU in an empty folder with no screen."""
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)

    def run(name, given, *options):
        return run_tool(f"../demo/{name}.py", given, *tiny_files, "--device", "cpu", *options)

    return run


def mixed(image: str, labels: np.ndarray, palette, opacity: float) -> np.ndarray:
    """BGR as on the disk: the palette's colours over the image's."""
    colours = np.array(palette, float)[labels][..., ::-1]
    return opacity * colours + (1 - opacity) * cv2.imread(image).astype(float)


def test_image_demo(run_demo, tiny_files, image):
    model = init_model(*tiny_files)
    labels = inference_model(model, image).pred_sem_seg.data[0].numpy()
    assert len(np.unique(labels)) > 1
    for name, palette, flags in (
        ("own", model.dataset_meta["palette"], ["--opacity", 0.25]),
        ("other", CityscapesDataset.METAINFO["palette"], ["--palette", "cityscapes"]),
    ):
        finished = run_demo("image_demo", image, "--out-file", f"{name}.png", *flags)
        assert finished.status == 0, finished.err
        wanted = mixed(image, labels, palette, 0.25 if name == "own" else 0.5)
        assert np.abs(cv2.imread(f"{name}.png") - wanted).max() <= 1
    assert run_demo("image_demo", image, "--out-file", "n.png", "--with-labels").status == 0
    plain = mixed(image, labels, model.dataset_meta["palette"], 0.5)
    assert np.abs(cv2.imread("n.png") - plain).max() > 10  # names lie on top


def test_no_window_without_a_screen(run_demo, image):
    for name, flags, cure in (
        ("image_demo", [], "name a file by --out-file"),
        ("video_demo", ["--show"], "name a file by --output-file"),
    ):
        finished = run_demo(name, image, *flags)
        assert finished.status == 1 and f"no screen here to show images on: {cure}" in finished.err


def test_image_demo_with_a_screen(run_demo, image, monkeypatch):
    shown = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(
        "mmseg_gc.visualization.SegLocalVisualizer.show",
        lambda self, drawing, win_name, wait_time: shown.append((win_name, drawing.shape)),
    )
    assert run_demo("image_demo", image, "--title", "mine").status == 0
    assert shown == [("mine", (72, 96, 3))]


def test_an_unknown_palette(run_demo, image):
    finished = run_demo("image_demo", image, "--out-file", "x.png", "--palette", "nowhere")
    assert finished.status == 1 and "no data set 'nowhere' here; known: " in finished.err


@pytest.fixture
def video(tmp_path) -> str:
    writer = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 5, (64, 48))
    rng = np.random.default_rng(0)
    for _ in range(3):
        writer.write(cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (64, 48)))
    writer.release()
    return str(tmp_path / "v.avi")


def test_video_demo(run_demo, video, tiny_files):
    finished = run_demo("video_demo", video, "--output-file", "out.avi", "--opacity", 1)
    assert finished.status == 0, finished.err
    source, drawn = cv2.VideoCapture(video), cv2.VideoCapture("out.avi")
    assert drawn.get(cv2.CAP_PROP_FPS) == 5
    model = init_model(*tiny_files)
    for _ in range(3):
        frame, found = source.read()[1], drawn.read()[1]
        labels = inference_model(model, frame).pred_sem_seg.data[0].numpy()
        wanted = np.array(model.dataset_meta["palette"])[labels][..., ::-1]
        assert np.abs(found - wanted.astype(float)).mean() < 20  # JPEG blurs its borders
    assert not drawn.read()[0]
    more = ["--output-fps", 10, "--output-width", 32, "--output-height", 24]
    more += ["--output-fourcc", "XVID"]
    assert run_demo("video_demo", video, "--output-file", "small.avi", *more).status == 0
    small = cv2.VideoCapture("small.avi")
    facts = [cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT]
    assert [small.get(fact) for fact in facts] == [10, 32, 24]
    assert small.get(cv2.CAP_PROP_FOURCC) != drawn.get(cv2.CAP_PROP_FOURCC)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ([], "nothing would remain of the video: name --output-file, or --show it."),
        (["--output-file", "x.avi", "--output-fourcc", "MPEG2"], "'MPEG2' is no FourCC"),
    ],
)
def test_what_video_demo_refuses(run_demo, video, tmp_path, flags, told):
    finished = run_demo("video_demo", video, *flags)
    assert finished.status == 1 and told in finished.err
    assert [path.name for path in tmp_path.iterdir()] == ["v.avi"]


def test_image_demo_with_inferencer(run_tool, tiny_files, image, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config, weights = tiny_files
    common = [image, config, "--checkpoint", weights, "--device", "cpu"]
    script = "../demo/image_demo_with_inferencer.py"
    finished = run_tool(script, *common, "--out-dir", "out", "--dataset-name", "cityscapes")
    assert finished.status == 0, finished.err
    [ids], [drawn] = ((tmp_path / "out" / kind).iterdir() for kind in ("pred", "vis"))
    labels = inference_model(init_model(*tiny_files), image).pred_sem_seg.data[0].numpy()
    assert (cv2.imread(str(ids), cv2.IMREAD_UNCHANGED) == labels).all()
    wanted = mixed(image, labels, CityscapesDataset.METAINFO["palette"], 0.5)
    assert np.abs(cv2.imread(str(drawn)) - wanted).mean() < 10
    finished = run_tool(script, *common)
    assert finished.status == 1 and "nothing would remain of the labels" in finished.err


def test_rs_image_inference(run_demo, tiny_files, tmp_path):
    """Windows that touch and don't overlap are as good as images of their own."""
    large = np.random.default_rng(0).integers(0, 256, (10, 14, 3), np.uint8)
    large = cv2.resize(large, (160, 96), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(tmp_path / "large.png"), large)
    windows = ["--window-size", 80, 48, "--stride", 80, 48]
    out = tmp_path / "maps/large.tif"
    finished = run_demo(
        "rs_image_inference", tmp_path / "large.png", "--output-path", out, *windows
    )
    assert finished.status == 0, finished.err
    found = cv2.imread(str(out), cv2.IMREAD_UNCHANGED)
    model = init_model(*tiny_files)
    parts = [
        [
            inference_model(model, large[y : y + 48, x : x + 80]).pred_sem_seg.data[0].numpy()
            for x in (0, 80)
        ]
        for y in (0, 48)
    ]
    assert (found == np.block(parts)).mean() > 0.999
    whole = inference_model(model, large).pred_sem_seg.data[0].numpy()
    assert (found != whole).mean() > 0.01
    for flags, told in (
        (["--output-path", "x.jpg"], "x.jpg: ids need a file without loss"),
        (["--stride", 0, 1], "--window-size and --stride are pixels; give 1 or more"),
    ):
        refused = run_demo("rs_image_inference", tmp_path / "large.png", *flags)
        assert refused.status == 1 and told in refused.err
