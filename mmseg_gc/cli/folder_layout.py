"""Where a folder has its images and labels, and what the labels hold."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from mmseg_gc.datasets.files import IMAGE_SUFFIXES, is_hidden
from mmseg_gc.datasets.transforms.decoding import decode, fetch, stored_ids
from mmseg_gc.datasets.transforms.headers import read_header
from mmseg_gc.errors import UserError
from mmseg_gc.evaluation.label_files import EVERY_UINT8

IMAGE_FOLDERS = (
    "images",
    "image",
    "imgs",
    "img",
    "jpegimages",
    "rgb",
    "photos",
    "pictures",
    "input",
)
LABEL_FOLDERS = (
    "labels", "label", "masks", "mask", "annotations", "annotation", "annot", "ann", "gt",
    "segmentations", "segmentationclass", "targets", "target",
)  # fmt: skip
SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
CLASS_FILES = ("classes.txt", "class_names.txt", "labels.txt", "label_names.txt", "names.txt")
COLOUR_FILES = ("class_dict.csv", "label_colors.csv", "classes.csv")
LOOKED_AT = 200  # label files
MOST_COLOURS = 256
MOST_GUESSED = 60  # classes that may be without names and mostly without pixels
LEVELS_APART = 20  # grey levels of masks that stand for classes are further apart than ids


@dataclass
class Split:
    """Images below one folder and labels below another, by the names that they share."""

    image_dir: Path
    label_dir: Path
    images: dict[str, Path] = field(default_factory=dict)
    labels: dict[str, Path] = field(default_factory=dict)
    label_tails: tuple[str, ...] = (".png",)  # what labels' names have behind the images'

    @property
    def names(self) -> list[str]:
        return sorted(self.images.keys() & self.labels.keys())


@dataclass
class Labels:
    """What label files hold, as the keys of a data set have it."""

    classes: list[str]
    palette: list[list[int]] | None = None
    label_map: dict[int, int] | None = None
    reduce_zero_label: bool = False
    about: str = ""


def find_splits(root: Path) -> dict[str, Split]:
    """The splits below ``root``, by ``train``, ``val`` and ``test``; a flat folder is ``all``.

    Raises:
        UserError: there is no folder, or no image with a label in it.
    """
    if not root.is_dir():
        raise UserError(f"{root} is no folder; name the one with your images and labels.")
    places = {name: _places(root, names) for name, names in SPLITS.items()}
    found = {name: _first(pairs) for name, pairs in places.items()}
    splits = {name: split for name, split in found.items() if split}
    if "train" in splits:
        return splits
    flat = _first(_flat_places(root))
    if flat:
        return {"all": flat}
    outlines = next((path for path in sorted(root.rglob("*.json")) if is_outlines(path)), None)
    if outlines:
        raise UserError(
            f"{outlines} holds labels as outlines, as COCO and LabelMe do: turn them to masks "
            f"by `mmseg_gc convert coco {root} -o NEW`, or labelme, cvat or yolo in place of coco, "
            "and name NEW here."
        )
    raise UserError(
        f"{root} has no images with labels of the same names: put them into images/ and labels/, "
        "or into images/train, labels/train, images/val and labels/val."
    )


def undivided(splits: dict[str, Split]) -> Split | None:
    """What is to be divided into train and val: a flat folder, or a train without a val."""
    return splits.get("all") or (None if "val" in splits else splits.get("train"))


def is_outlines(path: Path) -> bool:
    """Whether a JSON file is COCO's or LabelMe's, by its first keys: it may be huge."""
    with open(path, "rb") as file:
        start = file.read(4096)
    return any(key in start for key in (b'"annotations"', b'"shapes"', b'"images"', b'"info"'))


def read_labels(root: Path, paths: Sequence[Path], names: Sequence[str] | None = None) -> Labels:
    """What ``paths``, label files of ``root``, hold: ids, a palette, colours, or 0 and 255.

    ``names`` of classes go before those in a file of ``root``.

    Raises:
        UserError: a file can't be read, or holds neither.
    """
    step = max(1, len(paths) // LOOKED_AT)
    ids: Counter[int] = Counter()
    colours: Counter[tuple[int, ...]] = Counter()
    palette: list[list[int]] | None = None
    for path in paths[::step]:
        content = fetch(str(path), None)
        label = decode(content, str(path), "unchanged", "pillow")
        label = stored_ids(
            label[..., 0] if label.shape[2:] == (1,) else label, read_header(content)
        )
        if label.ndim == 3 and label.shape[2] >= 3:
            pixels = label[..., 2::-1].reshape(-1, 3).astype(np.uint32)
            packed, counts = np.unique(
                pixels @ np.array([1 << 16, 1 << 8, 1], np.uint32), return_counts=True
            )
            for one, number in zip(packed.tolist(), counts.tolist(), strict=True):
                colours[one >> 16, one >> 8 & 255, one & 255] += number
        elif label.ndim == 3:
            raise UserError(f"{path} has {label.shape[2]} channels; save labels without alpha.")
        else:
            values, counts = np.unique(label.astype(np.int64), return_counts=True)
            ids.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
            palette = palette or _palette_of(content)
        if len(colours) > MOST_COLOURS:
            raise UserError(
                f"{path} and others hold more than {MOST_COLOURS} colours, as labels do that were "
                "saved as JPEG or resized smoothly: make them again as PNG, by nearest."
            )
    if colours and ids:
        raise UserError(f"{root}: some labels hold colours and others ids; make them of one kind.")
    named, given_colours = (list(names), None) if names else _named_classes(root)
    if colours:
        found = _of_colours(colours, named, given_colours)
    else:
        found = _of_ids(ids, named, given_colours or palette)
    if not names and named and len(named) != len(found.classes):
        raise UserError(
            f"{root} has a file with the names of {len(named)} classes, and there are "
            f"{len(found.classes)}: {found.about}; correct it."
        )
    if len(found.classes) < 2:
        raise UserError(f"{found.about}, which is one class: nothing is there to be told apart.")
    return found


def _palette_of(content: bytes) -> list[list[int]] | None:
    with Image.open(BytesIO(content)) as image:
        flat = image.getpalette() if image.mode == "P" else None
    return [flat[i : i + 3] for i in range(0, len(flat), 3)] if flat else None


def _of_colours(colours: Counter, named: list[str], given: list[list[int]] | None) -> Labels:
    palette = given or [list(colour) for colour in sorted(colours)]
    missing = [colour for colour in colours if list(colour) not in palette]
    if missing:
        raise UserError(
            f"the labels hold the colour {missing[0]}, which the list of classes lacks."
        )
    default = [
        "background" if not any(colour) else f"class_{number}"
        for number, colour in enumerate(palette)
    ]
    names = named if len(named) == len(palette) else default
    return Labels(names, palette, about=f"labels of {len(palette)} colours")


def _of_ids(ids: Counter, named: list[str], palette: list[list[int]] | None) -> Labels:
    found = sorted(ids)
    if found[0] < 0:
        raise UserError(f"the labels hold the id {found[0]}; ids go from 0 to 254.")
    if found[-1] >= EVERY_UINT8:
        raise UserError(
            f"the labels hold the id {found[-1]}; ids go from 0 to 254, 255 is ignored."
        )
    label_map, reduce_zero_label = None, False
    steps = np.diff(found)
    if len(found) > 1 and found[0] == 0 and steps.min() > LEVELS_APART:
        label_map = {level: place for place, level in enumerate(found) if level != place}
        count, about = len(found), f"labels of the grey levels {', '.join(map(str, found))}"
    else:
        plain = [number for number in found if number != 255]
        if not plain:
            raise UserError("the labels hold 255 alone, which is the id of ignored pixels.")
        gaps = plain[-1] > MOST_GUESSED and 2 * len(plain) < plain[-1]
        if not named and (gaps or len(plain) > EVERY_UINT8 // 2):
            raise UserError(
                f"the labels hold {len(plain)} grey levels up to {plain[-1]}, as masks do that "
                "were saved as JPEG or resized smoothly: make them again as PNG, by nearest, or "
                "name all of the classes in classes.txt."
            )
        # Names for one id more than there are count from 0, which no label seen here holds.
        reduce_zero_label = plain[0] == 1 and len(named) <= plain[-1]
        count = max(plain[-1] + (not reduce_zero_label), len(named))
        about = f"labels of the ids {plain[0]} to {plain[-1]}" + (
            ", 255 is ignored" if 255 in ids else ""
        )
    default = [f"class_{number}" for number in range(count)]
    if count == 2:
        default = ["background", "foreground"]
    names = named if len(named) == count else default
    colours = palette[reduce_zero_label : count + reduce_zero_label] if palette else None
    fits = len({tuple(colour) for colour in colours or ()}) == count > 0
    # A palette of greys alone would have masks of one channel read by their grey levels.
    fits = fits and any(len(set(colour)) > 1 for colour in colours or ()) and label_map is None
    return Labels(names, colours if fits else None, label_map, reduce_zero_label, about)


def _named_classes(root: Path) -> tuple[list[str], list[list[int]] | None]:
    """Names, and colours where a file has them, of the usual files beside the data."""
    for name in COLOUR_FILES:
        if (root / name).is_file():
            with open(root / name, newline="", encoding="utf-8") as file:
                rows = [row for row in csv.reader(file) if len(row) >= 4]
            rows = [row for row in rows if all(cell.strip().isdigit() for cell in row[1:4])]
            if rows:
                return [row[0].strip() for row in rows], [list(map(int, row[1:4])) for row in rows]
    for name in CLASS_FILES:
        if (root / name).is_file():
            lines = (root / name).read_text(encoding="utf-8").splitlines()
            return [line.strip() for line in lines if line.strip()], None
    return [], None


def _places(root: Path, names: Sequence[str]) -> list[tuple[Path, Path]]:
    """Folders of images and of labels that a split called one of ``names`` may have."""
    folders = _folders(root)
    images = [folders[name] for name in IMAGE_FOLDERS if name in folders]
    labels = [folders[name] for name in LABEL_FOLDERS if name in folders]
    pairs = []
    for name in names:
        pairs += [
            (_folders(one)[name], _folders(other)[name])
            for one in images
            for other in labels
            if name in _folders(one) and name in _folders(other)
        ]
        if name in folders:
            pairs += _flat_places(folders[name])
            for tail in LABEL_FOLDERS:
                for joined in (f"{name}{tail}", f"{name}_{tail}", f"{name}-{tail}"):
                    if joined in folders:
                        pairs.append((folders[name], folders[joined]))
    return pairs


def _flat_places(folder: Path) -> list[tuple[Path, Path]]:
    folders = _folders(folder)
    pairs = [
        (folders[one], folders[other])
        for one in IMAGE_FOLDERS
        for other in LABEL_FOLDERS
        if one in folders and other in folders
    ]
    return [*pairs, (folder, folder)]


def _first(pairs: Sequence[tuple[Path, Path]]) -> Split | None:
    for image_dir, label_dir in pairs:
        split = _paired(image_dir, label_dir)
        if split.names:
            return split
    return None


def _paired(image_dir: Path, label_dir: Path) -> Split:
    apart = image_dir != label_dir
    stems: dict[str, Path] = {}
    for name, path in _files(image_dir, apart).items():
        stem = name.rsplit(".", 1)[0]
        if stem not in stems or path.suffix.lower() != ".png":  # of two, the PNG is the label
            stems[stem] = path
    labels = _files(label_dir, apart)
    tails: Counter[str] = Counter()
    for name, path in labels.items():
        stem = name.rsplit(".", 1)[0]
        while stem and (stem not in stems or stems[stem] == path):
            stem = stem[: max(stem.rfind("_"), stem.rfind("-"), 0)]
        if stem:
            tails[name[len(stem) :]] += 1
    if not tails:
        return Split(image_dir, label_dir)
    commonest = Path(f"x{tails.most_common(1)[0][0]}").stem  # whatever the suffix
    kept = sorted(tail for tail in tails if Path(f"x{tail}").stem == commonest)
    found = {
        name[: -len(tail)]: labels[name] for tail in kept for name in labels if name.endswith(tail)
    }
    taken = set(found.values())
    images = {stem: path for stem, path in stems.items() if path not in taken}
    return Split(image_dir, label_dir, images, found, tuple(kept))


def _folders(folder: Path) -> dict[str, Path]:
    return {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}


def _files(folder: Path, recursive: bool) -> dict[str, Path]:
    """Images below ``folder`` by their path in it."""
    paths = folder.rglob("*") if recursive else folder.iterdir()
    found = {path.relative_to(folder).as_posix(): path for path in sorted(paths)}
    return {
        name: path
        for name, path in found.items()
        if path.suffix.lower() in IMAGE_SUFFIXES and not is_hidden(name)
    }
