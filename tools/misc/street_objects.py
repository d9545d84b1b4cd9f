"""What stands in the streets of `draw_street_scenes.py`.

Every function takes the canvas, the place ``x`` (metres to the right) and ``z`` (metres ahead) of
the object, labels its outline and paints it.
"""

import numpy as np
from street_canvas import Canvas, box, disc

CLOTHES = (
    (38, 40, 52),
    (150, 40, 45),
    (55, 75, 130),
    (190, 185, 175),
    (85, 95, 70),
    (200, 150, 60),
)
LACQUER = (
    (30, 32, 36),
    (150, 155, 160),
    (205, 208, 210),
    (120, 25, 28),
    (40, 62, 110),
    (70, 85, 75),
)
PLASTER = ((168, 150, 128), (140, 92, 76), (178, 170, 160), (120, 118, 115), (190, 168, 120))
LEAVES = ((62, 84, 44), (84, 102, 50), (48, 72, 46), (110, 100, 52))
GLASS, STEEL, RUBBER, SKIN = (46, 54, 64), (108, 110, 112), (24, 24, 26), (196, 150, 122)


def pick(canvas: Canvas, colours, spread: float = 0.12) -> np.ndarray:
    """One of ``colours``, a little off."""
    colour = np.array(colours[canvas.rng.integers(len(colours))])
    return colour * (1 + spread * canvas.rng.uniform(-1, 1, 3))


def facade(canvas: Canvas, x: float, near: float, far: float, tall: float) -> None:
    """A house whose front lies at ``x`` along the street and whose gable faces the camera."""
    rng, side = canvas.rng, np.sign(x)
    deep = x + side * 12
    front = canvas.project(x, [0, tall, tall, 0], [near, near, far, far])
    gable = canvas.project([x, x, (x + deep) / 2, deep, deep], [0, tall, tall + 3, tall, 0], near)
    if not canvas.begin("building", front, gable):
        return
    plaster = pick(canvas, PLASTER)
    shade = 1.1 if side != canvas.sun else 0.72
    middle = (near + far) / 2
    canvas.paint(gable, plaster * 0.85, near, 0.05, "patch")
    canvas.paint(front, plaster * shade, middle, 0.05, "patch")
    trim = plaster * shade * rng.uniform(0.6, 1.25)
    base = rng.uniform(0.4, 3.2)
    canvas.paint(canvas.project(x, [0, base, base, 0], [near, near, far, far]), trim, middle)
    eaves = canvas.project(x, [tall - 0.4, tall, tall, tall - 0.4], [near, near, far, far])
    canvas.paint(eaves, trim * 0.7, middle)
    floor, bay = rng.uniform(2.7, 3.4), rng.uniform(2.0, 3.2)
    wide, high = bay * rng.uniform(0.4, 0.65), floor * rng.uniform(0.45, 0.65)
    for y in np.arange(1.0, tall - high - 0.5, floor):
        for z in np.arange(near + 0.6, far - wide, bay):
            pane = canvas.project(x, [y, y + high, y + high, y], [z, z, z + wide, z + wide])
            if np.ptp(pane[:, 0]) < 1 or pane[:, 1].max() < 0:
                continue
            glow = rng.choice([0.7, 1.0, 1.5, 2.4], p=[0.35, 0.4, 0.2, 0.05])
            canvas.paint(pane, trim * 1.25, z)
            canvas.paint(pane + (pane.mean(0) - pane) * 0.22, np.array(GLASS) * glow, z)
    for y in np.arange(1.2, tall - high, floor):
        for left in np.arange(1.5, 10, bay + 0.8) if near > 4 else ():
            u, v = np.sort([x + side * left, x + side * (left + wide)])
            pane = canvas.project([u, u, v, v], [y, y + high, y + high, y], near)
            canvas.paint(pane, GLASS, near)


