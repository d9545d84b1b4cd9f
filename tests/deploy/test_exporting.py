"""From a model to a file: tries of int8, hashes, and nothing half-written."""

import hashlib

import pytest

from mmseg_gc.apis import init_model
from mmseg_gc.deploy import exporting
from mmseg_gc.deploy.exporting import ExportOptions, export_model
from mmseg_gc.errors import UserError


@pytest.fixture(scope="module")
def plain(tiny_files):
    return init_model(*tiny_files, accelerate="none")


class Kept:
    """A file that remembers what it was saved with."""

    def __init__(self, saved: list, kept: tuple) -> None:
        self.saved, self.kept = saved, kept

    def save(self, path, meta) -> None:
        self.saved.append((self.kept, meta))
        path.write_text(" ".join(self.kept))


@pytest.fixture
def fake(monkeypatch, plain):
    """``fake(good)`` exports by stand-ins; files are right from the ``good``-th try on."""

    def run(good: int, out, **options):
        monkeypatch.setattr(exporting, "require_format", lambda to: None)
        saved, tries = [], [(), ("conv_seg",), ("conv_seg", "decode_head")]
        monkeypatch.setattr(
            exporting, "_tries", lambda *a: ((kept, Kept(saved, kept)) for kept in tries)
        )
        asked = []

        def function(path):
            asked.append(path.read_text())
            network = exporting.ExportNetwork(plain).eval()
            return lambda image: network(image) * (1 if len(asked) > good else float("nan"))

        monkeypatch.setattr(exporting, "_function", function)
        chosen = ExportOptions(to="onnx", num_images=1, **options)
        return export_model(plain, plain.cfg, out, chosen), saved

    return run


def test_int8_gives_up_no_more_than_it_must(fake, tmp_path):
    result, saved = fake(1, tmp_path / "a.onnx", precision="int8")
    assert result.verdict.passed and result.kept_in_float == ("conv_seg",)
    assert result.path == tmp_path / "a.onnx" and result.path.read_text() == "conv_seg"
    kept, meta = saved[-1]
    assert meta["kept_in_float"] == ["conv_seg"] and meta["gate"]["passed"] is True
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


def test_where_no_try_is_good_the_last_is_kept_as_failed(fake, tmp_path):
    (tmp_path / "a.onnx").write_text("an older one")
    result, saved = fake(9, tmp_path / "a.onnx", precision="int8")
    assert not result.verdict.passed and result.path == tmp_path / "a.FAILED.onnx"
    assert result.path.read_text() == "conv_seg decode_head" and len(saved) == 4
    assert (tmp_path / "a.onnx").read_text() == "an older one"


def test_a_crash_leaves_nothing(fake, tmp_path, monkeypatch):
    def crash(*args, **kwargs):
        raise RuntimeError("the runtime failed")

    monkeypatch.setattr(exporting, "compare", crash)
    with pytest.raises(RuntimeError, match="the runtime failed"):
        fake(0, tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


def test_weights_from_an_address_are_hashed_by_their_bytes(plain, tiny_files):
    file = tiny_files[1]
    assert exporting._sha256(file, plain) == hashlib.sha256(file.read_bytes()).hexdigest()
    of_bytes = exporting._sha256("https://example.org/w.pth", plain)
    assert len(of_bytes) == 64 and of_bytes == exporting._sha256("", plain)


def test_a_folder_that_can_not_be_written(plain, tmp_path):
    script = ExportOptions(to="torchscript")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"a.torchscript can't be written; name another place"):
        export_model(plain, plain.cfg, tmp_path / "file" / "a.torchscript", script)
    (tmp_path / "b.torchscript").mkdir()
    with pytest.raises(
        UserError, match=r"b.torchscript can't be written; name another place by -o"
    ):
        export_model(plain, plain.cfg, tmp_path / "b.torchscript", script)
