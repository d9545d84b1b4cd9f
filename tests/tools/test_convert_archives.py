"""Archives and folders with one thing wrong each: a sentence, status 1, and a rerun completes."""

import gzip
import importlib
import io
import lzma
import os
import stat
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmseg_gc.cli import command

NAMES = [f"CamVid/{folder}/{n}.png" for folder in ("train", "trainannot") for n in range(3)]


def png(name: str, shift: int = 0) -> bytes:
    rng = np.random.default_rng(int(name[-5]))
    pixels = (rng.integers(0, 9, (8, 9)) + shift) % 12
    if "annot" not in name:
        pixels = rng.integers(0, 256, (8, 9, 3))
    content = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(content, "PNG", compress_level=0)
    return content.getvalue()


def tar(files: dict[str, bytes], *extra: tarfile.TarInfo) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in extra:
            archive.fileobj.write(info.tobuf())
    return content.getvalue()


def zipped(files: dict[str, bytes], *extra: zipfile.ZipInfo) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        for info in extra:
            archive.writestr(info, b"x")
    return content.getvalue()


FILES = {name: png(name) for name in NAMES}


@pytest.fixture
def module():
    return lambda name: importlib.import_module(f"mmseg_gc.cli.converters.{name}")


@pytest.fixture
def convert(module, monkeypatch, capfd, tmp_path):
    """Runs camvid.py on a source, or on the bytes of an archive; status and its last word."""

    # Each time the same, and a third of the time.
    monkeypatch.setattr(command, "check_environment", lambda: None)

    def call(source: Path | bytes, name: str = "CamVid.archive", *more) -> tuple[int, str]:
        if isinstance(source, bytes):
            content, source = source, tmp_path / name
            source.write_bytes(content)
        arguments = ["camvid.py", source, "-o", tmp_path / "out", "--nproc", "1", *more]
        monkeypatch.setattr(sys, "argv", list(map(str, arguments)))
        with pytest.raises(SystemExit) as end:
            module("camvid").main()
        out, err = capfd.readouterr()
        assert ("is ready" in out) == (end.value.code == 0) and "Traceback" not in err
        return end.value.code, err.splitlines()[-1] if err else ""

    return call


def written(tmp_path: Path) -> dict[str, bytes]:
    root = tmp_path / "out"
    found = (path for path in root.rglob("*") if path.is_file())
    return {f"CamVid/{path.relative_to(root)}": path.read_bytes() for path in found}


def test_every_bit_of_a_tars_header_matters(convert, tmp_path):
    content = tar(FILES)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        start = archive.getmember(NAMES[1]).offset
    for place in (0, 5, 110, 125, 130, 150, 156, 260, 511):
        changed = bytearray(content)
        changed[start + place] ^= 1
        status, last = convert(bytes(changed))
        assert (status, "a truncated or damaged one (bad checksum)" in last) == (1, True), place
        assert not written(tmp_path)
    assert convert(content)[0] == 0 and written(tmp_path) == FILES


def test_a_tar_that_goes_on_behind_its_end_is_refused(convert, tmp_path):
    content = bytearray(tar(FILES))
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        start = archive.getmember(NAMES[1]).offset
    content[start : start + 512] = bytes(512)
    assert "something follows its end" in convert(bytes(content))[1]
    assert "closing blocks are missing" in convert(tar(FILES)[:start])[1]
    assert not written(tmp_path)


@pytest.mark.parametrize(("compress", "suffix"), [(gzip.compress, "tgz"), (lzma.compress, "xz")])
def test_damaged_content_of_compressed_tars_is_seen(convert, tmp_path, compress, suffix):
    content = compress(tar(FILES))
    rng = np.random.default_rng(1)
    for place in rng.integers(12, len(content), 12):
        changed = bytearray(content)
        changed[place] ^= 1 << rng.integers(8)
        status, last = convert(bytes(changed), f"CamVid.{suffix}")
        assert status == 1 and "damaged" in last, place
        assert not written(tmp_path)
    assert convert(content)[0] == 0 and written(tmp_path) == FILES