def barrier(canvas: Canvas, x: float, near: float, far: float, label: str) -> None:
    """A ``wall`` of stone or a see-through ``fence`` along the street."""
    rng = canvas.rng
    tall = rng.uniform(1.7, 2.6) if label == "wall" else rng.uniform(1.2, 1.9)
    outline = canvas.project(x, [0, tall, tall, 0], [near, near, far, far])
    if not canvas.begin(label, outline):
        return
    middle = (near + far) / 2
    if label == "wall":
        stone = pick(canvas, ((130, 122, 112), (118, 96, 84), (146, 146, 142)))
        canvas.paint(outline, stone, middle, 0.10, "patch")
        for y in np.arange(0.35, tall, 0.35):
            joint = canvas.project(x, [y, y + 0.06, y + 0.06, y], [near, near, far, far])
            canvas.paint(joint, stone * 0.68, middle)
        return
    metal = pick(canvas, ((70, 84, 72), (58, 58, 60), (150, 130, 104)))
    canvas.paint(outline, metal, middle, alpha=0.35)
    for z in np.arange(near, far, max(0.35, (far - near) / 60)):
        bar = canvas.project(x, [0, tall, tall, 0], [z, z, z + 0.14, z + 0.14])
        canvas.paint(bar, metal * 0.8, z)
    for y in (0.25, tall - 0.12):
        rail = canvas.project(x, [y, y + 0.12, y + 0.12, y], [near, near, far, far])
        canvas.paint(rail, metal * 1.1, middle)


def foliage(canvas: Canvas, x: float, y: float, z: float, wide: float, tall: float) -> None:
    """A tree's crown or a bush around (x, y), on a trunk where it hangs in the air."""
    rng = canvas.rng
    angle = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    lobes = sum(
        rng.uniform(0.03, 0.08) * np.sin(k * angle + rng.uniform(0, 7)) for k in (3, 5, 7, 11)
    )
    rim = 1 + lobes + rng.uniform(-0.04, 0.04, angle.size)
    world = np.stack([x + wide * rim * np.cos(angle), y + tall * rim * np.sin(angle)])
    crown = canvas.project(world[0], world[1].clip(0), z)
    trunk = canvas.project(*(box(x - 0.16, 0, x + 0.16, max(y - 0.6 * tall, 0.01)).T), z)
    if not canvas.begin("vegetation", crown, trunk):
        return
    leaf = pick(canvas, LEAVES, 0.2)
    canvas.paint(trunk, (74, 60, 48), z)
    canvas.paint(crown, leaf, z, 0.20, "leaf")
    centre = crown.mean(0)
    for _ in range(5):  # clumps of leaves, brighter towards the sun
        shift = rng.uniform(-0.45, 0.45, 2)
        clump = centre + (crown - centre) * rng.uniform(0.35, 0.55) + shift * np.ptp(crown, 0)
        sunny = 1 + 0.35 * (shift[0] * canvas.sun - shift[1])
        canvas.paint(clump, leaf * sunny, z, 0.22, "leaf", alpha=0.7)


def pole(canvas: Canvas, x: float, z: float, head: str) -> None:
    """A pole that carries a ``lamp``, a ``sign`` or a ``light``."""
    rng, side = canvas.rng, np.sign(x)
    thick = max(0.06, 0.55 * z / canvas.focal)  # never thinner than a pixel
    tall = rng.uniform(5.5, 7.5) if head == "lamp" else rng.uniform(2.9, 3.6)
    shapes = [canvas.project(*box(x - thick, 0, x + thick, tall).T, z)]
    if head == "lamp":
        reach = np.sort([x, x - side * 1.6])
        shapes.append(canvas.project(*box(reach[0], tall - 0.12, reach[1], tall + 0.1).T, z))
    steel = pick(canvas, (STEEL, (88, 92, 90), (60, 64, 62)))
    if canvas.begin("pole", *shapes):
        for shape in shapes:
            canvas.paint(shape, steel, z, 0.06)
    if head == "light":
        case = canvas.project(*box(x - 0.26, tall - 1.15, x + 0.26, tall + 0.1).T, z)
        if canvas.begin("traffic light", case):
            canvas.paint(case, (34, 36, 34), z)
            lit = rng.integers(3)
            for k, colour in enumerate(((235, 60, 45), (240, 180, 50), (70, 220, 130))):
                lamp = canvas.project(*disc(x, tall - 0.15 - 0.37 * k, 0.16).T, z)
                canvas.paint(lamp, np.array(colour) * (1.0 if k == lit else 0.25), z)
    elif head == "sign":
        _sign(canvas, x, tall, z)


