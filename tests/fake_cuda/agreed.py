"""Where the host may wait for the GPU in an iteration of a training, and why; nowhere else."""

AGREED_WAITS = {
    # Functions by their qualified name.
    "read": "a log line is due: all values since the last one in one copy for each type",
    "restore_random_state": "the first iteration after a resume",
}
