import importlib.util
import json
from types import SimpleNamespace

import numpy as np
import pytest

from mmseg_gc.engine import tracking
from mmseg_gc.engine.tracking import add_trackers
from mmseg_gc.errors import UserError


@pytest.fixture
def all_installed(monkeypatch):
    monkeypatch.setattr(tracking, "find_spec", lambda name: True)


def kinds(visualizer):
    return [backend["type"] for backend in visualizer["vis_backends"]]


def test_backends_stand_beside_the_local_one(all_installed, monkeypatch):
    added = add_trackers(None, "tensorboard", "work/run")
    assert kinds(added) == ["LocalVisBackend", "TensorboardVisBackend"]
    before = dict(type="SegLocalVisualizer", vis_backends=[dict(type="WandbVisBackend")])
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    added = add_trackers(before, ["wandb", "mlflow"], "work/run")
    assert kinds(added) == ["WandbVisBackend", "MLflowVisBackend"]
    assert added["vis_backends"][1]["run_name"] == "run"
    assert added["vis_backends"][1]["tracking_uri"].endswith("/work/run/mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server")
    assert add_trackers(None, "mlflow", "run")["vis_backends"][1]["tracking_uri"] == "http://server"
    assert kinds(before) == ["WandbVisBackend"]


def test_a_name_that_does_not_exist():
    with pytest.raises(UserError, match="no tracker 'tensorbord'; did you mean 'tensorboard'"):
        add_trackers(None, "tensorbord", "run")


def test_a_package_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="'wandb' needs .* pip install wandb"):
        add_trackers(None, ["wandb"], "run")


def test_mlflow_gets_images_under_names_that_it_can_write(tmp_path):
    got = []
    backend = tracking.MLflowVisBackend(save_dir=str(tmp_path))
    backend._env_initialized = True
    backend._mlflow = SimpleNamespace(log_image=lambda image, name: got.append(name))
    backend.add_image("val_street", np.zeros((2, 2, 3), np.uint8), step=7)
    assert got == ["val_street_7.png"]


@pytest.mark.skipif(not importlib.util.find_spec("tensorboard"), reason="needs tensorboard")
def test_tensorboard_gets_every_number(toy, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    toy.build(tmp_path, 4, track="tensorboard").train()
    events = EventAccumulator(str(next(tmp_path.rglob("events.*")).parent))
    events.Reload()
    assert [e.step for e in events.Scalars("loss")] == [1, 2, 3, 4]
    assert [e.step for e in events.Scalars("mIoU")] == [2, 4]
    lines = next(tmp_path.rglob("scalars.json")).read_text().splitlines()
    assert json.loads(lines[0])["loss"] == pytest.approx(events.Scalars("loss")[0].value)


@pytest.mark.skipif(not importlib.util.find_spec("wandb"), reason="needs wandb")
def test_wandb_without_a_network(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    toy.build(tmp_path, 2, track="wandb").train()
    assert list(tmp_path.rglob("run-*.wandb"))


@pytest.mark.skipif(not importlib.util.find_spec("mlflow"), reason="needs mlflow")
def test_mlflow_in_the_work_dir(toy, tmp_path):
    import sqlite3

    toy.build(tmp_path / "run", 4, track="mlflow").train()
    with sqlite3.connect(tmp_path / "run" / "mlflow.db") as database:
        rows = database.execute("select step from metrics where key = 'loss' order by step")
        assert [step for (step,) in rows] == [1, 2, 3, 4]
