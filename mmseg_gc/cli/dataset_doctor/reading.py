"""Read one image and its label as training does, and note all that is wrong with them."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from mmseg_gc.datasets.transforms.decoding import decode, fetch, levels_lost, stored_ids
from mmseg_gc.datasets.transforms.headers import read_header
from mmseg_gc.datasets.transforms.labels import (
    color_keys,
    colors_to_ids,
    count_ids,
    id_table,
    shared_color,
)
from mmseg_gc.datasets.transforms.nonfinite import count_nonfinite
from mmseg_gc.errors import UserError
from mmseg_gc.processes import process_pool


@dataclass(frozen=True)
class Decoding:
    """How the training pipeline opens files."""

    color_type: str = "color"
    image_backend: str = "cv2"
    image_args: dict | None = None
    label_backend: str = "pillow"
    label_args: dict | None = None
    changes_channels: bool = False  # by transforms that this tool doesn't know

    def image(self, path: str) -> np.ndarray:
        return self.image_of(fetch(path, self.image_args), path)

    def image_of(self, content: bytes, path: str) -> np.ndarray:
        return decode(content, path, self.color_type, self.image_backend)

    def label(self, path: str) -> np.ndarray:
        return self.label_of(fetch(path, self.label_args), path)

    def label_of(self, content: bytes, path: str) -> np.ndarray:
        label = decode(content, path, "unchanged", self.label_backend)
        return stored_ids(label, read_header(content))


@dataclass(frozen=True)
class Pair:
    """An image and, where it has one, its label; ``rules`` are the data set's `label_rules`."""

    split: str
    img_path: str
    seg_map_path: str | None
    rules: dict
    decoding: Decoding


@dataclass
class Report:
    """What was found in one pair. Counts are pixels; ``size`` is (w, h)."""

    faults: list[tuple[str, str, str | None]] = field(default_factory=list)  # kind, text, path
    size: tuple[int, int] | None = None
    channels: int = 0
    pixel_type: str = ""
    digest: bytes = b""
    raw: dict[int, int] = field(default_factory=dict)  # by id in the file
    counts: dict[int, int] = field(default_factory=dict)  # by class
    ignored: int = 0
    colors: dict[tuple, int] = field(default_factory=dict)  # of a mask that has no ids

    @property
    def labelled(self) -> int:
        return sum(self.counts.values())


