import json

import cv2
import pytest


@pytest.fixture
def logs(tmp_path):
    """Two work dirs; the first run was killed in iteration 3 and resumed after iteration 1."""

    def write(name, start, lines):
        path = tmp_path / name / start / "vis_data" / "scalars.json"
        path.parent.mkdir(parents=True)
        path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))  # fmt: skip  # noqa: E501

    first = [dict(loss=9.0 - i, lr=0.1, step=i, iter=i) for i in range(1, 4)]
    write("killed", "20260101_000000", [*first, '{"loss": 1.0, "st'])
    again = [dict(loss=5.0 - i, lr=0.1, step=i, iter=i) for i in range(2, 5)]
    write("killed", "20260102_000000", [*again, dict(mIoU=40.0, step=4)])
    write("whole", "20260101_000000", [dict(loss=3.0, step=1), dict(mIoU=50.0, step=4)])
    return tmp_path


def test_several_runs_in_one_image(run_tool, logs):
    out = logs / "images" / "curves.png"
    finished = run_tool(
        "analysis_tools/analyze_logs.py", logs / "killed", logs / "whole", "--out", out
    )
    assert finished.status == 0, finished.err
    assert "killed: loss 1 at 4, highest 8 at 1" in finished.out  # not 6, of the killed run
    assert "whole: mIoU 50 at 4" in finished.out
    image = cv2.imread(str(out))
    assert image.shape[1] == 1080 and image.std() > 10


def test_resumed_numbers_take_the_place_of_the_killed_ones(run_tool, logs):
    finished = run_tool(
        "analysis_tools/analyze_logs.py", logs / "killed", "--keys", "loss", "--legend", "mine",
        "--out", logs / "c.svg",
    )  # fmt: skip
    assert finished.status == 0, finished.err
    text = (logs / "c.svg").read_text()
    assert "<svg" in text
    assert "mine: loss 1 at 4, highest 8 at 1" in finished.out


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["nowhere"], ["nowhere has no scalars.json"]),
        (["killed", "--keys", "mDice"], ["no log has 'mDice'", "loss, lr, mIoU"]),
        (["killed", "--legend", "a", "b"], ["2 names for 1 logs"]),
        (["killed", "--out", "c.doc"], ["c.doc can't be written"]),
    ],
)
def test_wrong_input(run_tool, logs, monkeypatch, arguments, parts):
    monkeypatch.chdir(logs)
    finished = run_tool("analysis_tools/analyze_logs.py", *arguments)
    assert finished.status == 1
    assert finished.err.startswith("Error: ") and finished.err.count("\n") == 1
    assert all(part in finished.err for part in parts)
