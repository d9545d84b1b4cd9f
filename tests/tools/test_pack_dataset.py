import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import pack_dataset  # noqa: E402

CONFIG = ROOT / "configs/gcnet/gcnet_r50-d8_4xb2-40k_cityscapes-512x1024.py"
VOC = ROOT / "configs/gcnet/gcnet_r50-d8_4xb4-20k_voc12aug-512x512.py"


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the tool in this process: status, stdout and stderr."""

    def run(config, *options) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pack_dataset.py", str(config), *map(str, options)])
        status = 0
        try:
            status = pack_dataset.main() or 0
        except SystemExit as stop:
            status = stop.code or 0
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def many(cityscapes_root, tmp_path) -> Path:
    """The data set with 400 more images, so that there is time to stop a run."""
    root = tmp_path / "cityscapes"
    shutil.copytree(cityscapes_root, root)
    for folder, name in (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine_labelTrainIds")):
        source = next((root / folder / "train").rglob("*.png"))
        for number in range(400):
            shutil.copy(source, root / folder / "train" / f"copy{number:03d}_{name}.png")
    return root


def test_killed_and_run_again(many, run):
    """The second run completes the first; the result is that of a run never stopped."""
    option = ["--cfg-options", f"train_dataloader.dataset.data_root={many}"]
    partial, target = many / "packed/train.pack.partial", many / "packed/train.pack"
    packing = os.fork()
    if not packing:
        try:
            run(CONFIG, *option)
        finally:
            os._exit(1)
    while (
        not (partial / "index.jsonl").is_file() or (partial / "index.jsonl").stat().st_size < 9000
    ):
        assert os.waitpid(packing, os.WNOHANG) == (0, 0)
        time.sleep(0.002)
    os.kill(packing, signal.SIGKILL)
    os.waitpid(packing, 0)
    assert not target.exists()
    with open(partial / "pixels.bin", "ab") as file:
        file.write(b"half a sample")
    first_pixels = (partial / "pixels.bin").stat()
    status, stdout, stderr = run(CONFIG, *option)
    assert status == 0, stderr
    assert f"train_dataloader.dataset.packed={target}" in stdout
    assert (target / "pixels.bin").stat().st_ino == first_pixels.st_ino and not partial.exists()
    content = (target / "pixels.bin").read_bytes()
    # Up to date; then made anew in one go.
    assert "is there and up to date" in run(CONFIG, *option)[1]
    assert run(CONFIG, "--overwrite", *option)[0] == 0
    assert (target / "pixels.bin").read_bytes() == content
    assert sorted(path.name for path in target.iterdir()) == ["index.jsonl", "pixels.bin"]


def test_a_stale_copy_is_not_silently_kept(cityscapes_root, tmp_path, run):
    root = tmp_path / "cityscapes"
    shutil.copytree(cityscapes_root, root)
    option = ["--cfg-options", f"train_dataloader.dataset.data_root={root}"]
    assert run(CONFIG, *option)[0] == 0
    label = next((root / "gtFine/train").rglob("*.png"))
    label.write_bytes(label.read_bytes() + b"more")
    status, _, stderr = run(CONFIG, *option)
    assert status == 1 and "--overwrite" in stderr and "Traceback" not in stderr
    status, stdout, _ = run(CONFIG, "--check", *option)
    assert status == 0 and "train.pack is whole" in stdout


def test_each_data_set_of_several_has_its_own_copy(voc_root, run):
    options = [f"train_dataloader.dataset.datasets.{i}.data_root={voc_root}" for i in (0, 1)]
    status, stdout, stderr = run(VOC, "--cfg-options", *options)
    assert status == 0, stderr
    for index in (0, 1):
        target = voc_root / f"packed/train-{index}.pack"
        assert f"train_dataloader.dataset.datasets.{index}.packed={target}" in stdout
        assert len((target / "index.jsonl").read_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--split", "dev"], "--split dev: .* has no dev_dataloader"),
        (
            ["--cfg-options", "train_dataloader.dataset.data_root=/nowhere"],
            "/nowhere.*does not exist",
        ),
    ],
)
def test_wrong_input_is_one_sentence(options, words, run):
    status, _, stderr = run(CONFIG, *options)
    assert status == 1 and re.search(words, stderr) and "Traceback" not in stderr
