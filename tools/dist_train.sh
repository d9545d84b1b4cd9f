#!/usr/bin/env bash
# Train on several devices: tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
# Several nodes: the same line on each, with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
# SIGTERM, SIGUSR1 and Ctrl-C are handed on to the processes, which save a checkpoint and end; a second
# Ctrl-C kills them.
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: $0 CONFIG GPUS [arguments of tools/train.py]" >&2
    exit 2
fi
config=$1 gpus=$2
shift 2
# shellcheck source=tools/dist_common.sh
source "$(dirname "$0")/dist_common.sh"
check_launch "$gpus"
# What a training that is stopped names, to go on by.
export MMSEG_GC_COMMAND=${MMSEG_GC_COMMAND:-$(printf '%q ' "$0" "$config" "$gpus" "$@")}

exec "${PYTHON:-python}" -m mmseg_gc.cli.launch \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$gpus" \
    "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"
