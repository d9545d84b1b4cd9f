"""What is published of the configs here."""

import re

import pytest

from mmseg_gc.config.find import config_files
from mmseg_gc.config.zoo import config_names, published, published_weights
from mmseg_gc.errors import UserError

NAME = "gcnet_r101-d8_4xb4-160k_ade20k-512x512"


def test_rows_are_those_of_the_metafile():
    rows = published()
    assert rows.keys() <= config_files().keys() and len(rows) >= 16
    assert rows[NAME].miou == 43.69  # single-scale; with flips it is 45.21
    for row in rows.values():
        assert row.weights is None or re.search(r"-[0-9a-f]{8}\.pth$", row.weights)


def test_segmentors_alone_are_listed():
    names = config_names()
    assert NAME in names and names == sorted(names)
    assert not any("rcnn" in name for name in names)


def test_weights_go_by_name_not_by_path():
    path = config_files()[NAME]
    assert published_weights(NAME) == published_weights(f"mmseg_gc::{NAME}")
    assert published_weights(NAME) == published()[NAME].weights
    assert published_weights(str(path)) is None
    with pytest.raises(UserError, match="has no published weights"):
        published_weights("gcnet_r18-d8_1xb8-20k_camvid-360x480")
