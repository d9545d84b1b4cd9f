import os
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmseg_gc.serve.limits import Limits, Refused
from mmseg_gc.serve.uploads import Scratch, require_image, video_suffix

IMAGE = np.zeros((30, 50, 3), np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp"])
def test_images_of_each_format_up_to_the_limit(suffix):
    content = cv2.imencode(suffix, IMAGE)[1].tobytes()
    require_image(content, Limits(max_pixels=1500, max_bytes=len(content)))
    with pytest.raises(Refused, match=r"50 x 30 pixels and at most 0\.001499 million") as refused:
        require_image(content, Limits(max_pixels=1499))
    assert refused.value.status == 413
    with pytest.raises(Refused, match="the upload has more than"):
        require_image(content, Limits(max_bytes=len(content) - 1))


def png_of(width: int, height: int, bits: int = 8) -> bytes:
    """The header of a PNG, which is all that is looked at."""
    chunk = (
        b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([bits, 6, 0, 0, 0])
    )
    return b"\x89PNG\r\n\x1a\n\0\0\0\r" + chunk + zlib.crc32(chunk).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("content", "status", "told"),
    [
        (b"", 400, "the upload is empty"),
        (b"hello", 415, "is no image"),
        (b"GIF89a" + b"\0" * 50, 415, "is no image"),
        (b"<svg onload='x'/>", 415, "is no image"),
        (b"%!PS", 415, "is no image"),
        (b"\0\0\0\x20ftypisom", 415, "videos are for the page"),
        (b"\xff\xd8\xff\xd9", 422, "header has no size"),
        (png_of(0, 5), 422, "header has no size"),
        (png_of(100_000, 100_000), 413, "100000 x 100000 pixels"),
    ],
)
def test_what_is_no_image_here(content, status, told):
    with pytest.raises(Refused, match=told) as refused:
        require_image(content, Limits())
    assert refused.value.status == status


def test_videos_are_known_by_their_first_bytes(tmp_path):
    for suffix, code in ((".mp4", "mp4v"), (".avi", "MJPG"), (".mkv", "VP80"), (".webm", "VP80")):
        path = tmp_path / f"v{suffix}"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), 5, (64, 48))
        writer.write(np.zeros((48, 64, 3), np.uint8))
        writer.release()
        expected = ".mkv" if suffix == ".webm" else suffix
        assert video_suffix(path.read_bytes()[:16]) == expected
    for playlist in (b"#EXTM3U\n", b"ffconcat version 1.0\n", b"<?xml version", b""):
        assert video_suffix(playlist) == ""


def test_old_files_go_and_young_ones_stay():
    with Scratch(max_age=60) as scratch:
        assert os.stat(scratch.folder).st_mode & 0o077 == 0  # nobody else reads it
        old, young = scratch.new_folder() / "old", scratch.new_folder() / "young"
        for path in (old, young):
            path.write_bytes(b"12345")
        assert scratch.bytes_kept() == 10
        for path in (old, old.parent):
            os.utime(path, (time.time() - 61,) * 2)
        scratch.sweep()
        assert not old.exists() and young.exists() and scratch.bytes_kept() == 5
        os.utime(old.parent, (time.time() - 61,) * 2)
        scratch.sweep()
        assert not old.parent.exists()
    assert not scratch.folder.exists()


def test_only_own_files_are_uploads(tmp_path):
    other = tmp_path / "x.png"
    other.write_bytes(b"x")
    with Scratch() as scratch:
        (scratch.folder / "link").symlink_to(other)
        own = scratch.new_folder() / "a.png"
        own.write_bytes(b"x")
        assert scratch.uploaded(str(own)) == own
        for path in (other, scratch.folder / "link", scratch.folder, own.with_name("gone")):
            with pytest.raises(Refused, match="isn't there any more"):
                scratch.uploaded(str(Path(path)))
