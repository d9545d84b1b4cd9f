"""Draw synthetic street scenes in Cityscapes' raw layout: PNG images and polygon JSON."""

import argparse
import functools
import json
import os
from pathlib import Path

import cv2
import numpy as np
import street_objects as draw
from street_canvas import Canvas, disc
from tqdm import tqdm

from mmseg_gc.cli import cli
from mmseg_gc.errors import UserError
from mmseg_gc.processes import process_pool

CITIES = {"train": ("musterstadt", "beispielhausen"), "val": ("probeheim",)}
FAR, NEAR = 4000.0, 1.6  # metres between which the ground is drawn


def strip(canvas: Canvas, left: float, right: float, near: float = NEAR, far: float = FAR):
    """Pixels (4, 2) of a piece of ground."""
    return canvas.project([left, right, right, left], 0, [near, near, far, far])


def draw_backdrop(canvas: Canvas) -> None:
    """Sky, grass down to the camera, and what closes the street in the distance."""
    rng, width = canvas.rng, canvas.width
    sky = np.array([(0, 0), (width, 0), (width, canvas.horizon), (0, canvas.horizon)])
    canvas.begin("sky", sky)
    blue = np.array([(96, 142, 196), (150, 168, 186), (188, 192, 194)][rng.integers(3)])
    for share in np.linspace(0, 1, 24, endpoint=False):
        top, bottom = canvas.horizon * share, canvas.horizon * (share + 1 / 24) + 1
        band = np.array([(0, top), (width, top), (width, bottom), (0, bottom)])
        colour = blue * (1 - share) + np.array([222, 222, 218]) * share
        canvas.paint(band, colour, amount=0.006, grain="patch")
    for _ in range(rng.integers(4)):
        place, reach = rng.uniform((0, 0), (width, canvas.horizon * 0.6)), rng.uniform(0.04, 0.12)
        for _ in range(24):
            spot = place + rng.normal(0, (reach * width, reach * width * 0.2))
            puff = disc(*spot, reach * width * 0.6, reach * width * 0.16)
            canvas.paint(puff, (240, 240, 240), alpha=0.07)
    meadow = strip(canvas, -400, 400)
    canvas.begin("terrain", meadow)
    grass = draw.pick(canvas, ((112, 122, 66), (132, 118, 84), (96, 112, 60)))
    canvas.paint(meadow, grass, 15, 0.12, "leaf")
    for x in np.arange(-90, 90, 9.0):
        if rng.random() < 0.4:
            draw.facade(canvas, x or 1.0, 118, 124, rng.uniform(6, 20))
        else:
            draw.foliage(canvas, x, rng.uniform(2, 4), 115, rng.uniform(5, 8), rng.uniform(4, 7))


def draw_road(canvas: Canvas, half: float) -> None:
    """The carriageway with its marks, patches and, at times, a zebra crossing."""
    rng = canvas.rng
    road = strip(canvas, -half, half)
    canvas.begin("road", road)
    asphalt = draw.pick(canvas, ((88, 88, 90), (108, 106, 104), (74, 76, 82)), 0.05)
    canvas.paint(road, asphalt, 12, 0.05)
    for _ in range(rng.integers(1, 5)):
        x, z = rng.uniform(-half, half), rng.uniform(4, 30)
        patch = strip(canvas, x - rng.uniform(0.5, 2), x + 1, z, z * rng.uniform(1.1, 1.6))
        canvas.paint(patch, asphalt * rng.uniform(0.75, 1.15), z, 0.06)
    white = np.array([212, 212, 206]) * rng.uniform(0.75, 1.0)
    for z in np.arange(rng.uniform(2, 6), 90, 6.0):
        canvas.paint(strip(canvas, -0.09, 0.09, z, z + 3), white, z, alpha=0.85)
    if rng.random() < 0.5:
        for x in (-half + 0.35, half - 0.5):
            canvas.paint(strip(canvas, x, x + 0.13, NEAR, 90), white, 20, alpha=0.7)
    if rng.random() < 0.35:
        z = rng.uniform(6, 14)
        for x in np.arange(-half + 0.4, half - 0.6, 1.0):
            canvas.paint(strip(canvas, x, x + 0.5, z, z + 3), white, z, alpha=0.9)