def _sign(canvas: Canvas, x: float, y: float, z: float) -> None:
    kind = canvas.rng.integers(4)
    size = canvas.rng.uniform(0.42, 0.55)
    plate = disc(x, y, size)
    rim, face = ((205, 40, 40), (235, 235, 230))
    if kind == 1:
        plate = disc(x, y, size * 1.2, points=3) @ [[0, 1], [1, 0]] + [x - y, y - x]
    elif kind == 2:
        plate, rim, face = (
            box(x - size, y - size, x + size, y + size),
            (230, 235, 240),
            (30, 80, 165),
        )
    elif kind == 3:
        plate, rim, face = disc(x, y, size * 1.1, points=4), (240, 240, 235), (240, 195, 50)
    outline = canvas.project(*plate.T, z)
    if canvas.begin("traffic sign", outline):
        canvas.paint(outline, rim, z, 0.03)
        canvas.paint(outline + (outline.mean(0) - outline) * 0.35, face, z, 0.03)


def person(canvas: Canvas, x: float, z: float, label: str = "person", lift: float = 0.0) -> None:
    """Somebody who walks, or the upper half of a ``rider`` who sits ``lift`` metres high."""
    rng = canvas.rng
    size = rng.uniform(0.92, 1.06)
    stride, swing = rng.uniform(0.05, 0.32), rng.uniform(-0.12, 0.12)

    def part(points, scale=size):
        points = np.array(points, float)
        return canvas.project(x + points[:, 0] * scale, lift + points[:, 1] * scale, z)

    low = 0.35 if label == "rider" else 0.0
    legs = [
        part([(0, 0.92), (k * 0.20, 0.92), (k * (stride + 0.05), low), (k * (stride - 0.1), low)])
        for k in (-1, 1)
    ]
    torso = part([(-0.24, 1.45), (0.24, 1.45), (0.22, 0.84), (-0.22, 0.84)])
    arms = [
        part([(k * 0.2, 1.44), (k * 0.3, 1.4), (k * 0.34 + swing, 0.85), (k * 0.24 + swing, 0.85)])
        for k in (-1, 1)
    ]
    head = part(disc(0, 1.62, 0.13, 0.16))
    if not canvas.begin(label, *legs, torso, *arms, head):
        return
    shirt, trousers = pick(canvas, CLOTHES), pick(canvas, CLOTHES) * 0.7
    for leg in legs:
        canvas.paint(leg, trousers, z, 0.06)
    canvas.paint(torso, shirt, z, 0.06)
    for arm in arms:
        canvas.paint(arm, shirt * 0.85, z, 0.06)
    canvas.paint(head, np.array(SKIN) * rng.uniform(0.5, 1.1), z)
    hair = part(disc(0, 1.70, 0.13, 0.08))
    canvas.paint(hair, (200, 60, 50) if label == "rider" else (52, 40, 32), z)


