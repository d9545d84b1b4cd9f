"""What a label map holds, as areas and outlines that other programs read."""

import cv2
import numpy as np

Ring = list[list[int]]


def area_rows(
    labels: np.ndarray, classes: tuple[str, ...], scale: float | None = None
) -> list[dict]:
    """Pixels and share of each class that is in ``labels`` (h, w); m² where ``scale`` is given.

    ``scale`` is the length of a pixel's side in metres.
    """
    counts = np.bincount(labels.ravel(), minlength=len(classes))
    rows = []
    for number in np.flatnonzero(counts).tolist():
        pixels = int(counts[number])
        row = {"id": number, "class": _name(number, classes), "pixels": pixels}
        row["share"] = pixels / labels.size
        rows.append(row | _square_metres(pixels, scale))
    return rows


def component_rows(
    labels: np.ndarray,
    classes: tuple[str, ...],
    scale: float | None = None,
    left_out: frozenset[int] = frozenset(),
) -> list[dict]:
    """Pixels, box and centre of each piece that touches itself by sides or corners, largest first.

    Box and centre are in pixels: ``x``, ``y`` of the upper left, ``width`` and ``height``.
    """
    rows = []
    for number in np.unique(labels).tolist():
        if number in left_out:
            continue
        mask = (labels == number).astype(np.uint8)
        count, _, stats, centres = cv2.connectedComponentsWithStats(mask)
        for piece in sorted(range(1, count), key=lambda i: -stats[i, cv2.CC_STAT_AREA]):
            x, y, width, height, pixels = (int(value) for value in stats[piece])
            row = {"id": number, "class": _name(number, classes), "pixels": pixels}
            row |= dict(x=x, y=y, width=width, height=height)
            row |= dict(centre_x=float(centres[piece][0]), centre_y=float(centres[piece][1]))
            rows.append(row | _square_metres(pixels, scale))
    return rows


def polygons_of(mask: np.ndarray) -> list[tuple[Ring, list[Ring]]]:
    """Outlines along the pixels' edges of each piece of ``mask``, bool (h, w): outer ring, holes.

    Points are (x, y) whose origin is the upper left corner of the first pixel; a ring's last point
    is not its first one again.
    """
    # Contours run through pixels' centres. In twice the size each pixel has one at each edge.
    doubled = np.repeat(np.repeat(mask.astype(np.uint8), 2, axis=0), 2, axis=1)
    contours, tree = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if tree is None:
        return []
    found: dict[int, Ring] = {}
    holes: dict[int, list[Ring]] = {}
    for index, (contour, (_, _, _, parent)) in enumerate(zip(contours, tree[0], strict=True)):
        ring = _corners((contour[:, 0] + 1) // 2)
        if len(ring) < 3:
            continue
        if parent < 0:
            found[index] = ring
        else:
            holes.setdefault(parent, []).append(ring)
    return [(ring, holes.get(index, [])) for index, ring in found.items()]


def run_lengths(mask: np.ndarray) -> list[int]:
    """COCO's uncompressed run lengths of a bool mask (h, w): zeros first, column by column."""
    pixels = np.concatenate([[False], mask.ravel(order="F")])
    edges = np.flatnonzero(pixels[1:] != pixels[:-1])
    return np.diff([0, *edges, mask.size]).tolist()


def ring_area(ring: Ring) -> float:
    """Pixels that ``ring`` encloses."""
    return float(cv2.contourArea(np.array(ring, np.float32)))


def geojson(polygons: list[dict]) -> dict:
    """A FeatureCollection of `Prediction.polygons`, whose coordinates are pixels, y downwards."""
    features = [
        {
            "type": "Feature",
            "properties": {key: one[key] for key in ("id", "class", "pixels")},
            "geometry": {
                "type": "Polygon",
                "coordinates": [[*ring, ring[0]] for ring in (one["outline"], *one["holes"])],
            },
        }
        for one in polygons
    ]
    return {"type": "FeatureCollection", "features": features}


def labelme(polygons: list[dict], image: str, size: tuple[int, int]) -> dict:
    """LabelMe's file of `Prediction.polygons`, the largest first, since it knows no holes.

    ``image`` is the name of the image's file, ``size`` its (h, w).
    """
    ordered = sorted(polygons, key=lambda one: -ring_area(one["outline"]))
    shapes = [
        dict(
            label=one["class"],
            points=one["outline"],
            group_id=None,
            description="",
            shape_type="polygon",
            flags={},
        )
        for one in ordered
    ]
    height, width = size
    return dict(
        version="5.5.0",
        flags={},
        shapes=shapes,
        imagePath=image,
        imageData=None,
        imageHeight=height,
        imageWidth=width,
    )


def coco(
    labels: np.ndarray,
    classes: tuple[str, ...],
    image: str,
    left_out: frozenset[int] = frozenset(),
) -> dict:
    """COCO's file of one image, a mask of run lengths for each class that is in ``labels``."""
    height, width = labels.shape
    annotations: list[dict] = []
    for number in np.unique(labels).tolist():
        if number in left_out:
            continue
        mask = labels == number
        x, y, box_width, box_height = cv2.boundingRect(mask.astype(np.uint8))
        annotations.append(
            dict(
                id=len(annotations) + 1,
                image_id=1,
                category_id=number,
                iscrowd=1,  # which is what run lengths are for
                area=int(mask.sum()),
                bbox=[x, y, box_width, box_height],
                segmentation=dict(size=[height, width], counts=run_lengths(mask)),
            )
        )
    categories = [dict(id=number, name=name) for number, name in enumerate(classes)]
    images = [dict(id=1, file_name=image, width=width, height=height)]
    return dict(images=images, categories=categories, annotations=annotations)


def _corners(points: np.ndarray) -> Ring:
    """``points`` (n, 2) of a ring without those that lie on a straight line or come twice."""
    points = points[(points != np.roll(points, 1, axis=0)).any(axis=1)]
    if len(points) < 3:
        return []
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    return points[turns].tolist()


def _name(number: int, classes: tuple[str, ...]) -> str:
    return classes[number] if number < len(classes) else str(number)


def _square_metres(pixels: int, scale: float | None) -> dict[str, float]:
    return {} if scale is None else {"m2": pixels * scale**2}
