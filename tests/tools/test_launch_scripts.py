"""What the launch scripts start, with stand-ins for srun, scontrol and python."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def launch(tmp_path):
    """Run a script; what would be `python` prints its arguments, `srun` runs its command once."""

    def script(name, text):
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)

    script("show", 'echo "ARGS $*"; echo "COMMAND ${MMSEG_GC_COMMAND-}"')
    script("scontrol", "echo node7; echo node8")
    script(
        "srun",
        'echo "SRUN $*"\n'
        "while [ $# -gt 0 ] && [ $1 != bash ]; do shift; done\n"
        'SLURM_NNODES=2 SLURM_NODEID=1 SLURM_JOB_NODELIST="node[7-8]" exec "$@"',
    )

    def run(*command, **variables):
        environment = {
            **os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHON": "show", **variables,
        }  # fmt: skip
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=20
        )

    return run


def test_one_node(launch, free_port):
    out = launch("tools/dist_train.sh", "c.py", "4", "--work_dir", "a b", PORT=free_port).stdout
    assert f"--nnodes=1 --node_rank=0 --master_addr=127.0.0.1 --master_port={free_port}" in out
    assert "ARGS -m mmseg_gc.cli.launch" in out and "--nproc_per_node=4" in out
    assert r"COMMAND tools/dist_train.sh c.py 4 --work_dir a\ b" in out
    assert "tools/train.py c.py --launcher pytorch --work_dir a b" in out


def test_the_port_of_those_who_name_none(launch):
    # The first node alone looks whether it's free, which here it may not be.
    out = launch("tools/dist_train.sh", "c.py", "4", NODE_RANK="1").stdout
    assert "--node_rank=1 --master_addr=127.0.0.1 --master_port=29500" in out


def test_several_nodes_by_variables(launch):
    variables = dict(NNODES="3", NODE_RANK="2", MASTER_ADDR="10.0.0.5", PORT="123")
    out = launch("tools/dist_test.sh", "c.py", "w.pth", "8", "--aug-test", **variables).stdout
    assert "--nnodes=3 --node_rank=2 --master_addr=10.0.0.5 --master_port=123" in out
    assert "--nproc_per_node=8 tools/test.py c.py w.pth --launcher pytorch --aug-test" in out


def test_slurm_starts_one_launcher_a_node(launch):
    variables = dict(GPUS="16", GPUS_PER_NODE="8", SRUN_ARGS="--quotatype=auto --time 10")
    out = launch("tools/slurm_train.sh", "part", "job", "c.py", "--amp", **variables).stdout
    assert "SRUN -p part --job-name=job --nodes=2 --ntasks-per-node=1 --gres=gpu:8" in out
    assert "--cpus-per-task=40 --kill-on-bad-exit=1 --quotatype=auto --time 10" in out
    assert "--nnodes=2 --node_rank=1 --master_addr=node7 --master_port=29500" in out
    assert "--nproc_per_node=8 " in out and "tools/train.py c.py --launcher pytorch --amp" in out
    assert "COMMAND tools/slurm_train.sh part job c.py --amp" in out


def test_slurm_test_on_fewer_gpus_than_a_node_has(launch):
    out = launch("tools/slurm_test.sh", "part", "job", "c.py", "w.pth", GPUS="4").stdout
    assert "--nodes=1 --ntasks-per-node=1 --gres=gpu:4 --cpus-per-task=20" in out
    assert "--nproc_per_node=4 " in out and "tools/test.py c.py w.pth --launcher pytorch" in out


@pytest.mark.parametrize(
    "script", ["dist_train.sh", "dist_test.sh", "slurm_train.sh", "slurm_test.sh"]
)
def test_usage(launch, script):
    finished = launch(f"tools/{script}", "c.py")
    assert finished.returncode == 2
    assert finished.stderr.startswith("usage: ")


@pytest.mark.parametrize("gpus", ["0", "-1", "two", "1.5", ""])
def test_a_number_of_processes_that_means_nothing(launch, gpus):
    for command in (["tools/dist_train.sh", "c.py"], ["tools/dist_test.sh", "c.py", "w.pth"]):
        finished = launch(*command, gpus)
        assert finished.returncode == 1 and "ARGS" not in finished.stdout
        assert (
            finished.stderr
            == f"Error: GPUS is '{gpus}'; give the number of processes, 1 or more.\n"
        )


def test_a_port_that_is_taken_is_said(launch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finished = launch("tools/dist_train.sh", "c.py", "2", PORT=str(port))
        assert finished.returncode == 1 and "ARGS" not in finished.stdout
        assert finished.stderr.startswith(f"Error: port {port} is taken")
        assert f"PORT={port + 1} tools/dist_train.sh" in finished.stderr
        # It's the first node that opens it.
        finished = launch("tools/dist_train.sh", "c.py", "2", PORT=str(port), NODE_RANK="1")
        assert f"--master_port={port}" in finished.stdout
    finished = launch("tools/dist_test.sh", "c.py", "w.pth", "2", PORT="70000")
    assert finished.returncode == 1 and "PORT is '70000'" in finished.stderr
