import importlib
import os
import sys
from types import SimpleNamespace

import pytest

from mmseg_gc.arguments import run_config, run_parser, spread_over_gpus
from mmseg_gc.errors import UserError


@pytest.fixture
def start(monkeypatch):
    """What ``--gpus`` would turn this process into; None if it stays."""

    def run(*arguments: str) -> list[str] | None:
        started = []
        monkeypatch.setattr(os, "execv", lambda path, command: started.append(command))
        monkeypatch.setattr(sys, "argv", ["tools/train.py", *arguments])
        monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
        monkeypatch.setenv("MMSEG_GC_COMMAND", "")
        monkeypatch.delenv("MMSEG_GC_COMMAND")
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        spread_over_gpus(run_parser("").parse_args(list(arguments)))
        return started[0] if started else None

    return run


def test_several_gpus_start_several_processes(start):
    assert start("c.py", "--gpus", "2", "--work_dir", "w") == [
        sys.executable, "-m", "mmseg_gc.cli.launch", "--standalone", "--nproc_per_node=2",
        "tools/train.py", "c.py", "--gpus", "2", "--work_dir", "w", "--launcher", "pytorch",
    ]  # fmt: skip
    typed = "python tools/train.py c.py --gpus 2 --work_dir w"
    assert os.environ["MMSEG_GC_COMMAND"] == typed  # by which a stopped training goes on


def test_one_process_stays(start):
    assert start("c.py") is None
    assert start("c.py", "--gpus", "1", "--launcher", "pytorch") is None


def test_a_started_process_does_not_start_more(monkeypatch):
    monkeypatch.setattr(os, "execv", lambda *args: pytest.fail("started again"))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    spread_over_gpus(run_parser("").parse_args(["c.py", "--gpus", "2", "--launcher", "pytorch"]))


def test_numbers_that_mean_nothing(start):
    with pytest.raises(UserError, match="--gpus 0 is no number of processes"):
        start("c.py", "--gpus", "0")
    with pytest.raises(UserError, match="--gpus and --launcher both set"):
        start("c.py", "--gpus", "2", "--launcher", "pytorch")


def test_more_gpus_than_there_are(start, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(UserError, match="--gpus 2: this machine has 1"):
        monkeypatch.setattr("torch.cuda.is_available", lambda: True)
        args = run_parser("").parse_args(["c.py", "--gpus", "2"])
        monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
        spread_over_gpus(args)


@pytest.mark.parametrize(
    ("size", "given", "launcher"),
    [("2", [], "pytorch"), ("1", [], "none"), (None, [], "none"), ("2", ["slurm"], "slurm")],
)
def test_processes_of_torchrun_know_of_each_other(tmp_path, monkeypatch, size, given, launcher):
    """Without `--launcher` each would train for itself, and all into one folder."""
    variables = dict(RANK="1", MASTER_ADDR="127.0.0.1", MASTER_PORT="1", LOCAL_RANK="1")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WORLD_SIZE", size) if size else monkeypatch.delenv("WORLD_SIZE", False)
    (tmp_path / "c.py").write_text("x = 1\n")
    given = [f"--launcher={name}" for name in given]
    args = run_parser("").parse_args([str(tmp_path / "c.py"), *given])
    monkeypatch.setattr("mmseg_gc.config.load_config", lambda *_, **__: SimpleNamespace())
    assert run_config(args).launcher == launcher == args.launcher
    monkeypatch.delenv("RANK")  # WORLD_SIZE alone may be anybody's
    args = run_parser("").parse_args([str(tmp_path / "c.py")])
    assert run_config(args).launcher == "none"


@pytest.mark.parametrize(
    ("word", "instead"),
    [
        ("--seed", "--cfg-options randomness.seed=NUMBER"),
        ("--auto-resume", "--resume"),
        ("--resume_from", "--resume CHECKPOINT"),
        ("--load-from=x.pth", "--cfg-options load_from=CHECKPOINT"),
        ("--gpu-ids", "CUDA_VISIBLE_DEVICES"),
        ("--options", "--cfg-options KEY=VALUE"),
    ],
)
def test_arguments_of_old_name_todays(capsys, word, instead):
    with pytest.raises(SystemExit):
        run_parser("").parse_args(["c.py", word, "1"])
    name = word.partition("=")[0].replace("_", "-")
    assert f"{name} is of mmsegmentation 0.x; write {instead}" in capsys.readouterr().err


def test_options_may_hold_dicts():
    args = run_parser("").parse_args(
        ["c.py", "--cfg-options", "a.b=dict(c=(1,2))", "d=3", "--cfg-options", "e=[{'f': 1}]"]
    )
    assert args.cfg_options == {"a.b": dict(c=(1, 2)), "d": 3, "e": [dict(f=1)]}


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        ("train", "train_dataloader, train_cfg, optim_wrapper"),
        ("test", "test_dataloader, test_cfg"),
    ],
)
def test_a_config_of_a_model_alone_is_told_what_it_lacks(tmp_path, capsys, command, missing):
    config, work_dir = tmp_path / "c.py", tmp_path / "w"
    config.write_text('_base_ = "mmseg_gc::_base_/models/gcnet_r18-d8.py"\n')
    main = importlib.import_module(f"mmseg_gc.cli.{command}").main
    words = [str(config), *(["x.pth"] if command == "test" else []), "--work-dir", str(work_dir)]
    with pytest.raises(SystemExit) as end:
        main(words)
    said = capsys.readouterr().err
    assert end.value.code != 0
    assert f"Error: {config} has no {missing}; add it, or name what has it in _base_." in said
    assert not work_dir.exists()
