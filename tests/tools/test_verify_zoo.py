"""The published rows agree with docs/zoo.md and configs; what measures them, on stand-ins."""

import functools
import hashlib
import importlib
import json
import os
import re
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import yaml

from mmseg_gc.apis import init_model
from mmseg_gc.checkpoint import save_checkpoint
from mmseg_gc.checkpoint.download import hash_prefix
from mmseg_gc.config import load_config

ROOT = Path(__file__).parents[2]
METAFILE = ROOT / "configs/gcnet/metafile.yaml"
MODELS = yaml.safe_load(METAFILE.read_text())["Models"]
TEST_PIPELINE = """[
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(128, 64), keep_ratio=True),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]"""
STAND_IN = """
_base_ = "{base}"
model = dict(
    data_preprocessor=dict(size=(32, 64)),
    backbone=dict(depth=18),
    decode_head=dict(in_channels=512, channels=8),
    auxiliary_head=dict(in_channels=256, channels=8),
)
test_pipeline = {pipeline}
test_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline, {dataset})
)
"""
BASE = ROOT / "configs/gcnet/gcnet_r50-d8_4xb2-40k_cityscapes-512x1024.py"


def rows_of_the_page() -> dict[str, list[str]]:
    """The cells of docs/zoo.md's table of published rows, by config name."""
    lines = (ROOT / "docs/zoo.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines]
    return {Path(link(row[8])).stem: row for row in rows if len(row) == 10 and "(" in row[8]}


def link(cell: str) -> str:
    return re.search(r"\]\((.*)\)", cell)[1]


def number(cell: str) -> float | None:
    return None if cell == "-" else float(cell)


METAFILES = sorted((ROOT / "configs").glob("*/metafile.yaml"))


def test_the_index_names_all_metafiles():
    index = yaml.safe_load((ROOT / "model-index.yml").read_text())
    assert [ROOT / path for path in index["Import"]] == METAFILES
    assert METAFILE in METAFILES


@pytest.mark.parametrize("path", METAFILES, ids=lambda path: path.parent.name)
def test_rows_of_a_family_say_what_their_names_do(path, tool):
    """Data set, crop, iterations, batch, backbone: mmsegmentation's names hold them all."""
    rows = tool("verify_zoo").read_rows(path)
    assert len({row.weights for row in rows}) == len({row.name for row in rows}) == len(rows)
    models = yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))["Models"]
    for row, model in zip(rows, models, strict=True):
        metadata = model["Metadata"]
        assert row.config == f"configs/{path.parent.name}/{row.name}.py"
        assert (ROOT / row.config).is_file() and hash_prefix(row.weights)
        assert 10 < row.published["mIoU"] < 100
        assert metadata["Training Data"] == model["Results"][0]["Dataset"]
        # One published row, of resnest, has no hyphen before its crop.
        found = re.search(r"_(\d)xb(\d)-.*?(\d+)k_([a-z0-9]+?)-?(\d{3,4}x\d+)$", row.name)
        assert found is not None, row.name
        gpus, batch, thousands, dataset, crop = found.groups()
        assert metadata["Crop Size"] == crop
        assert metadata["Iterations"] == int(thousands) * 1000
        assert dataset == {"Pascal VOC 2012 + Aug": "voc12aug"}.get(
            metadata["Training Data"], metadata["Training Data"].lower()
        )
        depth = re.search(r"_r(\d+)", row.name)
        known = rf"R-{depth[1]}b?(-D\d+)?(-MG124)?" if depth else r"S-101-D8|M-V2-D8"
        assert re.fullmatch(known, metadata["Architecture"][0])


OF_OTHER_HEADS = [path for path in METAFILES if path != METAFILE]


@pytest.mark.parametrize("path", OF_OTHER_HEADS, ids=lambda path: path.parent.name)
def test_configs_of_a_family_are_short(path):
    for config in path.parent.glob("*.py"):
        assert len(config.read_text().splitlines()) <= 15, config.name