def draw_pavement(canvas: Canvas, side: int, inner: float, outer: float) -> None:
    """A sidewalk of slabs with its kerb."""
    rng = canvas.rng
    walk = strip(canvas, side * inner, side * outer)
    canvas.begin("sidewalk", walk)
    slab = draw.pick(canvas, ((142, 136, 130), (128, 118, 112), (150, 148, 146)), 0.06)
    canvas.paint(walk, slab, 12, 0.05)
    for z in np.exp(np.arange(np.log(NEAR), np.log(45), 0.12)):
        canvas.paint(strip(canvas, side * inner, side * outer, z, z * 1.012), slab * 0.72, z)
    for x in np.linspace(inner, outer, 4)[1:-1]:
        canvas.paint(strip(canvas, side * x, side * (x + 0.05), NEAR, 45), slab * 0.75, 10)
    kerb = strip(canvas, side * inner, side * (inner + 0.18))
    canvas.paint(kerb, slab * rng.uniform(1.15, 1.3), 12)


def plan_side(canvas: Canvas, side: int, inner: float, outer: float) -> list:
    """What lines one side of the street, as (distance, painter) pairs."""
    rng, plan = canvas.rng, []
    green = rng.random() < 0.45  # a strip of grass before what follows
    border = outer + (rng.uniform(2.5, 6) if green else 0)
    near = rng.uniform(1.8, 4)
    while near < 90:
        far = near + rng.uniform(9, 20)
        kind = rng.choice(["facade", "wall", "fence", "bushes"], p=[0.58, 0.13, 0.15, 0.14])
        where = (canvas, side * border, near, far)
        if kind == "facade":
            plan.append((far, functools.partial(draw.facade, *where, rng.uniform(5, 17))))
        else:
            for z in np.arange(near, far, 3.5):
                crown = (side * (border + rng.uniform(3, 6)), rng.uniform(1, 4), z + 2)
                size = (rng.uniform(2.2, 3.6), rng.uniform(2, 3.6))
                plan.append(
                    (far + 0.1 + z / 100, functools.partial(draw.foliage, canvas, *crown, *size))
                )
            if kind != "bushes":
                plan.append((far, functools.partial(draw.barrier, *where, kind)))
        near = far + (rng.uniform(1, 5) if rng.random() < 0.3 else 0)
    for z in np.arange(rng.uniform(5, 14), 70, rng.uniform(9, 18)):
        if rng.random() < (0.8 if green else 0.35):
            x = side * (outer + 1.2 if green else outer - 0.8)
            shape = (x, rng.uniform(3.8, 5.2), z, rng.uniform(1.5, 2.6), rng.uniform(1.5, 2.4))
            plan.append((z, functools.partial(draw.foliage, canvas, *shape)))
    for z in np.arange(rng.uniform(5, 12), 60, rng.uniform(6, 13)):
        head = rng.choice(["lamp", "sign", "light"], p=[0.36, 0.36, 0.28])
        plan.append((z, functools.partial(draw.pole, canvas, side * (inner + 0.45), z, head)))
    for _ in range(rng.integers(2, 7)):
        x, z = side * rng.uniform(inner + 0.7, outer - 0.3), rng.triangular(5, 8, 35)
        plan.append((z, functools.partial(draw.person, canvas, x, z)))
    for _ in range(rng.integers(0, 3)):
        x, z = side * rng.uniform(inner + 0.5, outer - 0.3), rng.triangular(5, 8, 25)
        kind = rng.choice(["bicycle", "motorcycle"], p=[0.7, 0.3])
        plan.append((z, functools.partial(draw.cyclist, canvas, x, z, kind, False)))
    return plan


def plan_traffic(canvas: Canvas, half: float) -> list:
    """What drives or parks on the road, as (distance, painter) pairs."""
    rng, plan = canvas.rng, []
    for side in (-1, 1):
        lanes = [(half * 0.45, rng.uniform(9, 22))]
        if half > 5 and rng.random() < 0.7:
            lanes.append((half - 1.1, rng.uniform(5, 9)))
        for x, z in lanes:
            while z < 75:
                kind = rng.choice([draw.car, draw.bus, draw.truck], p=[0.74, 0.13, 0.13])
                plan.append((z + 0.5, functools.partial(kind, canvas, side * x, z)))
                z += (11 if kind is not draw.car else 4.6) + rng.exponential(7)
    for _ in range(rng.integers(1, 4)):
        x, z = rng.choice([-1, 1]) * rng.uniform(0.5, 0.8) * half, rng.uniform(7, 22)
        kind = rng.choice(["bicycle", "motorcycle"], p=[0.6, 0.4])
        plan.append((z, functools.partial(draw.cyclist, canvas, x, z, kind, True)))
    if rng.random() < 0.5:  # somebody crosses
        x, z = rng.uniform(-half, half), rng.uniform(8, 18)
        plan.append((z, functools.partial(draw.person, canvas, x, z)))
    return plan


