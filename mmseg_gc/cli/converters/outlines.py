"""What the converters of annotators' files share: images with shapes become images with labels."""

import argparse
import functools
import io
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from PIL import Image

from mmseg_gc.cli.converters.common import (
    FORMATS,
    Tally,
    argument_parser,
    place,
    run,
    summarise,
    write_labels,
    write_lines,
)
from mmseg_gc.cli.converters.polygons import IGNORED, MAX_PIXELS, Shape, draw
from mmseg_gc.cli.converters.sources import Member, Task, open_source, stream
from mmseg_gc.errors import UserError

IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}
BACKGROUND = ("background", "_background_", "__background__")
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


class Outlined(NamedTuple):
    """An image, its place below ``images/``, its size (h, w) if the file says it, its shapes."""

    image: Member
    name: str
    size: tuple[int, int] | None
    shapes: Sequence[Shape]


@dataclass
class Found:
    """What a format's reader makes of the sources; ``tally`` has what it could not make use of."""

    images: list[Outlined] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    tally: Tally = field(default_factory=lambda: Tally("outlines read"))

    def add(self, image: Member, name: str, size: object, shapes: Sequence[Shape]) -> None:
        """Take in an image; its classes come behind those that there are.

        Raises:
            UserError: the size isn't one.
        """
        if size is not None:
            sides = tuple(size) if isinstance(size, tuple) else ()
            if not all(type(side) is int and side > 0 for side in sides) or len(sides) != 2:
                raise UserError("has no sensible height and width")
            if math.prod(sides) >= MAX_PIXELS:
                raise UserError(f"is said to have {sides[1]}x{sides[0]} pixels")
        self.images.append(Outlined(image, name, size, shapes))  # type: ignore[arg-type]
        self.classes += dict.fromkeys(one.label for one in shapes if one.label not in self.classes)
        self.tally.done += 1

    def fail(self, member: object, error: UserError) -> None:
        self.tally.failures.append(f"{member} {error}: mend it, or take it out")


class Files:
    """The files of all sources, by name."""

    def __init__(self, sources: Sequence[Path], out_dir: Path) -> None:
        self.members: list[Member] = []
        for source in sources:
            is_text = source.is_file() and source.suffix in (".json", ".xml")
            self.members += [Member.at(source)] if is_text else open_source(source, out_dir)
        self.images: dict[str, list[Member]] = defaultdict(list)
        for member in self.members:
            if PurePosixPath(member.name).suffix.lower() in IMAGES:
                self.images[PurePosixPath(member.name).name].append(member)

    def contents(self, *suffixes: str) -> dict[Member, bytes]:
        """What the files of these suffixes hold.

        Raises:
            UserError: one can't be read.
        """
        chosen = [m for m in self.members if PurePosixPath(m.name).suffix.lower() in suffixes]
        try:
            plain = {m: m.source.read_bytes() for m in chosen if not m.entry}
        except OSError as error:
            raise UserError(f"{error.filename} can't be read ({error.strerror}).") from None
        packed = stream([Task(m, Path()) for m in chosen if m.entry])
        places = {(m.source, m.entry): m for m in chosen}
        read = {places[t.member.source, t.member.entry]: t.member.read() for t in packed}
        return {m: (plain | read)[m] for m in chosen}

    def image(self, name: str, beside: Member) -> Member:
        """The image that ``beside``, a file of annotations, calls ``name``.

        Raises:
            UserError: there is none, or several are as near.
        """
        path = PurePosixPath(name.replace("\\", "/"))
        found = self.images.get(path.name, [])
        same_folder = [
            m
            for m in found
            if (m.source == beside.source or not m.entry and not beside.entry)
            and _folder(m) == _folder(beside)
        ]
        found = same_folder or [m for m in found if f"/{m.name}".endswith(f"/{path}")] or found
        if len(found) != 1:
            many = "several of it" if found else "it"
            raise UserError(
                f"names the image {name}, and the sources hold {many if found else 'none'}"
            )
        return found[0]


def _folder(member: Member) -> str:
    return str(PurePosixPath(member.name).parent if member.entry else member.source.parent)


def split_of(path: str) -> str | None:
    """The split that the words of a path name last."""
    words = "".join(c if c.isalpha() else " " for c in path.lower()).split()
    return next((SPLITS[word] for word in reversed(words) if word in SPLITS), None)


@dataclass(frozen=True)
class DrawTask(Task):
    """Draw ``shapes`` as the label ``target`` of the image ``member``."""

    size: tuple[int, int] | None = None
    shapes: Sequence[Shape] = ()