def test_metafile_and_page_have_the_same_rows():
    names = [model["Name"] for model in MODELS]
    assert len(names) == len(set(names)) == 16
    assert [name for name in rows_of_the_page() if name in names] == names


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model["Name"])
def test_a_row_agrees_with_page_and_config(model):
    metadata, (result,) = model["Metadata"], model["Results"]
    (dataset, backbone, crop, iterations, memory, speed, miou, aug, config, weights) = (
        rows_of_the_page()[model["Name"]]
    )
    assert dataset == metadata["Training Data"] == result["Dataset"]
    assert result["Metrics"] == {"mIoU": float(miou), "mIoU(ms+flip)": float(aug)}
    assert metadata.get("Memory (GB)") == number(memory)
    assert metadata.get("Images per Second (V100)") == number(speed)
    assert (
        model["Config"] == link(config).removeprefix("../") == f"configs/gcnet/{model['Name']}.py"
    )
    assert model["Weights"] == link(weights) and hash_prefix(model["Weights"])
    assert metadata["Architecture"] == [backbone, "GCNet"]
    assert metadata["Crop Size"] == crop.replace("×", "x")
    assert metadata["Iterations"] == int(iterations.removesuffix("k")) * 1000

    cfg = load_config(ROOT / model["Config"])
    height, width = cfg.model.data_preprocessor.size
    gpus, batch = map(int, re.search(r"_(\d)xb(\d)-", model["Name"]).groups())
    short = {"Pascal VOC 2012 + Aug": "voc12aug"}.get(dataset, dataset.lower())
    assert cfg.train_cfg.max_iters == metadata["Iterations"]
    assert metadata["Crop Size"] == f"{height}x{width}"
    assert backbone == f"R-{cfg.model.backbone.depth}-D8"
    assert cfg.train_dataloader.batch_size == batch and metadata["Batch Size"] == gpus * batch
    assert model["Name"] == (
        f"gcnet_r{cfg.model.backbone.depth}-d8_{gpus}xb{batch}-{cfg.train_cfg.max_iters // 1000}k_"
        f"{short}-{height}x{width}"
    )


@pytest.fixture
def tool(monkeypatch):
    """``tool("verify_zoo")`` imports that file of tools/."""
    for folder in ("tools/benchmarks", "tools"):
        monkeypatch.syspath_prepend(str(ROOT / folder))
    return importlib.import_module


@pytest.fixture
def zoo(tmp_path, cityscapes_root, run_tool, monkeypatch):
    """A server with stand-in weights, and what to call the tool with."""
    return Zoo(tmp_path, cityscapes_root.parent, run_tool, monkeypatch)


class Zoo:
    def __init__(self, folder, data_root, run_tool, monkeypatch):
        self.folder = folder
        self.data_root = data_root
        self._run_tool = run_tool
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # --device sets it; this restores it
        # A runner has its config laid out four times, which takes longer than all it does here.
        monkeypatch.setattr("yapf.yapflib.yapf_api.FormatCode", lambda text, **_: (text, True))
        self.served = folder / "served" / "v0.5"
        self.served.mkdir(parents=True)
        self.models = []

    def add(self, name: str, weights: str, *, dataset: str = "", published: float = 50) -> None:
        config = self.folder / f"{name}.py"
        config.write_text(STAND_IN.format(base=BASE, pipeline=TEST_PIPELINE, dataset=dataset))
        self.models.append(
            {
                "Name": name,
                "Config": str(config),
                "Weights": f"https://download.example.org/v0.5/{weights}",
                "Metadata": {"Memory (GB)": 5.8},
                "Results": [{"Metrics": {"mIoU": published, "mIoU(ms+flip)": published}}],
            }
        )

    def weights(self) -> str:
        """The name of a served weight file that fits every row."""
        torch.manual_seed(0)
        config = self.folder / "for_weights.py"
        config.write_text(STAND_IN.format(base=BASE, pipeline=TEST_PIPELINE, dataset=""))
        path = self.served / "stand_in.pth"
        save_checkpoint({"state_dict": init_model(config).state_dict()}, path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return path.rename(self.served / f"stand_in-{digest[:8]}.pth").name

    def verify(self, *arguments):
        metafile = self.folder / "metafile.yaml"
        metafile.write_text(yaml.safe_dump({"Models": self.models}))
        finished = self._run_tool(
            "verify_zoo.py", "--metafile", metafile, "--data-root", self.data_root,
            "--cache", self.folder / "cache", "--work-dir", self.folder / "work",
            "--json", self.folder / "out.json", "--device", "cpu", *arguments,
        )  # fmt: skip
        assert "Traceback" not in finished.err, finished.err
        return finished

    def results(self) -> list[dict]:
        return json.loads((self.folder / "out.json").read_text())["rows"]


@pytest.fixture
def base_url(zoo):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    handler = functools.partial(Quiet, directory=zoo.served.parent)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs=dict(poll_interval=0.02))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.slow
def test_published_and_measured_side_by_side(zoo, base_url):
    weights = zoo.weights()
    (zoo.served / "damaged-00000000.pth").write_bytes(b"not what the name says")
    zoo.add("no-data", weights, dataset='data_root="data/nowhere/"')
    zoo.add("no-file", "gone-12345678.pth")
    zoo.add("wrong-hash", "damaged-00000000.pth")
    zoo.add("good", weights)
    finished = zoo.verify("--base-url", base_url)
    assert finished.status == 1
    rows = {row["name"]: row for row in zoo.results()}
    for name, sentence in (
        ("no-data", f"{zoo.data_root / 'nowhere'}"),
        ("no-file", "404"),
        ("wrong-hash", "promises 00000000"),
        ("good", f"mIoU differs by -.*tools/test.py {zoo.folder}"),
    ):
        assert re.search(sentence, rows[name]["error"])
        assert finished.out.count(f"\n{name}: {rows[name]['error']}\n") == 1
        assert name == "good" or rows[name]["measured"] == {}

    measured = rows["good"]["measured"]
    assert 0 < measured["mIoU"] < 20 and 0 < measured["mIoU(ms+flip)"] < 20
    assert 0 < measured["Memory (GB)"] < 2
    assert "Images per Second (V100)" not in measured  # two images are all warm-up
    line = next(line for line in finished.out.splitlines() if line.startswith("| good"))
    cells = [cell.strip() for cell in line.strip("| ").split("|")]
    expected = [50, measured["mIoU"], measured["mIoU"] - 50]
    expected += [50, measured["mIoU(ms+flip)"], measured["mIoU(ms+flip)"] - 50]
    assert list(map(float, cells[1:7])) == pytest.approx(expected)
    assert float(cells[7]) == 5.8 and float(cells[8]) == measured["Memory (GB)"]
    assert cells[9:] == ["-", "-"]

    # The file in the cache serves the next run, whose host is closed. A part of the images has
    # another score, so that its difference doesn't count.
    arguments = ("--rows", "good", "--base-url", "http://127.0.0.1:1", "--skip-aug", "--limit", "1")
    finished = zoo.verify(*arguments)
    assert finished.status == 0 and "--limit 1" in finished.out
    assert "1/1" in finished.err  # the bar over images
    (row,) = zoo.results()
    assert row["measured"].keys() == {"mIoU", "Memory (GB)"}
    assert row["measured"]["mIoU"] < 49


