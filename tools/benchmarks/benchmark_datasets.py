"""Time the Cityscapes converter against cityscapesscripts' own, and the doctor against cv2.imread.

Both contestants of a pair work on the same generated 2048 x 1024 files in turns; the medians of all
rounds count. The two converters' label maps are compared pixel for pixel.
"""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from mmseg_gc.cli import cli
from mmseg_gc.errors import UserError

TOOLS = Path(__file__).resolve().parents[1]
SIZE = 2048, 1024
# Share of the width that an object takes, vertices and number of polygons, about as in gtFine: some
# 60 objects, few large ones of many vertices, many small ones.
OBJECTS = {
    "vegetation": (0.35, 120, 6), "building": (0.4, 60, 5), "terrain": (0.2, 40, 2),
    "car": (0.08, 35, 9), "person": (0.02, 30, 6), "pole": (0.01, 6, 16), "fence": (0.1, 20, 2),
    "traffic sign": (0.012, 9, 7), "traffic light": (0.01, 12, 3), "bicycle": (0.03, 45, 2),
    "ego vehicle": (0.9, 60, 1), "license plate": (0.01, 4, 2),
}  # fmt: skip
# The owners' tool as they give it works in one process; for several, its function does in a pool.
THEIRS_IN_A_POOL = """
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from cityscapesscripts.preparation.json2labelImg import json2labelImg

if __name__ == "__main__":
    files = [str(path) for path in sorted(Path(sys.argv[1]).glob("gtFine/*/*/*_polygons.json"))]
    targets = [file.replace("_polygons.json", "_labelTrainIds.png") for file in files]
    with ProcessPoolExecutor(int(sys.argv[2])) as pool:
        list(pool.map(json2labelImg, files, targets, ["trainIds"] * len(files), chunksize=4))
"""


def parse_args():
    from mmseg_gc.arguments import ArgumentParser

    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=200, help="polygon files to convert")
    parser.add_argument("--pictures", type=int, default=20, help="pairs that the doctor reads")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nproc", type=int, default=os.cpu_count(), help="of both converters")
    return parser.parse_args()


def polygon_file(rng: np.random.Generator) -> dict:
    """One image's annotation: wobbly outlines over sky and road."""
    width, height = SIZE
    objects = []
    for label, (left, top) in (("sky", (0, 0)), ("road", (0, 500)), ("sidewalk", (0, 480))):
        edge = np.linspace(0, width, 80), top + 450 + rng.normal(0, 25, 80).cumsum() / 4
        outline = [(left, top), *zip(*edge, strict=True), (width, top)]
        objects.append((label, outline))
    for label, (share, vertices, count) in OBJECTS.items():
        for _ in range(count):
            angle = np.sort(rng.uniform(0, 2 * np.pi, vertices))
            radius = share * width / 2 * rng.uniform(0.5, 1.2) * rng.uniform(0.7, 1.1, vertices)
            x = rng.uniform(0, width) + radius * np.cos(angle)
            y = rng.uniform(0.3, 0.8) * height + 0.6 * radius * np.sin(angle)
            objects.append((label, zip(x.clip(0, width - 1), y.clip(0, height - 1), strict=True)))
    return {
        "imgHeight": height,
        "imgWidth": width,
        "objects": [
            {"label": label, "polygon": [[int(x), int(y)] for x, y in outline]}
            for label, outline in objects
        ],
    }


