"""The README's first screen, run as it stands on tiny data."""

import re
import runpy
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmseg_gc.cli.main import main

README = Path(__file__).parents[1] / "README.md"
TINY = "train mine.py iters=3 crop=32 batch=2 workers=0"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """What the first screen speaks of: 6 labelled images, a photo and a video, 36 x 48."""
    rng = np.random.default_rng(0)
    monkeypatch.chdir(tmp_path)
    for name in ("data/mine/images", "data/mine/labels", "photos"):
        Path(name).mkdir(parents=True)
    for index in range(6):
        label = np.zeros((36, 48), np.uint8)
        label[:, 20 + index :] = 255
        image = (label[..., None] // 2 + rng.integers(0, 60, (36, 48, 3))).astype(np.uint8)
        cv2.imwrite(f"data/mine/images/{index}.jpg", image)
        cv2.imwrite(f"data/mine/labels/{index}.png", label)
    cv2.imwrite("photos/one.jpg", image)
    video = cv2.VideoWriter("trip.mp4", cv2.VideoWriter_fourcc(*"mp4v"), 5, (48, 36))
    for _ in range(2):
        video.write(image)
    video.release()
    return tmp_path


def test_the_first_screen(folder, tiny_text):
    text = README.read_text()
    [commands] = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    [program] = re.findall(
        r"```python\n(from mmseg_gc.apis import init_model, predict.*?)```", text, re.S
    )
    lines = [shlex.split(line, comments=True) for line in commands.splitlines()]
    assert [line[:2] for line in lines] == [
        ["mmseg_gc", name] for name in ("init", "check", "train", "test", "report", "predict")
    ]
    for words in lines:
        # Three iterations in place of thousands, of which the best weights are the last.
        words = TINY.split() if words[1] == "train" else words[1:]
        words = [word.replace("iter_2000", "iter_3") for word in words]
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert stopped.value.code == 0, words
        if words[0] == "init":
            with open("mine.py", "a") as config:
                config.write(tiny_text)
    assert "mIoU" in (folder / "report.html").read_text()
    overlays = [path.name for path in sorted((folder / "predicted/overlay").iterdir())]
    assert overlays == ["one.jpg", "trip.mp4"]
    Path("program.py").write_text(program.replace("iter_2000", "iter_3"))
    runpy.run_path("program.py")
    assert cv2.imread("one.png").shape[0] == 36
