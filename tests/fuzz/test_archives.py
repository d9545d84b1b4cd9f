"""Damaged and hostile archives: all of the data set, or one sentence and a rerun that completes."""

import bz2
import contextlib
import gzip
import io
import lzma
import random
import stat
import sys
import tarfile
import zipfile
from functools import cache
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from harness import PLANTED, TARGET, fuzz, fuzz_in_child, is_sentence, run_child
from PIL import Image

SUFFIXES = ("tar", "tar.gz", "tar.bz2", "tar.xz", "zip")
COMPRESS = {"tar.gz": gzip.compress, "tar.bz2": bz2.compress, "tar.xz": lzma.compress}
ROOT = "SegNet/CamVid"
UNPACKED_BYTES = 4 << 20  # the limit, made small


@cache
def members() -> dict[str, bytes]:
    """A whole data set in SegNet's layout, and a file that no converter wants."""
    rng = np.random.default_rng(0)
    files = {f"{ROOT}/README": b"CamVid" * 20}
    for split in ("train", "val"):
        for number in range(2):
            for folder, pixels in (
                (split, rng.integers(0, 256, (9, 12, 3), np.uint8)),
                (f"{split}annot", rng.integers(0, 12, (9, 12), np.uint8)),
            ):
                content = io.BytesIO()
                Image.fromarray(pixels).save(content, "PNG")
                files[f"{ROOT}/{folder}/{number}.png"] = content.getvalue()
    return files


def packed(suffix: str, add=lambda archive: None, notes: int = tarfile.GNU_FORMAT) -> bytes:
    """The data set as an archive, to which ``add`` may add."""
    content = io.BytesIO()
    if suffix == "zip":
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members().items():
                archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
            add(archive)
        return content.getvalue()
    with tarfile.open(fileobj=content, mode="w", format=notes) as archive:
        for name, data in members().items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        add(archive)
    return COMPRESS.get(suffix, bytes)(content.getvalue())


def flipped(rng: random.Random, suffix: str, trap: Path) -> bytes:
    content = bytearray(packed(suffix))
    for _ in range(rng.choice((1, 1, 1, 4))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def flipped_header(rng: random.Random, suffix: str, trap: Path) -> bytes:
    """A wrong bit in a header of a tar, or in the directory of a zip."""
    content = bytearray(packed("zip" if suffix == "zip" else "tar"))
    if suffix == "zip":
        start = content.index(b"PK\x01\x02")
        content[rng.randrange(start, len(content))] ^= 1 << rng.randrange(8)
        return bytes(content)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        start = rng.choice([info.offset for info in archive])
    content[start + rng.randrange(512)] ^= 1 << rng.randrange(8)
    return COMPRESS.get(suffix, bytes)(bytes(content))


def cut(rng: random.Random, suffix: str, trap: Path) -> bytes:
    content = packed(suffix)
    start, stop = sorted(rng.randrange(len(content)) for _ in range(2))
    return rng.choice(
        (
            content[:start],
            content[start:],
            content[:start] + content[stop:],
            content[:start] + bytes(stop - start) + content[stop:],
            content[:-1],
            content + content[:start],
            content * 2,
        )
    )


def cut_inside(rng: random.Random, suffix: str, trap: Path) -> bytes:
    """A tar that was cut before it was compressed."""
    content = packed("tar")
    start = rng.randrange(0, len(content), 512)
    content = rng.choice((content[:start], content[:start] + bytes(512) + content[start + 512 :]))
    return COMPRESS.get(suffix, bytes)(content)


def hostile(rng: random.Random, suffix: str, trap: Path) -> bytes:
    name = f"{ROOT}/train/9.png"
    odd_names = [
        f"../{PLANTED}",
        f"{ROOT}/train/../../../../{PLANTED}",
        str(trap),
        f"..\\{PLANTED}",
        f"C:\\{PLANTED}",
        f"{ROOT}/train/\udcff.png",
        f"{ROOT}/train/a\nb.png",
        f"{ROOT}/train/{'a' * 300}.png",
        f"{ROOT}/train/0.png",
        f"{ROOT}/train/0.png/1.png",
        f"{'d/' * 3000}train/9.png",
        "",
        "/",
    ]
    if suffix == "zip":
        kind = rng.choice([stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, 0, 0, 0])

        def add(archive: zipfile.ZipFile) -> None:
            odd = rng.choice(odd_names).encode("utf-8", "replace").decode()
            info = zipfile.ZipInfo(name if kind else odd or "x/")
            info.external_attr = (kind | 0o777) << 16
            archive.writestr(info, b"/etc/passwd")
            if rng.random() < 0.3:
                bomb = zipfile.ZipInfo(name)
                archive.writestr(bomb, bytes(2 * UNPACKED_BYTES), zipfile.ZIP_DEFLATED)
                bomb.file_size = rng.choice((1, 1 << 10, 1 << 31, 1 << 40))

        return packed(suffix, add)

    def add_to_tar(archive: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        what = rng.randrange(6)
        if what == 0:
            info.type = rng.choice(b"123467DKLMNSVxgXA%".decode()).encode()
            info.linkname = rng.choice(("/etc/passwd", "0.png", "../../../..", name))
        elif what == 1:
            info.name = rng.choice(odd_names)
        elif what == 2:
            # GNU's numbers: negative ones, and more than a disk holds.
            info.size = rng.choice((-512, -(2**40), 2**40, 2**62, 2**70, 3 << 30))
            archive.fileobj.write(info.tobuf(tarfile.GNU_FORMAT))
            return
        elif what == 3:
            key = rng.choice(("size", "path", "GNU.sparse.map", "GNU.sparse.size", "hdrcharset"))
            values = ("-512", str(2**70), "x", "1,2", "BINARY", str(trap), "0" * 9000)
            info.pax_headers = {key: rng.choice(values)}
            archive.fileobj.write(info.tobuf(tarfile.PAX_FORMAT))
            return
        elif what == 4:
            info.type = rng.choice((b"x", b"g", b"L"))
            info.size = rng.choice((1 << 20, 1 << 34))
            archive.fileobj.write(info.tobuf(tarfile.GNU_FORMAT) + b"1" * 40960)
            return
        else:
            for _ in range(2000):  # notes on notes
                info.type, info.size = b"x", 0
                archive.fileobj.write(info.tobuf(tarfile.GNU_FORMAT))
            return
        archive.addfile(info)

    return packed(suffix, add_to_tar, rng.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)))