def write_polygons(root: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    folder = root / "gtFine" / "train" / "aachen"
    folder.mkdir(parents=True)
    for frame in range(count):
        path = folder / f"aachen_{frame:06d}_000019_gtFine_polygons.json"
        path.write_text(json.dumps(polygon_file(rng)))


def timed(command: list, env: dict) -> tuple[float, float]:
    """Seconds of wall clock and of processor time of a command."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    finished = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=env)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if finished.returncode:
        raise UserError(f"{command[1]} failed: {finished.stderr.strip().splitlines()[-1]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def label_maps(root: Path) -> dict[str, Path]:
    return {path.name: path for path in root.rglob("*_labelTrainIds.png")}


def compare_converters(root: Path, args) -> list[list]:
    """Rows of the table; leaves our label maps in ``root``."""
    theirs_root = root.with_name("theirs")
    shutil.copytree(root, theirs_root)
    env = os.environ | {"CITYSCAPES_DATASET": str(theirs_root)}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    ours = [sys.executable, TOOLS / "convert_datasets/cityscapes.py", root, "--nproc", args.nproc]
    theirs = [sys.executable, "-m", "cityscapesscripts.preparation.createTrainIdLabelImgs"]
    if args.nproc > 1:
        theirs = [sys.executable, "-c", THEIRS_IN_A_POOL, theirs_root, args.nproc]
    times = {"ours": [], "theirs": []}
    for _ in range(args.rounds):
        for name, command, folder in (("ours", ours, root), ("theirs", theirs, theirs_root)):
            for path in label_maps(folder).values():
                path.unlink()
            times[name].append(timed(command, env))
    written, expected = label_maps(root), label_maps(theirs_root)
    assert len(written) == args.files and written.keys() == expected.keys()
    for name, path in written.items():
        a, b = (cv2.imread(str(p), cv2.IMREAD_UNCHANGED) for p in (path, expected[name]))
        assert np.array_equal(a, b), name
    rows = []
    for index, clock in enumerate(("wall", "processor")):
        mine, other = (
            args.files / statistics.median(entry[index] for entry in times[name])
            for name in ("ours", "theirs")
        )
        rows.append([f"conversion, files/s, {clock}", mine, other, mine / other])
    return rows


def write_images(root: Path, count: int, suffix: str) -> list[tuple[str, str]]:
    """Images of the first labels, with the grain of a camera."""
    rng = np.random.default_rng(0)
    colors = rng.integers(40, 200, (256, 1, 3)).astype(np.uint8)
    folder = root / f"images{suffix}"
    folder.mkdir()
    pairs = []
    for path in sorted(label_maps(root).values())[:count]:
        label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        noise = cv2.GaussianBlur(rng.normal(0, 9, (*label.shape, 3)), (3, 3), 0)
        image = (cv2.applyColorMap(label, colors) + noise).clip(0, 255).astype(np.uint8)
        target = folder / f"{path.stem}{suffix}"
        cv2.imwrite(str(target), image)
        pairs.append((str(target), str(path)))
    return pairs


def cpu_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def compare_reading(files: list[tuple[str, str]], rounds: int) -> tuple[float, float]:
    """Pairs a second and core of the doctor and of `cv2.imread`."""
    from mmseg_gc.cli.dataset_doctor.reading import Decoding, Pair, examine, in_parallel
    from mmseg_gc.datasets import CityscapesDataset

    rules = CityscapesDataset(lazy_init=True).label_rules
    pairs = [Pair("train", image, label, rules, Decoding()) for image, label in files]

    def doctor() -> None:
        reports = list(in_parallel(examine, pairs, 1, "reading"))
        assert not any(report.faults for report in reports)

    def imread() -> None:
        for image, label in files:
            cv2.imread(image)
            cv2.imread(label, cv2.IMREAD_UNCHANGED)

    times = {doctor: [], imread: []}
    for _ in range(rounds + 1):
        for work, seconds in times.items():
            seconds.append(cpu_seconds(work))
    # The first round warms the caches of the disk.
    mine, other = (len(files) / statistics.median(seconds[1:]) for seconds in times.values())
    return mine, other


@cli
def main() -> None:
    args = parse_args()
    from prettytable import PrettyTable

    sys.path.insert(0, str(TOOLS))
    cv2.setNumThreads(1)
    table = PrettyTable(["what", "ours", "theirs", "ours / theirs"])
    table.align = "r"
    table.align["what"] = "l"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "ours"
        write_polygons(root, args.files)
        rows = compare_converters(root, args)
        for suffix in (".png", ".jpg"):
            files = write_images(root, args.pictures, suffix)
            mine, other = compare_reading(files, args.rounds)
            rows.append(
                [f"doctor and imread, {suffix[1:]} pairs/s a core", mine, other, mine / other]
            )
    table.add_rows([[what, *(f"{figure:.2f}" for figure in figures)] for what, *figures in rows])
    print(f"{args.files} polygon files, {args.nproc} processes, {args.rounds} rounds, medians")
    print(table)


if __name__ == "__main__":
    main()
