#!/usr/bin/env bash
# Start one torchrun a node: tools/slurm_run.sh PARTITION JOB_NAME DIST_SCRIPT FILES… -- ARGUMENTS…
# slurm_train.sh and slurm_test.sh call it.
set -euo pipefail
partition=$1 job=$2 script=$3
shift 3
files=()
while [ "$1" != -- ]; do
    files+=("$1")
    shift
done
shift

gpus=${GPUS:-8}
per_node=${GPUS_PER_NODE:-8}
per_node=$((gpus < per_node ? gpus : per_node))
nodes=$(((gpus + per_node - 1) / per_node))

# Runs on every node: the first host of the job is where the processes meet.
launch='export NNODES=$SLURM_NNODES NODE_RANK=$SLURM_NODEID
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export MASTER_ADDR PORT=${PORT:-29500}
exec "$@"'

# shellcheck disable=SC2086 - SRUN_ARGS holds several words
exec srun -p "$partition" --job-name="$job" --nodes="$nodes" --ntasks-per-node=1 \
    --gres="gpu:$per_node" --cpus-per-task="$((${CPUS_PER_TASK:-5} * per_node))" \
    --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    bash -c "$launch" launch "$script" "${files[@]}" "$per_node" "$@"
