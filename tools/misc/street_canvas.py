"""The canvas of `draw_street_scenes.py`: a pinhole camera over a street that is built in metres.

Each object is painted inside the very polygon that is written for it: pictures and labels agree.
"""

import cv2
import numpy as np

OVERSAMPLING = 2  # pictures are painted at this multiple of their size and shrunk at the end
SUBPIXEL_BITS = 4


def box(left: float, bottom: float, right: float, top: float) -> np.ndarray:
    """Corners (4, 2) of an upright rectangle."""
    return np.array([(left, bottom), (left, top), (right, top), (right, bottom)], float)


def disc(u: float, v: float, ru: float, rv: float | None = None, points: int = 20) -> np.ndarray:
    """Outline (points, 2) of an ellipse around (u, v)."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.stack([u + ru * np.cos(angle), v + (rv or ru) * np.sin(angle)], 1)


class Canvas:
    """A picture under way, the polygons painted so far, and the camera that looks at them.

    World coordinates are metres: x to the right, y up from the ground, z ahead of the camera.
    """

    def __init__(self, rng: np.random.Generator, height: int, width: int):
        self.rng, self.height, self.width = rng, height, width
        shape = (height * OVERSAMPLING, width * OVERSAMPLING)
        self.image = np.zeros((*shape, 3), np.float32)
        self.stencil = np.zeros(shape, np.uint8)
        self.objects: list[dict] = []
        self.horizon = height * rng.uniform(0.40, 0.50)
        self.vanish = width * rng.uniform(0.38, 0.62)
        self.focal = width * rng.uniform(0.72, 0.88)
        self.eye = rng.uniform(1.35, 1.75)
        self.light = rng.uniform(0.72, 1.12) * np.array(
            [1 + (t := rng.uniform(-0.06, 0.08)), 1, 1 - t]
        )
        self.haze = np.array([205, 212, 220]) * rng.uniform(0.85, 1.05)
        self.sight = rng.uniform(90, 260)  # metres at which the haze takes two thirds
        self.sun = rng.choice([-1, 1])
        unit = shape[0] / 512
        self.grain = {
            "fine": self._noise(0.8 * unit),
            "leaf": 0.6 * self._noise(2.2 * unit) + 0.7 * self._noise(6 * unit),
            "patch": 0.8 * self._noise(14 * unit) + 0.4 * self._noise(0.8 * unit),
        }

    def _noise(self, sigma: float) -> np.ndarray:
        noise = self.rng.standard_normal(self.stencil.shape, dtype=np.float32)
        noise = cv2.GaussianBlur(noise, (0, 0), sigma)
        return noise / noise.std()

    def project(self, x, y, z) -> np.ndarray:
        """Pixels (N, 2) of world points; the arguments broadcast."""
        x, y, z = np.broadcast_arrays(*(np.asarray(v, float) for v in (x, y, z)))
        scale = self.focal / z
        return np.stack([self.vanish + x * scale, self.horizon + (self.eye - y) * scale], -1)

    def begin(self, label: str, *shapes: np.ndarray) -> bool:
        """Write the union of pixel ``shapes`` (N, 2) as ``label``; paint stays inside of it.

        Returns whether any of it lies inside the picture.
        """
        self.stencil[:] = 0
        for shape in shapes:
            cv2.fillPoly(self.stencil, [self._fixed(shape)], 1, shift=SUBPIXEL_BITS)
        contours, _ = cv2.findContours(self.stencil, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        self.stencil[:] = 0
        visible = False
        for contour in contours:
            points = cv2.approxPolyDP(contour, 0.4 * OVERSAMPLING, closed=True)[:, 0]
            points = np.round((points + 0.5) / OVERSAMPLING - 0.5).astype(int)
            points = points.clip(0, (self.width - 1, self.height - 1))
            if len(points) < 3 or not np.ptp(points, axis=0).all():
                continue
            cv2.fillPoly(self.stencil, [self._fixed(points)], 1, shift=SUBPIXEL_BITS)
            self.objects.append({"label": label, "polygon": points.tolist()})
            visible = True
        return visible

    @staticmethod
    def _fixed(shape: np.ndarray) -> np.ndarray:
        pixels = (np.asarray(shape, float) + 0.5) * OVERSAMPLING - 0.5
        return np.round(pixels * 2**SUBPIXEL_BITS).astype(np.int32)

    def paint(self, shape, colour, z=1.0, amount=0.05, grain="fine", alpha=1.0, free=False) -> None:
        """Blend ``colour`` (RGB) into a pixel polygon, inside of the object begun last unless ``free``."""
        low = np.floor((np.min(shape, 0) - 1) * OVERSAMPLING).astype(int).clip(0)
        high = np.ceil((np.max(shape, 0) + 2) * OVERSAMPLING).astype(int)
        window = np.s_[low[1] : max(high[1], 0), low[0] : max(high[0], 0)]
        mask = np.zeros(self.stencil[window].shape, np.uint8)
        if not mask.size:
            return
        offset = (low * 2**SUBPIXEL_BITS).astype(np.int32)
        cv2.fillPoly(mask, [self._fixed(shape) - offset], 1, shift=SUBPIXEL_BITS)
        inside = mask > 0 if free else mask & self.stencil[window] > 0
        fog = 1 - np.exp(-z / self.sight)
        texture = 1 + amount * self.grain[grain][window][inside][:, None]
        lit = np.asarray(colour, float) * self.light * (1 - fog) + self.haze * fog
        pixels = self.image[window]
        pixels[inside] += alpha * (lit * texture - pixels[inside]).astype(np.float32)

    def picture(self) -> np.ndarray:
        """The finished picture (H, W, 3), uint8 RGB, with lens blur and sensor noise."""
        image = cv2.GaussianBlur(self.image, (0, 0), 0.45 * OVERSAMPLING)
        image = cv2.resize(image, (self.width, self.height), interpolation=cv2.INTER_AREA)
        image += self.rng.uniform(1.5, 5) * self.rng.standard_normal(image.shape, np.float32)
        return image.clip(0, 255).round().astype(np.uint8)
