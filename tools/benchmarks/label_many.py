"""Label many images in one call, one broken in the middle, killed once and rerun: what is left.

Prints one line of JSON: whole results, exit statuses, whether the broken image was named, and the
peak of memory in MiB above a process that has loaded the model. Exit status 1 if any is wrong.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).parents[2]
NUM_DISTINCT = 8  # the rest are links: the disk needn't hold thousands
LOADED = """
import sys
from mmseg_gc.apis import MMSegInferencer
MMSegInferencer(sys.argv[1], sys.argv[2], device=sys.argv[3])
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config")
    parser.add_argument("checkpoint")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--size", type=int, nargs=2, default=(1024, 2048), metavar=("H", "W"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--max-mib", type=int, default=1200, help="bound on the memory")
    parser.add_argument("--work-dir", help="default: a folder that is removed afterwards")
    return parser.parse_args()


def draw_images(folder: Path, count: int, size: tuple[int, int]) -> Path:
    """Write ``count`` images in ten folders, and return the broken one, the middle's."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{number % 10}" / f"{number:06d}.png" for number in range(count)]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        if number < NUM_DISTINCT:
            coarse = rng.integers(0, 256, (size[0] // 16 + 1, size[1] // 16 + 1, 3), np.uint8)
            cv2.imwrite(str(path), cv2.resize(coarse, size[::-1]))
        else:
            os.link(paths[number % NUM_DISTINCT], path)
    broken = paths[count // 2]
    content = broken.read_bytes()
    broken.unlink()
    broken.write_bytes(content[: len(content) // 2])
    return broken


def run(command: list[str], log: Path, *, kill_when: Path | None = None, after: int = 0) -> tuple:
    """Run ``command``: its exit status and its peak of memory in MiB.

    It is killed when there are ``after`` files below ``kill_when``.
    """
    with open(log, "wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
        running = os.WEXITED | os.WNOHANG | os.WNOWAIT
        while kill_when and os.waitid(os.P_PID, process.pid, running) is None:
            if sum(1 for _ in kill_when.rglob("*.png")) >= after:
                process.kill()
                break
            time.sleep(0.05)
        _, status, usage = os.wait4(process.pid, 0)
    return os.waitstatus_to_exitcode(status), usage.ru_maxrss // 1024


def measure(args: argparse.Namespace, folder: Path) -> dict:
    broken = draw_images(folder / "in", args.images, tuple(args.size))
    model = [args.config, args.checkpoint]
    _, loaded = run([sys.executable, "-c", LOADED, *model, args.device], folder / "loaded.log")
    out = folder / "out"
    label = [sys.executable, str(ROOT / "tools/label.py"), *model, str(folder / "in")]
    label += ["--out-dir", str(out), "--device", args.device, "--skip-existing"]
    first, peak = run(
        label, folder / "first.log", kill_when=out / "pred", after=max(1, args.images // 3)
    )
    done = sum(1 for _ in out.rglob("*.png"))
    second, later_peak = run(label, folder / "second.log")
    maps = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in _some(out / "pred", 50)]
    return dict(
        images=args.images,
        before_the_kill=done,
        statuses=[first, second],
        results={
            kind: sum(1 for p in (out / kind).rglob("*") if p.is_file()) for kind in ("pred", "vis")
        },
        maps_of_right_size=all(one is not None and one.shape == tuple(args.size) for one in maps),
        broken_is_named=str(broken) in (folder / "second.log").read_text(),
        model_mib=loaded,
        mib_above_model=max(peak, later_peak) - loaded,
    )


def _some(folder: Path, count: int) -> list[Path]:
    paths = sorted(folder.rglob("*.png"))
    return paths[:: max(1, len(paths) // count)]


def is_right(found: dict, max_mib: int) -> bool:
    whole = found["images"] - 1
    return (
        found["statuses"] == [-9, 1]
        and 0 < found["before_the_kill"] < whole
        and found["results"] == dict(pred=whole, vis=whole)
        and found["maps_of_right_size"]
        and found["broken_is_named"]
        and found["mib_above_model"] <= max_mib
    )


def main() -> int:
    args = parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        found = measure(args, Path(args.work_dir or temporary))
    print(json.dumps(found))
    return 0 if is_right(found, args.max_mib) else 1


if __name__ == "__main__":
    sys.exit(main())