def draw_frame(canvas: Canvas) -> None:
    """The bonnet of the camera's own car, and the border that Cityscapes does not score."""
    height, width, rng = canvas.height, canvas.width, canvas.rng
    bonnet = disc(
        width / 2, height * 1.06, width * 0.62, height * rng.uniform(0.1, 0.16), points=60
    )
    canvas.begin("ego vehicle", bonnet)
    canvas.paint(bonnet, (36, 38, 42), amount=0.03)
    canvas.paint(bonnet + [0, height * 0.015], (52, 56, 62), amount=0.02)
    edge = max(1, width // 256)
    right, bottom = width - 1, height - 1
    ring = [(0, 0), (right, 0), (right, bottom), (0, bottom), (0, edge), (edge, edge)]
    ring += [(edge, bottom - edge), (right - edge, bottom - edge), (right - edge, edge), (0, edge)]
    canvas.objects.append({"label": "out of roi", "polygon": [list(point) for point in ring]})


def draw_scene(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, dict]:
    """One street: its image (H, W, 3) uint8 RGB and its polygon annotation."""
    canvas = Canvas(rng, height, width)
    half = rng.uniform(3.6, 6.4)
    draw_backdrop(canvas)
    draw_road(canvas, half)
    plan = plan_traffic(canvas, half)
    for side in (-1, 1):
        outer = half + rng.uniform(2.2, 4.0)
        draw_pavement(canvas, side, half, outer)
        plan += plan_side(canvas, side, half, outer)
    for _, paint in sorted(plan, key=lambda entry: -entry[0]):
        paint()
    draw_frame(canvas)
    annotation = {"imgHeight": height, "imgWidth": width, "objects": canvas.objects}
    return canvas.finished(), annotation


def write_scene(job: tuple[str, int], out: Path, size: tuple[int, int], seed: int) -> None:
    """Draw one scene of a split and write its two files, under temporary names first."""
    split, index = job
    rng = np.random.default_rng([seed, list(CITIES).index(split), index])
    image, annotation = draw_scene(rng, *size)
    city = CITIES[split][index % len(CITIES[split])]
    name = f"{city}_{index:06d}_000019"
    _, png = cv2.imencode(".png", image[..., ::-1])
    text = json.dumps(annotation).encode()
    for folder, suffix, content in (
        ("leftImg8bit", "_leftImg8bit.png", png.tobytes()),
        ("gtFine", "_gtFine_polygons.json", text),
    ):
        path = out / folder / split / city / (name + suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".part")
        partial.write_bytes(content)
        os.replace(partial, path)


def parse_size(text: str) -> tuple[int, int]:
    try:
        height, width = (int(part) for part in text.lower().split("x"))
    except ValueError:
        height = width = 0
    if height < 64 or width < 64:
        raise UserError(f"--size {text} is not HEIGHTxWIDTH of at least 64x64, e.g. 256x512.")
    return height, width


@cli
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder that gets leftImg8bit/ and gtFine/")
    parser.add_argument("--train", type=int, default=120, help="number of training scenes")
    parser.add_argument("--val", type=int, default=30, help="number of validation scenes")
    parser.add_argument("--size", default="256x512", help="HEIGHTxWIDTH in pixels")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same scenes")
    parser.add_argument("--nproc", type=int, default=os.cpu_count(), help="processes")
    args = parser.parse_args()
    jobs = [("train", i) for i in range(args.train)] + [("val", i) for i in range(args.val)]
    work = functools.partial(write_scene, out=args.out, size=parse_size(args.size), seed=args.seed)
    with process_pool(max(1, args.nproc)) as pool:
        try:
            list(tqdm(pool.map(work, jobs), total=len(jobs), desc="drawing", unit="scene"))
        except OSError as error:
            raise UserError(
                f"{args.out} can't be written ({error}): give another folder."
            ) from None
    print(f"{args.train} training and {args.val} validation scenes are in {args.out}.")


if __name__ == "__main__":
    main()