@pytest.mark.parametrize("pack", [tar, zipped])
def test_an_image_is_read_to_its_end(convert, tmp_path, pack):
    spoilt = bytearray(FILES[NAMES[0]])
    spoilt[100] ^= 1
    status, last = convert(pack(FILES | {NAMES[0]: bytes(spoilt)}))
    assert status == 1 and "train/0.png is no readable image" in last
    assert convert(pack(FILES))[0] == 0 and written(tmp_path) == FILES


def test_a_wrong_bit_in_a_zips_member(convert, tmp_path):
    content = bytearray(zipped(FILES))
    content[content.index(b"IDAT") + 40] ^= 1
    status, last = convert(bytes(content))
    assert status == 1 and "CamVid/train/0.png is damaged (Bad CRC-32" in last
    assert "CamVid/train/0.png" not in written(tmp_path)
    assert convert(zipped(FILES))[0] == 0 and written(tmp_path) == FILES


def test_a_name_in_a_zips_directory_that_its_member_has_not(convert):
    content = bytearray(zipped(FILES | {"CamVid/test.txt": b"1"}))
    content[content.rindex(b"CamVid/test.txt")] ^= 1
    assert "damaged one (File name in directory" in convert(bytes(content))[1]


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip", "folder"])
def test_a_corrected_label_of_the_same_size_is_taken_over(convert, tmp_path, kind):
    name = NAMES[-1]
    corrected = FILES | {name: png(name, shift=1)}
    assert len(corrected[name]) == len(FILES[name]) and corrected[name] != FILES[name]
    for number, files in enumerate((FILES, corrected)):
        if kind == "folder":
            source = tmp_path / f"source{number}"
            for path, content in files.items():
                (source / path).parent.mkdir(parents=True, exist_ok=True)
                (source / path).write_bytes(content)
                os.utime(source / path, (1e9, 1e9))
        else:
            source = zipped(files) if kind == "zip" else tar(files)
            source = gzip.compress(source) if kind == "tar.gz" else source
        assert convert(source)[0] == 0
        assert written(tmp_path) == files


def test_a_corrected_coloured_label_is_taken_over(module, convert, tmp_path):
    """The same size, colours that are classes, and an archive without times."""
    for colour, expected in (((128, 128, 128), 0), ((64, 0, 128), 8)):
        content = io.BytesIO()
        Image.new("RGB", (4, 4), colour).save(content, "PNG")
        files = {f"0006R0_f00930{end}.png": content.getvalue() for end in ("", "_L")}
        assert convert(zipped(files))[0] == 0
        label = Image.open(tmp_path / "out" / "trainannot" / "0006R0_f00930.png")
        assert np.unique(label).tolist() == [expected]


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (tarfile.SYMTYPE, "link"),
        (tarfile.LNKTYPE, "link"),
        (tarfile.FIFOTYPE, "special file"),
        (tarfile.CHRTYPE, "special file"),
        (tarfile.BLKTYPE, "special file"),
        (tarfile.GNUTYPE_SPARSE, "special file"),
    ],
)
def test_a_tar_holds_files_and_folders_alone(convert, tmp_path, kind, word):
    info = tarfile.TarInfo("CamVid/train/7.png")
    info.type, info.linkname = kind, "0.png"
    status, last = convert(tar(FILES, info))
    assert status == 1 and f"holds the {word} CamVid/train/7.png" in last
    assert not written(tmp_path)


@pytest.mark.parametrize(("mode", "word"), [(stat.S_IFLNK, "link"), (stat.S_IFIFO, "special file")])
def test_a_zip_holds_files_and_folders_alone(convert, mode, word):
    info = zipfile.ZipInfo("CamVid/train/7.png")
    info.external_attr = (mode | 0o777) << 16
    assert f"holds the {word} CamVid/train/7.png" in convert(zipped(FILES, info))[1]


