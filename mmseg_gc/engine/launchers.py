"""Which of the processes of a job this one is, by the variables of whoever started it."""

import atexit
import os

import torch

from mmseg_gc.errors import UserError

# (rank, number of processes, rank on this machine, processes on this machine)
MPI_VARIABLES = (
    (  # Open MPI
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_SIZE",
        "OMPI_COMM_WORLD_LOCAL_RANK",
        "OMPI_COMM_WORLD_LOCAL_SIZE",
    ),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"),  # MPICH and Intel MPI
)
SLURM_VARIABLES = ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_NTASKS_PER_NODE")


def is_first_process(launcher: str) -> bool:
    """Whether this is rank 0 by the variables of ``launcher``, before there is a process group."""
    choices = {"mpi": MPI_VARIABLES, "slurm": (SLURM_VARIABLES,), "pytorch": (("RANK",),)}
    names = [names[0] for names in choices.get(launcher, ())]
    return all(os.environ.get(name, "0") == "0" for name in names)


def read_launcher(launcher: str) -> None:
    """Set ``RANK``, ``WORLD_SIZE`` and ``LOCAL_RANK`` as torchrun does, under mpi and slurm too.

    Raises:
        UserError: the variables of ``launcher`` aren't there, or nobody says where rank 0 is.
    """
    if launcher not in ("mpi", "slurm"):
        return
    choices = MPI_VARIABLES if launcher == "mpi" else (SLURM_VARIABLES,)
    found = next((names for names in choices if names[0] in os.environ), None)
    if found is None:
        starter = "mpirun" if launcher == "mpi" else "srun"
        raise UserError(
            f"--launcher {launcher}: {choices[0][0]} isn't set; start it with {starter}."
        )
    rank, size = (os.environ[name] for name in found[:2])
    local_rank, local_size = (os.environ.get(name) for name in found[2:])
    os.environ["RANK"], os.environ["WORLD_SIZE"] = rank, size
    if local_rank is not None:
        os.environ["LOCAL_RANK"] = local_rank
    if launcher == "slurm":
        if os.environ.get("SLURM_NNODES") == "1":
            os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
            os.environ.setdefault("MASTER_PORT", "29500")
        return  # mmengine asks scontrol for the rest
    # mmengine knows Open MPI alone.
    names = zip(MPI_VARIABLES[0], (rank, size, local_rank or "0"), strict=False)
    os.environ.update(names)
    if "MASTER_ADDR" not in os.environ:
        if local_size != size:
            raise UserError(
                "--launcher mpi: MASTER_ADDR isn't set; export it as the address of rank 0's "
                "machine."
            )
        os.environ["MASTER_ADDR"] = "127.0.0.1"
    os.environ.setdefault("MASTER_PORT", "29500")


def join_process_group(launcher: str) -> None:
    """Let this process take part in its group, until the interpreter shuts down.

    On GPUs mmengine starts the group, which sets the device first.
    """
    read_launcher(launcher)
    if not torch.cuda.is_available():
        torch.distributed.init_process_group("gloo")
    atexit.register(leave_process_group)


def leave_process_group() -> None:
    """End this process's part in its group, if there is one, before the interpreter shuts down."""
    # gloo's threads may still hold Python objects; one that lets go of them while the interpreter
    # shuts down aborts the process, work done and all. NCCL warns, and may hang.
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