def test_no_network(zoo):
    zoo.add("row", "row-12345678.pth")
    finished = zoo.verify("--base-url", "http://127.0.0.1:1")
    assert finished.status == 1
    assert re.search(
        r"^row: http://127.0.0.1:1/v0.5/row-12345678.pth can't .*refused", finished.out, re.M
    )


def test_wrong_arguments(zoo, run_tool):
    for arguments, sentence in (
        (["--rows", "r5*"], "--rows r5* fits no row; there are gcnet_r50"),
        (["--limit", "0"], "--limit 0"),
        (["--device", "tpu"], "--device tpu"),
        (["--metafile", "gone.yaml"], "gone.yaml can't be read"),
        (["--metafile", ROOT / "model-index.yml"], "model-index.yml is no list of models"),
    ):
        finished = run_tool("verify_zoo.py", *arguments)
        assert finished.status == 1 and sentence in finished.err
        assert finished.err.count("\n") == 1


def test_the_list_needs_neither_data_nor_network(run_tool):
    finished = run_tool("verify_zoo.py", "--list", "--rows", "*r101*ade20k*")
    assert finished.status == 0
    assert [float(score) for score in re.findall(r"4[0-9]\.\d\d", finished.out)] == [
        42.82,
        44.54,
        43.69,
        45.21,
    ]


@pytest.mark.parametrize(
    ("measured", "fails"),
    [
        ({"mIoU": 77.74, "mIoU(ms+flip)": 78.51}, False),
        ({"mIoU": 77.64}, False),
        ({}, False),
        ({"mIoU": 77.75}, "mIoU differs by +0.06"),
        ({"mIoU": 77.69, "mIoU(ms+flip)": 78.50}, "mIoU(ms+flip) differs by -0.06"),
        ({"mIoU": float("nan")}, "mIoU differs by +nan"),
    ],
)
def test_the_tolerance_is_inclusive(tool, measured, fails):
    row = tool("verify_zoo").Row("r", "r.py", "", {"mIoU": 77.69, "mIoU(ms+flip)": 78.56}, measured)
    tool("verify_zoo").judge(row, tolerance=0.05)
    assert row.error.startswith(fails) if fails else row.error is None


def test_the_weights_of_another_host(tool):
    address = tool("verify_zoo").address
    assert address("https://a.org/v0.5/w.pth", None) == "https://a.org/v0.5/w.pth"
    assert address("https://a.org/v0.5/w.pth", "http://b:80/x/") == "http://b:80/x/v0.5/w.pth"


def test_the_device_is_the_only_one_that_torch_sees(tool, monkeypatch):
    choose = tool("verify_zoo").choose_device
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for visible, name, expected in (
        ("4,7", "cuda:1", "7"),
        ("4,7", "cuda", "4,7"),
        ("4,7", "cpu", ""),
        ("4,7", "cuda:2", ""),
        (None, "cuda:1", "1"),
    ):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        choose(name)
        assert os.environ["CUDA_VISIBLE_DEVICES"] == expected


def test_the_clock_leaves_out_the_warm_up(tool, monkeypatch):
    class Model:
        def test_step(self, data):
            return data

    seconds = iter([0, 100, 100, 200, 200, 300, 300, 400, 400, 500, 500, 500.25, 600, 600.75])
    model = Model()
    clock = tool("zoo_measure").StepClock(model)
    monkeypatch.setattr(clock, "_now", lambda: next(seconds))
    for _ in range(7):
        assert model.test_step([1, 2]) == [1, 2]
    assert clock.images_per_second() == 4
