import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from mmseg_gc.checkpoint import load_checkpoint
from mmseg_gc.engine import AmpOptimWrapper
from mmseg_gc.engine.runner import SegRunner, check_work_dir
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


def test_two_processes_train_and_validate(camvid_root, tmp_path):
    """The scripts themselves: gloo, all-reduce BN, and a score over every sample once."""
    options = [
        "--cfg-options", "model.pretrained=None", "randomness.seed=0",
        *[f"{s}_dataloader.dataset.data_root={camvid_root}" for s in ("train", "val", "test")],
        *[f"{s}_dataloader.num_workers=0" for s in ("train", "val", "test")],
        "train_dataloader.batch_size=1", "train_dataloader.dataset.pipeline.3.crop_size=(32,48)",
        "model.data_preprocessor.size=(32,48)", "test_dataloader.dataset.pipeline.1.scale=(96,72)",
        "val_dataloader.dataset.pipeline.1.scale=(96,72)", "train_cfg.max_iters=2",
        "train_cfg.val_interval=2",
    ]  # fmt: skip
    environment = {
        **os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1", "PORT": "29611",
        "PYTHONPATH": str(ROOT),
    }  # fmt: skip

    def run(*command):
        return subprocess.run(
            [*map(str, command), "--work-dir", tmp_path, *options],
            env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    finished = run("tools/dist_train.sh", CONFIG, 2, "--validate")
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert "SyncBN layers run as AllReduceBatchNorm2d" in finished.stdout + finished.stderr
    weights = load_checkpoint(tmp_path / "iter_2.pth")["state_dict"]
    assert all(value.isfinite().all() for value in weights.values())
    assert not any(key.startswith("module.") for key in weights)

    # Validation on two processes has scored every picture once.
    assert "Bicyclist" in finished.stdout + finished.stderr


def test_a_failing_worker_ends_the_job(tmp_path):
    environment = {**os.environ, "PYTHON": sys.executable, "PORT": "29612", "PYTHONPATH": str(ROOT)}
    finished = subprocess.run(
        ["tools/dist_train.sh", str(CONFIG), "2", "--work-dir", str(tmp_path), "--cfg-options",
         "train_dataloader.dataset.data_root=nowhere", "model.pretrained=None"],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert finished.returncode != 0
    assert "nowhere" in finished.stderr
