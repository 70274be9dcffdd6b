#!/usr/bin/env bash
# Train with several processes on this machine:
#   bash tools/dist_train.sh CONFIG N [--max-restarts K] [options of tools/train.py]
# Several machines: set NNODES, NODE_RANK, MASTER_ADDR and PORT on each.
# --max-restarts K: start again, and resume, up to K times when a process dies.
# SIGTERM and SIGUSR1, to this script or its launcher: save at the end of the step and end with code 75; --resume goes on.
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: bash tools/dist_train.sh CONFIG NUMBER_OF_PROCESSES [--max-restarts K] [options of tools/train.py]" >&2
    exit 2
fi
config=$1
processes=$2
shift 2
restarts=0
if [ "${1:-}" = --max-restarts ] && [ $# -ge 2 ]; then
    restarts=$2
    shift 2
fi
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python}" "$root/tools/launch.py" --max-restarts="$restarts" \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    --nproc_per_node="$processes" \
    "$root/tools/train.py" "$config" --launcher pytorch "$@"