def examine(pair: Pair) -> Report:
    """Read both files of ``pair``."""
    report = Report()
    try:
        content = fetch(pair.img_path, pair.decoding.image_args)
        image = pair.decoding.image_of(content, pair.img_path)
    except UserError as error:
        report.faults.append(("unreadable", _without_path(error, pair.img_path), pair.img_path))
    else:
        height, width = image.shape[:2]
        report.size = width, height
        report.channels = image.shape[2] if image.ndim == 3 else 1
        report.pixel_type = f"{report.channels} x {image.dtype}"
        # Every image is digested in part; those that agree are compared in full later.
        report.digest = _digest(image, max(1, min(height, width) // 128))
        levels = levels_lost(content, pair.img_path, image)
        if levels and levels[0] < levels[1]:
            text = f"has more than 8 bits: {levels[1]} levels become {levels[0]}"
            report.faults.append(("bits", text, pair.img_path))
        if nonfinite := count_nonfinite(image):
            text = f"has {nonfinite} of {image.size} values that are NaN or infinite"
            report.faults.append(("nonfinite", text, pair.img_path))
    if pair.seg_map_path is not None:
        try:
            content = fetch(pair.seg_map_path, pair.decoding.label_args)
            label = pair.decoding.label_of(content, pair.seg_map_path)
        except UserError as error:
            text = _without_path(error, pair.seg_map_path)
            report.faults.append(("unreadable", text, pair.seg_map_path))
        else:
            if lossy := read_header(content).lossy:
                text = f"is a {lossy}, whose compression changes ids"
                report.faults.append(("lossy", text, pair.seg_map_path))
            _examine_label(label, pair, report)
    return report


def sort_ids(raw: dict[int, int], rules: dict) -> tuple[dict[int, int], int, dict[int, int]]:
    """Pixels by class, ignored pixels, and pixels by id outside the classes, of the file's ids."""
    ignore_index, num_classes = rules["ignore_index"], rules["num_classes"] or 256
    table = id_table(
        bool(rules["reduce_zero_label"]),
        rules["label_map"],
        ignore_index,
        rules.get("file_label_map"),
    )
    counts: Counter[int] = Counter()
    ignored, wrong = 0, {}
    for number, pixels in raw.items():
        final = int(table[int(number)]) if number in range(256) else -1
        if final == ignore_index:
            ignored += pixels
        elif 0 <= final < num_classes:
            counts[final] += pixels
        else:
            wrong[number] = pixels
    return dict(counts), ignored, wrong


def whole_digest(pair: Pair) -> bytes:
    """A digest of every pixel of the image."""
    return _digest(pair.decoding.image(pair.img_path), 1)


def in_parallel(work: Callable, items: Sequence, nproc: int, title: str) -> Iterator:
    """``work`` on every item in ``nproc`` processes, in order, under a bar.

    Raises:
        UserError: A process was killed.
    """
    bar = {"total": len(items), "desc": title, "unit": "pair", "dynamic_ncols": True}
    if nproc <= 1 or len(items) < 2:
        yield from tqdm(map(work, items), **bar)
        return
    pool = process_pool(min(nproc, len(items)), "mmseg_gc.datasets")
    try:
        yield from tqdm(pool.map(work, items, chunksize=min(16, -(-len(items) // nproc))), **bar)
    except BrokenProcessPool:
        raise UserError("A process was killed: run again with a smaller --nproc.") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _digest(image: np.ndarray, stride: int) -> bytes:
    content = hashlib.blake2b(f"{image.shape} {image.dtype}".encode(), digest_size=16)
    content.update(image[::stride, ::stride].tobytes())
    return content.digest()


def _examine_label(label: np.ndarray, pair: Pair, report: Report) -> None:
    path = pair.seg_map_path
    size = label.shape[1], label.shape[0]
    if report.size and size != report.size:
        text = f"is {size[0]} x {size[1]}, its image {report.size[0]} x {report.size[1]}"
        if size == report.size[::-1]:
            text += "; one of them is turned, perhaps by an EXIF mark"
        report.faults.append(("size", text, path))
    if label.ndim == 3 and label.shape[2] == 1:
        label = label[..., 0]
    if label.ndim == 3:
        _examine_colors(label, pair, report)
        return
    report.raw = _count(label)
    report.counts, report.ignored, wrong = sort_ids(report.raw, pair.rules)
    if wrong:
        shown = ", ".join(f"{number} ({n:,} px)" for number, n in sorted(wrong.items())[:8])
        more = f" and {len(wrong) - 8} more" if len(wrong) > 8 else ""
        report.faults.append(("ids", f"has {shown}{more}", path))


def _count(label: np.ndarray) -> dict[int, int]:
    if label.dtype == bool:
        label = label.astype(np.uint8)
    if label.dtype == np.uint8:
        counts = count_ids(label)
        return {int(number): int(counts[number]) for number in np.flatnonzero(counts)}
    numbers, counts = np.unique(label, return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))


def _examine_colors(mask: np.ndarray, pair: Pair, report: Report) -> None:
    colors, channels = pair.rules["mask_colors"], mask.shape[2]
    path = pair.seg_map_path
    if channels == 2 or mask.dtype != np.uint8:
        text = f"has {channels} channels of {mask.dtype}; an id or an 8-bit colour is expected"
        report.faults.append(("colour", text, path))
        return
    mask = np.ascontiguousarray(mask[..., :3])
    if not colors:
        found = _count_colors(mask)
        text = f"has {channels} channels and {len(found)} colours, no ids"
        _add_color_fault(found, text, path, report)
        return
    if shared := shared_color(colors):
        text = f"can't be read: classes {shared[1]} and {shared[2]} share the colour {shared[0]}"
        report.faults.append(("colour", text, path))
        return
    label, unknown = colors_to_ids(mask, colors)
    if not unknown:
        report.raw = _count(label)
    else:
        found = _count_colors(mask)
        id_of = {tuple(color): number for color, number in colors}
        raw: Counter[int] = Counter()
        for color, pixels in found.items():
            if color in id_of:
                raw[id_of[color]] += pixels
        report.raw = dict(raw)
        strange = [f"{color} ({n:,} px)" for color, n in found.items() if color not in id_of]
        text = f"is a colour mask with {len(unknown)} colours outside the palette: "
        _add_color_fault(found, text + ", ".join(strange[:5]), path, report)
    # The palette's colours lead to the ids of training at once.
    plain = pair.rules | {"reduce_zero_label": False, "label_map": None, "file_label_map": None}
    report.counts, report.ignored, _ = sort_ids(report.raw, plain)


def _add_color_fault(
    found: dict[tuple[int, int, int], int], text: str, path: str | None, report: Report
) -> None:
    if all(r == g == b for r, g, b in found):
        text += "; its channels are equal: keep one"
    report.faults.append(("colour", text, path))
    report.colors = dict(list(found.items())[:64])


def _count_colors(mask: np.ndarray) -> dict[tuple[int, int, int], int]:
    """Pixels by colour (r, g, b), the most frequent first."""
    keys, counts = np.unique(color_keys(mask), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    rgb = np.stack([keys >> 16 & 255, keys >> 8 & 255, keys & 255], 1)[order].tolist()
    return dict(zip(map(tuple, rgb), counts[order].tolist(), strict=True))


def _without_path(error: UserError, path: str) -> str:
    return str(error).removeprefix(path).strip()