def cyclist(canvas: Canvas, x: float, z: float, label: str, ridden: bool) -> None:
    """A ``bicycle`` or ``motorcycle`` seen from the side or aslant, perhaps with its rider."""
    rng = canvas.rng
    slant = rng.uniform(0.45, 1.0) * rng.choice([-1, 1])
    heavy = label == "motorcycle"
    radius, base = (0.33, 0.72) if heavy else (0.36, 0.55)

    def part(points):
        points = np.array(points, float)
        return canvas.project(x + points[:, 0] * slant, points[:, 1], z)

    wheels = [part(disc(u, radius, radius)) for u in (-base, base)]
    if heavy:
        body = [
            part([(-0.8, 0.75), (-0.1, 0.8), (0.35, 1.0), (0.55, 0.75), (0.4, 0.3), (-0.45, 0.3)]),
            part([(0.35, 1.0), (0.45, 1.25), (0.55, 1.2), (0.72, 0.35), (0.6, 0.35)]),
        ]
    else:
        body = [
            part([(-0.55, 0.4), (-0.15, 0.9), (0.38, 0.9), (0, 0.32)]),
            part([(0.35, 1.08), (0.5, 1.08), (0.6, 0.36), (0.5, 0.36)]),
            part([(-0.3, 0.98), (-0.02, 0.98), (-0.1, 0.85), (-0.2, 0.85)]),
        ]
    if canvas.begin(label, *wheels, *body):
        colour = pick(canvas, LACQUER)
        for wheel in wheels:
            hub = wheel.mean(0)
            canvas.paint(wheel, RUBBER, z, alpha=0.95 if heavy else 0.45)
            for k in range(20):  # the tyre, piece by piece
                ring = np.array([wheel[k], wheel[k - 1], *(wheel[[k - 1, k]] * 0.8 + hub * 0.2)])
                canvas.paint(ring, RUBBER, z)
        for shape in body:
            canvas.paint(shape, colour, z, 0.08, alpha=1.0 if heavy else 0.8)
    if ridden:
        person(canvas, x - 0.1 * slant, z, "rider", lift=0.0 if heavy else 0.12)


SALOON = ((0, 0.32), (0, 0.92), (0.3, 1.42), (2.3, 1.46), (3.1, 0.98), (4.2, 0.82), (4.25, 0.32))
SALOON_PANES = ((0.45, 1.0), (0.62, 1.36), (2.2, 1.38), (2.75, 1.0))


def _vehicle(canvas: Canvas, x: float, z: float, label: str, wide: float, profile, colour):
    """Outline and lacquer of an extruded side profile; returns the painter of its side and rear."""
    profile = np.array(profile, float)
    inner = x - np.sign(x) * wide / 2  # the side that shows
    left, right = x - wide / 2, x + wide / 2
    length, tall, sill = *profile.max(0), profile[:, 1].min()

    def flank(points):
        points = np.array(points, float)
        return canvas.project(inner, points[:, 1], z + points[:, 0])

    def rear(points, depth=0.0):
        points = np.array(points, float)
        return canvas.project(x + points[:, 0] * wide / 2, points[:, 1], z + depth)

    shadow = canvas.project(
        [left - 0.2, left, right, right + 0.2], 0, [z, z + length, z + length, z]
    )
    canvas.paint(shadow, (12, 12, 14), z, alpha=0.7, free=True)
    shoulder = tall if tall > 2 else 0.95
    back = rear([(-1, sill), (-1, shoulder), (1, shoulder), (1, sill)])
    roof = rear([(-1, shoulder), (-0.78, tall), (0.78, tall), (1, shoulder)])
    wheels = [
        flank(disc(u, 0.32 * wide / 1.8, 0.33 * wide / 1.8)) for u in (0.19 * length, 0.8 * length)
    ]
    tyres = [rear(box(u - 0.12, 0, u + 0.12, sill + 0.1)) for u in (-0.85, 0.85)]
    if not canvas.begin(label, flank(profile), back, roof, *wheels, *tyres):
        return None
    canvas.paint(flank(profile), colour * (1.0 if np.sign(x) != canvas.sun else 0.75), z)
    for wheel in wheels:
        canvas.paint(wheel, RUBBER, z)
        canvas.paint(wheel + (wheel.mean(0) - wheel) * 0.45, STEEL, z)
    for shape in tyres:
        canvas.paint(shape, RUBBER, z)
    canvas.paint(roof, colour * 0.9, z)
    canvas.paint(back, colour * 0.9, z)
    return flank, rear


