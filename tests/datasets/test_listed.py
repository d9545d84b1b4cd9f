"""Data sets that a file describes."""

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest

from mmseg_gc.datasets import DecathlonDataset, DSDLSegDataset
from mmseg_gc.errors import UserError


def test_decathlon(tmp_path):
    listed = dict(
        labels={"0": "background", "10": "c", "2": "b"},
        training=[dict(image="./imagesTr/a.nii.gz", label="./labelsTr/a.nii.gz")],
        test=["./imagesTs/b.nii.gz"],
    )
    (tmp_path / "dataset.json").write_text(json.dumps(listed))
    options = dict(ann_file="dataset.json", data_root=str(tmp_path))
    train = DecathlonDataset(**options)
    info = train.get_data_info(0)
    assert info["img_path"] == f"{tmp_path}/imagesTr/a.nii.gz"
    assert info["seg_map_path"] == f"{tmp_path}/labelsTr/a.nii.gz"
    assert train.metainfo["classes"] == ["background", "b", "c"]
    assert info["num_classes"] == len(train.metainfo["palette"]) == 3
    test = DecathlonDataset(**options, test_mode=True)
    assert test.get_data_info(0)["img_path"] == f"{tmp_path}/imagesTs/b.nii.gz"
    (tmp_path / "dataset.json").write_text("[]")
    with pytest.raises(UserError, match="is no dataset.json of the Decathlon"):
        DecathlonDataset(**options)


@pytest.fixture
def dsdl(monkeypatch):
    """A stand-in of the package ``dsdl`` with one sample of three classes."""
    seen = []

    class DSDLDataset(list):
        class_names = ("car", "road")

        def __init__(self, **options):
            seen.append(options)
            at = SimpleNamespace
            super().__init__(
                [{"Image": [at(location="i/1.jpg")], "LabelMap": [at(location="l/1.png")]}]
            )

    package, module = ModuleType("dsdl"), ModuleType("dsdl.dataset")
    package.__spec__, module.DSDLDataset = SimpleNamespace(), DSDLDataset
    monkeypatch.setitem(sys.modules, "dsdl", package)
    monkeypatch.setitem(sys.modules, "dsdl.dataset", module)
    return seen


def test_dsdl(dsdl):
    options = dict(
        ann_file="set/train.yaml",
        data_root="data/x",
        data_prefix=dict(img_path="raw", seg_map_path="raw"),
    )
    whole = DSDLSegDataset(**options)
    assert dsdl[0]["dsdl_yaml"] == "data/x/set/train.yaml"
    assert whole.metainfo["classes"] == ["background", "car", "road"]
    assert whole.get_data_info(0)["seg_map_path"] == "data/x/raw/l/1.png"
    some = DSDLSegDataset(**options, used_labels=["road"])
    assert some.metainfo["classes"] == ["road"]
    assert some.get_data_info(0)["file_label_map"] == {0: 255, 1: 255, 2: 0}
    with pytest.raises(UserError, match=r"names \['cat'\], which set/train.yaml does not have"):
        DSDLSegDataset(**options, used_labels=["cat"])


def test_without_dsdl():
    with pytest.raises(UserError, match="DSDLSegDataset needs a package: pip install dsdl"):
        DSDLSegDataset(ann_file="x.yaml")
