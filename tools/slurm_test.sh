#!/usr/bin/env bash
# Test under slurm: tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of tools/test.py]
# GPUS (8 in all), GPUS_PER_NODE (8), CPUS_PER_TASK (5 a GPU) and SRUN_ARGS may be set.
set -euo pipefail
if [ $# -lt 4 ]; then
    echo "usage: $0 PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of tools/test.py]" >&2
    exit 2
fi
partition=$1 job=$2 config=$3 checkpoint=$4
shift 4
exec "$(dirname "$0")/slurm_run.sh" "$partition" "$job" "$(dirname "$0")/dist_test.sh" "$config" "$checkpoint" -- "$@"
