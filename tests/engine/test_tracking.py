import importlib.util
import json

import pytest

from mmseg_gc.engine import tracking
from mmseg_gc.engine.tracking import add_trackers
from mmseg_gc.errors import UserError


@pytest.fixture
def all_installed(monkeypatch):
    monkeypatch.setattr(tracking, "find_spec", lambda name: True)


def kinds(visualizer):
    return [backend["type"] for backend in visualizer["vis_backends"]]


def test_backends_stand_beside_the_local_one(all_installed):
    added = add_trackers(None, "tensorboard", "work/run")
    assert kinds(added) == ["LocalVisBackend", "TensorboardVisBackend"]
    before = dict(type="SegLocalVisualizer", vis_backends=[dict(type="WandbVisBackend")])
    added = add_trackers(before, ["wandb", "mlflow"], "work/run")
    assert kinds(added) == ["WandbVisBackend", "MLflowVisBackend"]
    assert added["vis_backends"][1]["run_name"] == "run"
    assert kinds(before) == ["WandbVisBackend"]


def test_a_name_that_does_not_exist():
    with pytest.raises(UserError, match="no tracker 'tensorbord'; did you mean 'tensorboard'"):
        add_trackers(None, "tensorbord", "run")


def test_a_package_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="'wandb' needs .* pip install wandb"):
        add_trackers(None, ["wandb"], "run")


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
def test_mlflow_in_files(toy, tmp_path):
    toy.build(tmp_path, 4, track="mlflow").train()
    recorded = next(tmp_path.rglob("metrics/loss")).read_text().splitlines()
    assert len(recorded) == 4
