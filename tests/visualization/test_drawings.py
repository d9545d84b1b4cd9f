import cv2
import numpy as np
import pytest

from mmseg_gc.errors import UserError
from mmseg_gc.visualization import drawings
from mmseg_gc.visualization.drawings import write_drawing

RGB = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)


def test_a_image_is_written_as_it_is(tmp_path):
    write_drawing(RGB, str(tmp_path / "new/a.png"))
    assert np.array_equal(cv2.imread(str(tmp_path / "new/a.png"))[..., ::-1], RGB)


@pytest.mark.parametrize("name", ["a.xyz", "a"])
def test_a_suffix_of_no_format(tmp_path, name):
    with pytest.raises(UserError, match=rf"{name}: no image of 6 x 4 pixels can be written as"):
        write_drawing(RGB, str(tmp_path / name))
    assert not list(tmp_path.iterdir())


def test_more_than_a_jpeg_can_hold(tmp_path):
    with pytest.raises(UserError, match=r"1 x 70000 pixels can be written as '\.jpg'"):
        write_drawing(np.zeros((70_000, 1, 3), np.uint8), str(tmp_path / "a.jpg"))


def test_the_visualizer_writes_it_whole(tmp_path, monkeypatch):
    from mmseg_gc.visualization import SegLocalVisualizer, local_visualizer

    put = []
    monkeypatch.setattr(drawings, "put", lambda *arguments: put.append(arguments))
    SegLocalVisualizer().add_datasample("a", RGB, out_file=str(tmp_path / "a.png"))
    assert local_visualizer.write_drawing is write_drawing
    ((content, path, _),) = put
    assert path.endswith("a.png") and content.startswith(b"\x89PNG")