def label(task: Task, ids: dict[str, int], **how: Any) -> bool:
    """Write the label of one image."""
    assert isinstance(task, DrawTask)
    size = size_of(task.member)
    if task.size not in (None, size):
        said = f"{task.size[1]}x{task.size[0]}"
        raise UserError(f"{task.member} is {size[1]}x{size[0]}, its outlines say {said}: get both.")
    drawn = draw(
        [scaled(one, size) for one in task.shapes] if task.size is None else task.shapes,
        ids,
        size,
        **how,
    )
    return write_labels(task.target, drawn)


def scaled(one: Shape, size: tuple[int, int]) -> Shape:
    """A shape in pixels, whose rings were in shares of the image's width and height."""
    return Shape(one.label, tuple(ring * size[::-1] for ring in one.rings))


def size_of(member: Member) -> tuple[int, int]:
    """Height and width of an image as viewers show it, turned by its EXIF orientation.

    Raises:
        UserError: it can't be read.
    """
    try:
        with Image.open(io.BytesIO(member.read()), formats=FORMATS) as image:
            width, height = image.size
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    except UserError:
        raise
    except Exception as error:  # decoders raise what they happen to raise
        raise UserError(f"{member} is no readable image ({error}): get it again.") from None
    return (width, height) if turned else (height, width)


def class_ids(classes: Sequence[str], chosen: Sequence[str] | None, ignore: bool) -> list[str]:
    """The names of all ids, in order.

    Raises:
        UserError: a chosen class isn't there, or there are none, or too many.
    """
    if chosen and (unknown := [name for name in chosen if name not in classes]):
        raise UserError(f"--classes names {unknown}, and there are {', '.join(classes)}.")
    named = [name for name in chosen or classes if name not in BACKGROUND]
    if not named or len(named) > 250:
        raise UserError(f"the sources have {len(named)} classes; give what has 1 to 250.")
    return named if ignore else ["background", *named]


def parse_args(
    name: str, description: str, overlap: str, arguments: Sequence[str] | None
) -> argparse.Namespace:
    parser = argument_parser(name, description, many=True)
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="only these, in this order")
    parser.add_argument(
        "--unlabelled", default="background", choices=["background", "ignore"],
        help="what no shape covers: a class of id 0, or pixels that nobody counts (255)",
    )  # fmt: skip
    parser.add_argument(
        "--overlap", default=overlap, choices=["area", "order"],
        help=f"on top is the smaller shape, or the later one; default: {overlap}",
    )  # fmt: skip
    parser.add_argument("--holes", action="store_true", help="rings inside of rings are holes")
    return parser.parse_args(arguments)


def convert(
    name: str,
    description: str,
    read: Callable[[Files, Found], None],
    overlap: str,
    arguments: Sequence[str] | None,
) -> None:
    """Be the command ``mmseg_gc convert NAME`` for a format that ``read`` knows.

    Raises:
        UserError: there is nothing to convert, or a file failed.
    """
    args = parse_args(name, description, overlap, arguments)
    root, found = args.out_dir or Path(f"data/{name}"), Found()
    read(Files(args.source, root), found)
    if not found.images and not found.tally.failures:
        raise UserError(f"{' and '.join(map(str, args.source))} has no annotations of {name}.")
    ignore = args.unlabelled == "ignore"
    if not found.images:
        summarise([found.tally], args.dry_run, root)
    names = class_ids(found.classes, args.classes, ignore)
    places = list(_places(found.images))
    images = [
        Task(one.image, root / "images" / at) for one, at in zip(found.images, places, strict=True)
    ]
    labels = [
        DrawTask(one.image, root / "labels" / Path(at).with_suffix(".png"), one.size, one.shapes)
        for one, at in zip(found.images, places, strict=True)
    ]
    ids = {label: number for number, label in enumerate(names)}
    work = functools.partial(
        label, ids=ids, unlabelled=IGNORED if ignore else 0,
        by_area=args.overlap == "area", holes=args.holes,
    )  # fmt: skip
    lists = Tally("class names")
    tallies = [found.tally, run("images placed", place, images, args.nproc, args.dry_run)]
    tallies.append(run("labels drawn", work, labels, args.nproc, args.dry_run))
    write_lines(root / "classes.txt", names, lists, args.dry_run)
    summarise([*tallies, lists], args.dry_run, root)
    if not args.dry_run:
        print(f"Go on by: mmseg_gc init {root} -o mine.py")


def _places(images: Iterable[Outlined]) -> Iterable[str]:
    """The place of each image, which its label shares.

    Raises:
        UserError: two have one.
    """
    taken: dict[str, str] = {}
    for one in images:
        stem = str(PurePosixPath(one.name).with_suffix("")).lower()
        if stem in taken:
            raise UserError(
                f"{taken[stem]} and {one.name} would share a label: rename one, or convert them "
                "apart."
            )
        taken[stem] = one.name
        yield one.name
