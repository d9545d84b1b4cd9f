"""The canvas of `draw_street_scenes.py`: a pinhole camera over a street that is built in metres.

Each object is painted inside the very polygon that is written for it: images and labels agree.
"""

import cv2
import numpy as np

OVERSAMPLING = 2  # images are painted at this multiple of their size and shrunk at the end
SUBPIXEL_BITS = 4


def box(left: float, bottom: float, right: float, top: float) -> np.ndarray:
    """Corners (4, 2) of an upright rectangle."""
    return np.array([(left, bottom), (left, top), (right, top), (right, bottom)], float)


def disc(u: float, v: float, ru: float, rv: float | None = None, points: int = 20) -> np.ndarray:
    """Outline (points, 2) of an ellipse around (u, v)."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.stack([u + ru * np.cos(angle), v + (rv or ru) * np.sin(angle)], 1)


class Canvas:
    """An image under way, the polygons painted so far, and the camera that looks at them.

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
        height, width = self.stencil.shape
        step = max(1, int(sigma / 1.5))  # coarse noise needs few samples
        noise = self.rng.standard_normal((height // step + 1, width // step + 1), np.float32)
        noise = cv2.GaussianBlur(noise, (0, 0), sigma / step)
        if step > 1:
            noise = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        return noise[:height, :width] / noise.std()

    def project(self, x, y, z) -> np.ndarray:
        """Pixels (N, 2) of world points; the arguments broadcast."""
        scale = self.focal / np.asarray(z, float)
        column = self.vanish + np.asarray(x) * scale
        row = self.horizon + (self.eye - np.asarray(y)) * scale
        pixels = np.empty((max(column.size, row.size), 2))
        pixels[:, 0], pixels[:, 1] = column, row
        return pixels

    def begin(self, label: str, *shapes: np.ndarray) -> bool:
        """Write the union of pixel ``shapes`` (N, 2) as ``label``; paint stays inside of it.

        Returns whether any of it lies inside the image.
        """
        window, low = self._window(np.concatenate(shapes))
        self.stencil[:] = 0
        union = np.zeros_like(self.stencil[window])
        if not union.size:
            return False
        for shape in shapes:
            self._fill(union, shape, low)
        contours, _ = cv2.findContours(union, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        visible = False
        for contour in contours:
            points = cv2.approxPolyDP(contour, 0.4 * OVERSAMPLING, closed=True)[:, 0] + low
            points = np.round((points + 0.5) / OVERSAMPLING - 0.5).astype(int)
            points = points.clip(0, (self.width - 1, self.height - 1))
            if len(points) < 3 or not np.ptp(points, axis=0).all():
                continue
            self._fill(self.stencil, points)
            self.objects.append({"label": label, "polygon": points.tolist()})
            visible = True
        return visible

    @staticmethod
    def _window(shape: np.ndarray) -> tuple[tuple[slice, slice], np.ndarray]:
        """The painted pixels around a pixel polygon, and the first of them (column, row)."""
        low = np.maximum((np.min(shape, 0) - 1) * OVERSAMPLING, 0).astype(int)
        high = np.maximum((np.max(shape, 0) + 2) * OVERSAMPLING, 0).astype(int)
        return np.s_[low[1] : high[1], low[0] : high[0]], low

    @staticmethod
    def _fill(mask: np.ndarray, shape: np.ndarray, low=0) -> None:
        corners = (np.asarray(shape, float) + 0.5) * OVERSAMPLING - 0.5 - low
        corners = np.round(corners * 2**SUBPIXEL_BITS).astype(np.int32)
        cv2.fillPoly(mask, [corners], 1, shift=SUBPIXEL_BITS)

    def paint(self, shape, colour, z=1.0, amount=0.03, grain="fine", alpha=1.0, free=False) -> None:
        """Blend ``colour`` (RGB) into a pixel polygon, inside of the object begun last or ``free``.

        ``z`` (metres) sets the haze, ``amount`` the standard deviation of the texture.
        """
        window, low = self._window(shape)
        mask = np.zeros_like(self.stencil[window])
        if not mask.size:
            return
        self._fill(mask, shape, low)
        if not free:
            mask &= self.stencil[window]
        fog = 1 - np.exp(-z / self.sight)
        lit = np.asarray(colour, float) * self.light * (1 - fog) + self.haze * fog
        texture = 1 + np.float32(amount) * self.grain[grain][window]
        fresh = cv2.merge([texture * np.float32(channel) for channel in lit])
        if alpha < 1:
            fresh = cv2.addWeighted(fresh, alpha, self.image[window], 1 - alpha, 0)
        cv2.copyTo(fresh, mask, self.image[window])

    def finished(self) -> np.ndarray:
        """The finished image (H, W, 3), uint8 RGB, with lens blur and sensor noise."""
        image = cv2.GaussianBlur(self.image, (0, 0), 0.45 * OVERSAMPLING)
        image = cv2.resize(image, (self.width, self.height), interpolation=cv2.INTER_AREA)
        image += self.rng.uniform(1.5, 5) * self.rng.standard_normal(image.shape, np.float32)
        return image.clip(0, 255).round().astype(np.uint8)
