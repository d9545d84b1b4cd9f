"""How much time `mmseg_gc` takes beside its network: help, one image, a video.

Prints a table: `mmseg_gc --help`; `mmseg_gc predict` of one image from start to file, beside the
import of torch and one forward pass, which nothing can do without; and a video's frames a second
beside those of the network alone. Each is the fastest of --rounds, for others may use the machine.

    python tools/benchmarks/predict_speed.py own.py work_dirs/own/iter_2000.pth
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from prettytable import PrettyTable

NETWORK = """
import sys, time
import torch
from mmseg_gc.apis import init_model
model = init_model(*sys.argv[1:3], device="cuda:0" if torch.cuda.is_available() else "cpu")
height, width, frames, batch = map(int, sys.argv[3:])
from mmseg_gc.apis.inference import collate
from mmseg_gc.apis.pixels import Loader
import numpy as np
sample = Loader(model)(np.zeros((height, width, 3), np.uint8))[0]
def run(count):
    start = time.perf_counter()
    for _ in range(count):
        result = model.test_step(collate([sample] * batch, aug_test=False))
    result[0].pred_sem_seg.data.cpu()
    return time.perf_counter() - start
with torch.no_grad():
    print(run(1), run(frames // batch))
"""


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config")
    parser.add_argument("checkpoint")
    parser.add_argument("--size", type=int, nargs=2, default=(360, 480), metavar=("H", "W"))
    parser.add_argument("--frames", type=int, default=40, help="of the video")
    parser.add_argument("--batch-size", type=int, default=1, help="frames at once")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args(arguments)


def seconds(command: Sequence[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def write_inputs(folder: Path, size: Sequence[int], frames: int) -> tuple[str, str]:
    """An image and a video of blurred noise, of ``size`` (h, w)."""
    height, width = size
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (height, width + frames, 3), dtype=np.uint8)
    noise = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 8), None, 0, 255, cv2.NORM_MINMAX)
    image, video = str(folder / "image.jpg"), str(folder / "video.mp4")
    cv2.imwrite(image, noise[:, :width])
    writer = cv2.VideoWriter(video, cv2.VideoWriter_fourcc(*"mp4v"), 10, (width, height))
    for place in range(frames):
        writer.write(noise[:, place : place + width])
    writer.release()
    return image, video


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Seconds of each, the fastest of all rounds, which take turns."""
    program = [sys.executable, "-m", "mmseg_gc"]
    model = [args.config, args.checkpoint]
    best: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image, video = write_inputs(folder, args.size, args.frames)
        out = ["--batch-size", str(args.batch_size), "-o", str(folder / "out")]
        network = [sys.executable, "-c", NETWORK, *model, *map(str, args.size)]
        network += [str(args.frames), str(args.batch_size)]
        for _ in range(args.rounds):
            found = dict(
                help=seconds([*program, "--help"]),
                torch=seconds([sys.executable, "-c", "import torch"]),
                image=seconds([*program, "predict", *model, image, *out]),
                video=seconds([*program, "predict", *model, video, *out]),
            )
            told = subprocess.run(network, check=True, capture_output=True, text=True).stdout
            found["forward"], found["network"] = map(float, told.split()[-2:])
            for key, value in found.items():
                best[key] = min(value, best.get(key, value))
    return best


def table(found: dict[str, float], frames: int) -> PrettyTable:
    must = found["torch"] + found["forward"]
    drawn = found["video"] - found["image"] + found["forward"]  # without start and first frame
    rows = PrettyTable(["what", "seconds", "beside", "share", "aim"])
    rows.align = "r"
    rows.align["what"] = rows.align["beside"] = "l"
    rows.add_row(["mmseg_gc --help", f"{found['help']:.2f}", "", "", "< 0.5"])
    image = found["image"]
    beside = f"import torch + a forward: {must:.2f}"
    rows.add_row(["predict, one image", f"{image:.2f}", beside, f"{image / must:.2f}", "<= 1.3"])
    beside = f"the network alone: {found['network']:.2f}"
    rate = f"{found['network'] / drawn:.2f}"
    rows.add_row([f"predict, {frames} frames", f"{drawn:.2f}", beside, rate, ">= 0.9"])
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    print(table(measure(args), args.frames))


if __name__ == "__main__":
    main()
