#!/usr/bin/env bash
# Train under slurm: tools/slurm_train.sh PARTITION JOB_NAME CONFIG [arguments of tools/train.py]
# GPUS (8 in all), GPUS_PER_NODE (8), CPUS_PER_TASK (5 a GPU) and SRUN_ARGS may be set.
set -euo pipefail
if [ $# -lt 3 ]; then
    echo "usage: $0 PARTITION JOB_NAME CONFIG [arguments of tools/train.py]" >&2
    exit 2
fi
partition=$1 job=$2 config=$3
shift 3
export MMSEG_GC_COMMAND=${MMSEG_GC_COMMAND:-$(printf '%q ' "$0" "$partition" "$job" "$config" "$@")}
exec "$(dirname "$0")/slurm_run.sh" "$partition" "$job" "$(dirname "$0")/dist_train.sh" "$config" -- "$@"
