"""What a file says of itself is read as data: nothing that it names is imported."""

import json

import pytest

from mmseg_gc.deploy.metadata import are_safe, decode, numbering, plain, safe_steps
from mmseg_gc.deploy.runtimes import read_metadata
from mmseg_gc.errors import UserError


@pytest.fixture
def texts(exported) -> dict[str, str]:
    return {key: json.dumps(value) for key, value in read_metadata(exported.path).items()}


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("pipeline", [dict(type="os.system", command="true")], "other steps in its pipeline"),
        ("pipeline", [dict(type="os.Resize")], "other steps in its pipeline"),
        ("pipeline", [dict(type="Resize", scale=dict(type="os.system"))], "other steps"),
        ("pipeline", [dict(type="LoadImageFromFile", backend_args=dict(backend="x"))], "other"),
        (
            "tta_pipeline",
            [dict(type="TestTimeAug", transforms=[[dict(type="a.B")]])],
            "other steps",
        ),
        ("data_preprocessor", dict(batch_augments="os.system"), "no usable metadata 'data_prep"),
        ("classes", "Sky", "no usable metadata 'classes'"),
        ("classes", [1, 2], "no usable metadata 'classes'"),
        ("num_classes", "11", "no usable metadata 'num_classes'"),
    ],
)
def test_hostile_metadata_is_refused(texts, key, value, sentence):
    with pytest.raises(UserError, match=rf"a.onnx .*{sentence}"):
        decode({**texts, key: json.dumps(value)}, "a.onnx")
    assert decode(texts, "a.onnx")["num_classes"] == 11


def test_metadata_that_is_cut(texts):
    with pytest.raises(UserError, match=r"a.onnx has metadata that isn't JSON"):
        decode({**texts, "classes": "[1,"}, "a.onnx")
    del texts["align_corners"]
    with pytest.raises(UserError, match=r"no usable metadata 'align_corners'; export it again"):
        decode(texts, "a.onnx")


def test_steps_of_one_s_own_are_left_out():
    steps = [
        dict(type="LoadImageFromFile"),
        dict(type="LoadAnnotations"),
        dict(type="PackSegInputs"),
    ]
    assert safe_steps(steps) == [steps[0], steps[2]] and are_safe(safe_steps(steps))
    assert safe_steps([*steps, dict(type="mine.Sharpen")]) is None and safe_steps(None) is None


def test_numbers_of_label_files_come_back():
    stored = json.loads(json.dumps(plain(dict(label_map={0: 7, 255: 1}, classes=("a", "b")))))
    assert numbering(stored) == dict(label_map={0: 7, 255: 1}, classes=["a", "b"])
