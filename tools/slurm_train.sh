#!/usr/bin/env bash
# Train on a slurm cluster: GPUS=32 bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of tools/train.py]
# GPUS: all GPUs of the job; GPUS_PER_NODE, CPUS_PER_TASK; SRUN_ARGS: more options of srun.
# STOP_SIGNAL=USR1@120   120 seconds before the time limit the training saves and leaves with code 75, and goes on in a
#                        new job: in a batch job by requeueing it (give sbatch this --signal too), else by srun again
# MAX_REQUEUES=20        how often that is done
# SIGTERM to this script is slurm or a person ending the job: the training saves, and the script ends with code 75.
set -euo pipefail
if [ $# -lt 4 ]; then
    echo "usage: bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of tools/train.py]" >&2
    exit 2
fi
partition=$1
job_name=$2
config=$3
work_dir=$4
shift 4
gpus=${GPUS:-8}
gpus_per_node=${GPUS_PER_NODE:-8}
if [ "$gpus" -lt "$gpus_per_node" ]; then gpus_per_node=$gpus; fi
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"

ended=''
pass_on() {
    signalled=1
    kill -"$1" "$child" 2>/dev/null || true
}
trap 'ended=1; pass_on TERM' TERM
trap 'pass_on USR1' USR1

train() {
    # shellcheck disable=SC2086  # SRUN_ARGS is a list of options
    srun --partition="$partition" --job-name="$job_name" \
        --gres="gpu:$gpus_per_node" --ntasks="$gpus" --ntasks-per-node="$gpus_per_node" \
        --cpus-per-task="${CPUS_PER_TASK:-8}" --kill-on-bad-exit=1 --signal="${STOP_SIGNAL:-USR1@120}" ${SRUN_ARGS:-} \
        "${PYTHON:-python}" -u "$root/tools/train.py" "$config" --work-dir "$work_dir" --launcher slurm "$@" &
    child=$!
    signalled=''
    code=0
    wait "$child" || code=$?
    # A signal to this script ends the waiting, not the training; 127 = it had ended, and code is its own.
    while [ -n "$signalled" ]; do
        signalled=''
        again=0
        wait "$child" || again=$?
        if [ "$again" -ne 127 ]; then code=$again; fi
    done
}

train "$@"
# A requeued batch job runs this script anew; SLURM_RESTART_COUNT then tells tools/train.py to resume.
for ((count = ${SLURM_RESTART_COUNT:-0}; count < ${MAX_REQUEUES:-20}; count++)); do
    if [ "$code" -ne 75 ] || [ -n "$ended" ]; then break; fi
    if [ -n "${SLURM_JOB_ID:-}" ]; then
        scontrol requeue "$SLURM_JOB_ID"
        break
    fi
    train "$@" --resume
done
exit "$code"
