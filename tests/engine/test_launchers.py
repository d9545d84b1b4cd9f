import os

import pytest

from mmseg_gc.arguments import run_config, run_parser
from mmseg_gc.engine.launchers import is_first_process, read_launcher
from mmseg_gc.errors import UserError

OPEN_MPI = dict(
    OMPI_COMM_WORLD_RANK="5", OMPI_COMM_WORLD_SIZE="8", OMPI_COMM_WORLD_LOCAL_RANK="1",
    OMPI_COMM_WORLD_LOCAL_SIZE="4",
)  # fmt: skip
MPICH = dict(PMI_RANK="5", PMI_SIZE="8", MPI_LOCALRANKID="1", MPI_LOCALNRANKS="4")
SLURM = dict(SLURM_PROCID="5", SLURM_NTASKS="8", SLURM_LOCALID="1")
NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", *OPEN_MPI)


@pytest.fixture
def environment(monkeypatch):
    """This process's variables, without those of a launcher; they are put back."""
    for name in (*NAMES, *MPICH, *SLURM, "SLURM_NNODES"):
        monkeypatch.setenv(name, "")  # noted, so that what the code sets is taken back
        del os.environ[name]
    return os.environ


@pytest.mark.parametrize(
    ("launcher", "variables"), [("mpi", OPEN_MPI), ("mpi", MPICH), ("slurm", SLURM)]
)
def test_a_rank_learns_which_it_is(environment, launcher, variables):
    environment.update(variables, MASTER_ADDR="there")
    read_launcher(launcher)
    assert [environment[name] for name in NAMES[:3]] == ["5", "8", "1"]
    assert environment["MASTER_ADDR"] == "there"
    if launcher == "mpi":
        assert environment["OMPI_COMM_WORLD_LOCAL_RANK"] == "1"  # mmengine reads this one


def test_ranks_of_one_machine_find_each_other(environment):
    environment.update(OPEN_MPI, OMPI_COMM_WORLD_LOCAL_SIZE="8")
    read_launcher("mpi")
    assert (environment["MASTER_ADDR"], environment["MASTER_PORT"]) == ("127.0.0.1", "29500")


def test_what_is_missing_is_said(environment):
    with pytest.raises(UserError, match="--launcher mpi: OMPI_COMM_WORLD_RANK isn't set; start it"):
        read_launcher("mpi")
    with pytest.raises(UserError, match="SLURM_PROCID isn't set; start it with srun"):
        read_launcher("slurm")
    environment.update(OPEN_MPI)
    with pytest.raises(UserError, match="MASTER_ADDR isn't set"):
        read_launcher("mpi")


@pytest.mark.parametrize("launcher", ["none", "pytorch", "mpi", "slurm"])
def test_the_tools_do_not_make_every_rank_the_first(environment, launcher):
    config = "configs/gcnet/gcnet_r18-d8_1xb4-demo_scenes-128x256.py"
    run_config(run_parser("").parse_args([config, "--launcher", launcher]))
    own = launcher in ("none", "pytorch")
    assert environment.get("LOCAL_RANK") == ("0" if own else None)
    read_launcher(launcher) if own else None


@pytest.mark.parametrize(
    ("launcher", "variable"),
    [
        ("pytorch", "RANK"),
        ("slurm", "SLURM_PROCID"),
        ("mpi", "OMPI_COMM_WORLD_RANK"),
        ("mpi", "PMI_RANK"),
    ],
)
def test_the_first_process_is_known_before_they_meet(monkeypatch, launcher, variable):
    for rank, is_first in (("0", True), ("3", False)):
        monkeypatch.setenv(variable, rank)
        assert is_first_process(launcher) is is_first
        assert is_first_process("none")
