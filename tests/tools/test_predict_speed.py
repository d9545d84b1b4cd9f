"""The table of what predict takes beside its network, from seconds that are known."""

import runpy
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "tools/benchmarks/predict_speed.py"


def test_shares_are_those_of_the_seconds():
    program = runpy.run_path(str(SCRIPT))
    found = dict(help=0.1, torch=1.0, forward=1.0, image=3.0, network=8.0, video=12.0)
    rows = program["table"](found, frames=20).rows
    assert rows[1][1:4] == ["3.00", "import torch + a forward: 2.00", "1.50"]
    assert rows[2][1:4] == ["10.00", "the network alone: 8.00", "0.80"]  # 12 - 3 + 1


def test_the_video_has_its_frames(tmp_path):
    import cv2

    program = runpy.run_path(str(SCRIPT))
    image, video = program["write_inputs"](tmp_path, (36, 48), 5)
    assert cv2.imread(image).shape == (36, 48, 3)
    assert cv2.VideoCapture(video).get(cv2.CAP_PROP_FRAME_COUNT) == 5
