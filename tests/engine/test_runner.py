import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from mmseg_gc.checkpoint import load_checkpoint
from mmseg_gc.engine import AmpOptimWrapper
from mmseg_gc.engine.runner import SegRunner
from mmseg_gc.engine.work_dir import check_work_dir
from mmseg_gc.errors import UserError

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs/gcnet/gcnet_r18-d8_1xb8-20k_camvid-360x480.py"


def test_a_file_where_the_work_dir_should_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="can't be written"):
        check_work_dir(tmp_path / "file" / "inner")
    check_work_dir(tmp_path / "new" / "folder")
    assert os.listdir(tmp_path / "new" / "folder") == []


@pytest.mark.parametrize(("shuffle", "round_up"), [(False, False), (True, True)])
def test_samples_in_order_are_never_seen_twice(shuffle, round_up):
    loader = SegRunner.build_dataloader(
        dict(
            dataset=TensorDataset(torch.arange(3)),
            sampler=dict(type="DefaultSampler", shuffle=shuffle),
            batch_size=1,
            num_workers=0,
            persistent_workers=True,
        ),
        seed=0,
    )
    assert isinstance(loader, DataLoader)
    assert loader.sampler.round_up == round_up


@pytest.mark.skipif(torch.cuda.is_available(), reason="what a CPU can't do")
def test_the_cpu_trains_in_bfloat16_alone():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1)
    with pytest.raises(UserError, match="optim_wrapper.dtype is 'float16'"):
        AmpOptimWrapper(optimizer=optimizer, dtype="float16")
    assert AmpOptimWrapper(optimizer=optimizer).cast_dtype == torch.bfloat16


@pytest.fixture
def environment():
    return {
        **os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT),
    }  # fmt: skip


@pytest.fixture
def small_run(camvid_root):
    """Options that let the CamVid config run on four small images without chance in the model."""
    return [
        "--cfg-options", "screen=full", "model.pretrained=None", "randomness.seed=0",
        *[f"{s}_dataloader.dataset.data_root={camvid_root}" for s in ("train", "val", "test")],
        *[f"{s}_dataloader.num_workers=0" for s in ("train", "val", "test")],
        "train_dataloader.dataset.pipeline.3.crop_size=(32,48)",
        "model.data_preprocessor.size=(32,48)", "test_dataloader.dataset.pipeline.1.scale=(96,72)",
        "val_dataloader.dataset.pipeline.1.scale=(96,72)",
        "model.decode_head.dropout_ratio=0", "model.auxiliary_head.dropout_ratio=0",
        "default_hooks.checkpoint.interval=1", "default_hooks.logger.interval=1",
    ]  # fmt: skip


@pytest.mark.slow
def test_two_processes_train_as_one_with_twice_the_batch(
    small_run, environment, free_port, tmp_path
):
    """The scripts themselves, on the real model: gloo, all-reduce BN, every sample scored once."""
    train = ["--cfg-options", "train_cfg.max_iters=2", "train_cfg.val_interval=2", *small_run[1:]]

    def run(*command, batch_size):
        finished = subprocess.run(
            [*map(str, command), *train, f"train_dataloader.batch_size={batch_size}"],
            env=environment | {"PORT": free_port}, cwd=ROOT, capture_output=True, text=True,
            timeout=300,
        )  # fmt: skip
        assert finished.returncode == 0, finished.stderr[-2000:]
        return finished.stdout + finished.stderr

    two, one = tmp_path / "two", tmp_path / "one"
    said = run("tools/dist_train.sh", CONFIG, 2, "--validate", "--work-dir", two, batch_size=1)
    assert "SyncBN layers run as AllReduceBatchNorm2d" in said and "Bicyclist" in said
    run(sys.executable, "tools/train.py", CONFIG, "--work-dir", one, batch_size=2)

    ends = [load_checkpoint(folder / "iter_1.pth") for folder in (one, two)]
    assert ends[0]["state_dict"].keys() == ends[1]["state_dict"].keys()
    # After the first step the momentum is the gradient and the weight's decay.
    for number, state in ends[0]["optimizer"]["state"].items():
        expected = state["momentum_buffer"]
        got = ends[1]["optimizer"]["state"][number]["momentum_buffer"]
        assert (got - expected).abs().max() <= 1e-3 * expected.abs().max() + 1e-6, number


@pytest.mark.slow
def test_a_killed_rank_ends_the_job(small_run, environment, free_port, tmp_path):
    log = tmp_path / "log"
    with log.open("w") as output:
        job = subprocess.Popen(
            ["tools/dist_train.sh", str(CONFIG), "2", "--work-dir", str(tmp_path / "run"),
             *small_run, "train_cfg.max_iters=500", "train_dataloader.batch_size=1"],
            env=environment | {"PORT": free_port}, cwd=ROOT, stdout=output, stderr=output,
        )  # fmt: skip
    deadline = time.monotonic() + 200
    while "Iter(train) [  2/500]" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.2)
    children = subprocess.run(["pgrep", "-P", str(job.pid)], capture_output=True, text=True).stdout
    os.kill(int(children.split()[-1]), signal.SIGKILL)
    assert job.wait(120) != 0
    assert "SIGKILL" in log.read_text()


def test_a_failing_worker_ends_the_job(environment, free_port, tmp_path):
    finished = subprocess.run(
        ["tools/dist_train.sh", str(CONFIG), "1", "--work-dir", str(tmp_path), "--cfg-options",
         "train_dataloader.dataset.data_root=nowhere", "model.pretrained=None"],
        env=environment | {"PORT": free_port}, cwd=ROOT, capture_output=True, text=True,
        timeout=200,
    )  # fmt: skip
    assert finished.returncode != 0
    assert "nowhere" in finished.stderr


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (dict(batch_size=9, drop_last=True), "has 7 samples, fewer than batch_size \\(9\\)"),
        (dict(batch_size=7, drop_last=True), None),
        (dict(batch_size=9, drop_last=False), None),
        (dict(batch_size=9, drop_last=True, sampler=dict(type="InfiniteSampler")), None),
    ],
)
def test_a_loader_without_a_batch_is_refused(toy, changes, sentence):
    cfg = dict(
        num_workers=0,
        sampler=dict(type="DefaultSampler", shuffle=True),
        dataset=dict(type=toy.ToyDataset),
    )
    if sentence is None:
        assert SegRunner.build_dataloader({**cfg, **changes}, seed=0) is not None
        return
    with pytest.raises(UserError, match=sentence):
        SegRunner.build_dataloader({**cfg, **changes}, seed=0)


def test_an_empty_data_set_is_refused():
    cfg = dict(num_workers=0, batch_size=1, sampler=dict(type="DefaultSampler", shuffle=False))
    with pytest.raises(UserError, match="has no sample"):
        SegRunner.build_dataloader({**cfg, "dataset": TensorDataset(torch.zeros(0, 3))}, seed=0)


def test_one_value_a_channel_is_explained(toy, tmp_path):
    runner = toy.build(tmp_path, 2, batch_size=1)
    runner.model.layers[0] = torch.nn.Conv2d(3, 8, 4)  # of 4 x 4 pixels it makes one
    with pytest.raises(UserError, match="enlarge crop_size to 16 or more, or set"):
        runner.train()


def test_the_log_file_holds_every_letter(toy, tmp_path):
    runner = toy.build(tmp_path, 2)
    files = [h for h in runner.logger.handlers if isinstance(h, logging.FileHandler)]
    assert [file.encoding for file in files] == ["utf-8"]
    runner.logger.info("стена")
    assert "стена" in Path(files[0].baseFilename).read_text("utf-8")