def unlike(rng: random.Random, suffix: str, trap: Path) -> bytes:
    zeros = bytes(3 * UNPACKED_BYTES)
    return rng.choice(
        [
            lambda: b"",
            lambda: b"PK",
            lambda: rng.randbytes(3000),
            lambda: bytes(10240),
            lambda: b"<html>Sign in</html>",
            lambda: gzip.compress(b"no tar"),
            lambda: gzip.compress(zeros),
            lambda: lzma.compress(zeros),
            lambda: bz2.compress(zeros),
            lambda: gzip.compress(packed("tar") + zeros),
            lambda: gzip.compress(packed("tar"))[:-4] + bytes(4),  # another length
            lambda: gzip.compress(packed("tar")) + b"trailing",
        ]
    )()


KINDS = (flipped, flipped_header, cut, cut_inside, hostile, unlike)


def convert(archive: Path, target: Path) -> tuple[int, str, str]:
    """Status and output of camvid.py, run in this process."""
    from mmseg_gc.cli import command
    from mmseg_gc.cli.converters import archives, camvid

    out, err = io.StringIO(), io.StringIO()
    arguments = ["camvid.py", str(archive), "-o", str(target), "--nproc", "1"]
    with (
        patch.object(archives, "MAX_UNPACKED_BYTES", UNPACKED_BYTES),
        patch.object(command, "check_environment"),  # each time the same
        patch.object(sys, "argv", arguments),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as end,
    ):
        camvid.main()
    return end.value.code, out.getvalue(), err.getvalue()


def require_whole(target: Path) -> None:
    found = {f"{ROOT}/{path.relative_to(target)}": path for path in target.rglob("*.png")}
    wanted = {name: data for name, data in members().items() if name.endswith(".png")}
    wrong = [name for name, path in found.items() if path.read_bytes() != wanted.get(name)]
    assert not wrong and len(found) == len(wanted), f"ready with {len(found)} files, wrong {wrong}"


def case(number: int, folder: Path) -> str:
    rng = random.Random(number)
    kind, suffix = KINDS[number % len(KINDS)], rng.choice(SUFFIXES)
    archive, target = folder / f"CamVid.{suffix}", folder / TARGET
    archive.write_bytes(kind(rng, suffix, folder / PLANTED))
    status, out, err = convert(archive, target)
    told = f"{kind.__name__} {suffix}"
    if status == 0:
        assert "is ready" in out, told
        try:
            require_whole(target)
        except AssertionError as error:
            raise AssertionError(f"{told}: {error}") from None
        return "whole"
    last = err.splitlines()[-1] if err else ""
    assert status == 1 and last.startswith("Error: ") and "Traceback" not in err, f"{told}: {err}"
    assert is_sentence(last), f"{told}: {last}"
    good = folder / "whole.tar"
    good.write_bytes(packed("tar"))
    status, out, err = convert(good, target)
    assert status == 0, f"{told}: the rerun ended with {err}"
    require_whole(target)
    return "refused"


def test_a_sample():
    outcomes = fuzz(case, 0, 30)
    assert outcomes["refused"] > 15 and outcomes["whole"] > 0


@pytest.mark.slow
def test_six_hundred():
    outcomes = fuzz_in_child(__file__, 30, 660)
    assert outcomes["refused"] > 300 and outcomes["whole"] > 10


if __name__ == "__main__":
    run_child(case)