@pytest.mark.parametrize("size", [-512, 3 << 30, 1 << 40, 1 << 62])
def test_claimed_sizes_of_a_tar(convert, tmp_path, size):
    info = tarfile.TarInfo("CamVid/train/7.png")
    info.size = size
    status, last = convert(tar(FILES, info))
    assert status == 1 and ("damaged" in last or "far more than a data set" in last)
    assert not written(tmp_path)


def test_a_zip_bomb_is_refused_by_what_it_claims(convert, tmp_path):
    bomb = zipfile.ZipInfo("CamVid/train/7.png")
    content = bytearray(zipped(FILES, bomb))
    at = content.rindex(b"PK\x01\x02")
    content[at + 24 : at + 28] = (3 << 30).to_bytes(4, "little")
    assert "claims to hold far more than a data set of its size" in convert(bytes(content))[1]
    content[at + 24 : at + 28] = (1 << 30).to_bytes(4, "little")
    assert "1,073,741,824 bytes, more than the 268,435,456" in convert(bytes(content))[1]
    assert not written(tmp_path)


def test_a_compressed_tar_is_refused_by_what_comes(convert, module, monkeypatch):
    monkeypatch.setattr(module("archives"), "MAX_UNPACKED_BYTES", 1 << 20)
    content = gzip.compress(tar(FILES) + bytes(2 << 20))
    assert "far more than a data set" in convert(content)[1]


def test_a_folder_with_links_that_go_round(convert, tmp_path):
    source = tmp_path / "source"
    for path, content in FILES.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(content)
    for name in ("loop", "loop2", "CamVid/loop3"):
        (source / name).symlink_to(source)
    (source / "CamVid" / "broken").symlink_to(source / "nowhere")
    os.mkfifo(source / "CamVid" / "train" / "9.png")
    assert convert(source)[0] == 0 and written(tmp_path) == FILES


def test_folders_that_double_by_links(convert, tmp_path):
    source = tmp_path / "source"
    for level in range(40):
        (source / f"x{level}").mkdir(parents=True)
        for twin in "ab":
            (source / f"x{level}" / twin).symlink_to(source / f"x{level + 1}")
    assert "again and again" in convert(source)[1]


def test_linked_files_arrive_as_files(convert, tmp_path):
    store, source = tmp_path / "store", tmp_path / "source" / "CamVid"
    for path, content in FILES.items():
        target = store / path.replace("/", "_")
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(content)
        link = source.parent / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(target, link.parent))
    assert convert(source)[0] == 0 and written(tmp_path) == FILES
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))


def test_a_target_inside_of_its_source(convert, tmp_path):
    for path, content in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    assert convert(tmp_path)[0] == 0
    assert convert(tmp_path)[0] == 0 and written(tmp_path) == FILES


@pytest.mark.parametrize("name", ["CamVid/train/\udcff.png", "CamVid/train/a\nb.png"])
def test_names_that_no_list_can_hold(convert, tmp_path, name):
    status, last = convert(tar(FILES | {name: FILES[NAMES[0]]}), "CamVid.tar", "--dry-run")
    assert status == 1 and f"{ascii(name)}, a name that lists can't hold" in last


def test_no_regular_file_is_read(convert, tmp_path):
    os.mkfifo(tmp_path / "CamVid.tar")
    for source in (tmp_path / "CamVid.tar", Path("/dev/zero")):
        assert "is no regular file" in convert(source)[1]


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"objects":' * 50_000, b"\xff", b"3"])
def test_polygons_of_any_depth(module, tmp_path, content):
    cityscapes, sources = module("cityscapes"), module("sources")
    path = tmp_path / "a_polygons.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{path} is no polygon file"):
        cityscapes.read_polygons(sources.Member.at(path))