def car(canvas: Canvas, x: float, z: float) -> None:
    """A car that drives or parks along the street."""
    colour = pick(canvas, LACQUER)
    parts = _vehicle(canvas, x, z, "car", 1.8, SALOON, colour)
    if parts is None:
        return
    flank, rear = parts
    canvas.paint(flank(SALOON_PANES), GLASS, z)
    canvas.paint(flank([(1.35, 1.0), (1.35, 1.4), (1.45, 1.4), (1.45, 1.0)]), colour * 0.8, z)
    canvas.paint(rear([(-0.8, 0.98), (-0.66, 1.38), (0.66, 1.38), (0.8, 0.98)]), GLASS, z)
    canvas.paint(rear([(-0.95, 0.32), (-0.95, 0.46), (0.95, 0.46), (0.95, 0.32)]), colour * 0.5, z)
    lamp = (205, 40, 36) if x > 0 else (245, 240, 215)  # right-hand traffic: ours show their tails
    for u in (-0.8, 0.8):
        canvas.paint(rear(box(u - 0.16, 0.66, u + 0.16, 0.84)), lamp, z)
    canvas.paint(rear(box(-0.28, 0.5, 0.28, 0.64)), (225, 225, 215), z)


def bus(canvas: Canvas, x: float, z: float) -> None:
    """A city bus, windows all along."""
    colour = pick(canvas, ((200, 165, 50), (170, 40, 40), (60, 90, 140), (205, 205, 200)))
    profile = ((0, 0.35), (0, 3.0), (10.5, 3.0), (10.5, 0.35))
    parts = _vehicle(canvas, x, z, "bus", 2.5, profile, colour)
    if parts is None:
        return
    flank, rear = parts
    canvas.paint(flank([(0.2, 1.4), (0.2, 2.6), (10.3, 2.6), (10.3, 1.4)]), GLASS, z)
    for u in np.arange(1.8, 10, 1.7):
        canvas.paint(flank([(u, 1.4), (u, 2.6), (u + 0.18, 2.6), (u + 0.18, 1.4)]), colour, z)
    canvas.paint(rear(box(-0.86, 1.5, 0.86, 2.5)), GLASS, z)
    canvas.paint(rear(box(-0.5, 2.6, 0.5, 2.9)), (30, 30, 30), z)
    for u in (-0.85, 0.85):
        canvas.paint(rear(box(u - 0.09, 0.7, u + 0.09, 1.2)), (215, 50, 40), z)


def truck(canvas: Canvas, x: float, z: float) -> None:
    """A box truck: a plain body with ribs, its doors to the rear."""
    colour = pick(canvas, ((190, 190, 186), (90, 110, 140), (150, 140, 110), (110, 60, 50)))
    profile = ((0, 0.55), (0, 3.3), (5.6, 3.3), (5.7, 2.5), (7.2, 2.4), (7.4, 0.5))
    parts = _vehicle(canvas, x, z, "truck", 2.4, profile, colour)
    if parts is None:
        return
    flank, rear = parts
    for u in np.arange(0.5, 5.6, 0.8):
        canvas.paint(flank([(u, 0.9), (u, 3.2), (u + 0.1, 3.2), (u + 0.1, 0.9)]), colour * 0.75, z)
    canvas.paint(flank([(5.65, 0.5), (5.65, 2.5), (5.75, 2.5), (5.75, 0.5)]), RUBBER, z)
    canvas.paint(flank([(6.1, 1.6), (6.1, 2.3), (7.1, 2.2), (7.1, 1.6)]), GLASS, z)
    canvas.paint(rear(box(-0.03, 0.9, 0.03, 3.2)), colour * 0.55, z)
    canvas.paint(rear(box(-0.95, 0.55, 0.95, 0.8)), (40, 40, 42), z)
    for u in (-0.85, 0.85):
        canvas.paint(rear(box(u - 0.09, 0.6, u + 0.09, 0.76)), (215, 50, 40), z)
