#!/usr/bin/env bash
# OmniVL from nothing to a report in one command: bash tools/quickstart.sh
#
# Makes .venv, writes a small corpus of images and videos, pretrains OmniVL on it (images first, then images and videos
# together), evaluates it and writes work_dirs/demo/report.html. Run it again and it goes on where it stopped.
#
# QUICKSTART_SMOKE=1        the same in about two minutes: a tiny corpus and a handful of steps; the figures mean nothing
# QUICKSTART_DATA=DIR       where the corpus goes (default data/demo, data/demo_smoke)
# QUICKSTART_WORK_DIR=DIR   where everything else goes (default work_dirs/demo, work_dirs/demo_smoke)
# OMNIVL_VENV, OMNIVL_PYTHON  see tools/environment.sh
# OMP_NUM_THREADS=N         threads of every process (default: what torch takes, one per core)
# OMP_WAIT_POLICY=active    let idle threads spin (default: passive, faster beside data workers, much so on a busy machine)
set -euo pipefail

CALLER="$PWD"
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$ROOT/tools/environment.sh"
cd "$ROOT"

STAGE1_CONFIG=configs/demo/pretrain_image.py
STAGE2_CONFIG=configs/demo/pretrain_joint.py
if [ "${QUICKSTART_SMOKE:-0}" = 1 ]; then
    suffix=_smoke
    CORPUS_OPTIONS=(--smoke)
    # The warm-up (the first scheduler) and the decay (the second) have to fit into eight steps, too.
    STAGE1_OPTIONS=(train_cfg.max_iters=8 default_hooks.logger.interval=2
        param_scheduler.0.end=2 param_scheduler.1.begin=2 param_scheduler.1.T_max=6)
    STAGE2_OPTIONS=("${STAGE1_OPTIONS[@]}")
    REPORT_OPTIONS=(--note 'A smoke run: a tiny corpus and a handful of steps. The figures mean nothing.')
    MINUTES=(1 1 1 1 1 1)
else
    suffix=
    CORPUS_OPTIONS=()
    STAGE1_OPTIONS=()
    STAGE2_OPTIONS=()
    REPORT_OPTIONS=()
    MINUTES=(1 1 3 5 2 1)
fi
DATA="${QUICKSTART_DATA:-data/demo$suffix}"
WORK_DIR="${QUICKSTART_WORK_DIR:-work_dirs/demo$suffix}"
# The defaults are in this checkout; a folder given by the caller is seen from where the caller stands.
case "${QUICKSTART_DATA:-/}" in /*) ;; *) DATA="$CALLER/$DATA" ;; esac
case "${QUICKSTART_WORK_DIR:-/}" in /*) ;; *) WORK_DIR="$CALLER/$WORK_DIR" ;; esac
mkdir -p "$WORK_DIR/logs" "$WORK_DIR/steps"
STEPS=7
SECONDS_FILE="$WORK_DIR/seconds.json"

# The demo configs find the corpus, and stage 2 the weights of stage 1, through these (MMEngine's --cfg-options would take
# the spaces out of a path).
export OMNIVL_DEMO_DATA="$DATA" OMNIVL_DEMO_WORK_DIR="$WORK_DIR"
writable_home "$(cd "$WORK_DIR" && pwd)/home"
# Through a pipe Python would keep its progress to itself for minutes.
export PYTHONUNBUFFERED=1
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"

# --- steps -----------------------------------------------------------------------------------------------------------

step=0
step_name=
step_log=
step_started=

title() {
    step=$((step + 1))
    printf '\n[%d/%d] %s\n' "$step" "$STEPS" "$1"
}

explain() { # what it does, how long it takes
    printf '      %s\n      takes about %s\n' "$1" "$2"
}

# Args: step name, seconds to add to what earlier, interrupted runs took; or "-" to forget them.
count_seconds() {
    "$PYTHON" - "$SECONDS_FILE" "$1" "$2" <<'PYTHON_END'
import json
import os
import sys

path, name, seconds = sys.argv[1:]
total = {}
if os.path.exists(path):
    with open(path) as file:
        total = json.load(file)
earlier = total.pop(name, 0)
if seconds != '-':
    total[name] = round(earlier + float(seconds), 2)
with open(path + '.new', 'w') as file:
    json.dump(total, file, indent=1)
os.replace(path + '.new', path)
PYTHON_END
}

now() { date +%s.%N; }

elapsed() { awk -v a="$1" -v b="$(now)" 'BEGIN {printf "%.2f", b - a}'; }

# Runs also on Ctrl-C and on errors: the time is counted, and the message says how to go on.
on_exit() {
    local code=$?
    [ -n "$step_name" ] || exit "$code"
    [ -z "$step_started" ] || count_seconds "$step_name" "$(elapsed "$step_started")" || true
    {
        printf '\nquickstart stopped in step %d of %d (%s), exit code %d.\n' "$step" "$STEPS" "$step_name" "$code"
        [ ! -s "${step_log:-}" ] || printf 'Its output is in %s\n' "$step_log"
        printf 'To go on, run the same command again: finished steps are skipped, training resumes at its last checkpoint.\n'
        printf 'To start afresh, remove %s and %s first.\n' "$WORK_DIR" "$DATA"
    } >&2
    exit "$code"
}
trap on_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step_output() {
    case "$1" in
        corpus) echo "$DATA" ;;
        vocabulary) echo "$DATA/vocab.txt" ;;
        report) echo "$WORK_DIR/report.html" ;;
        *) echo "$WORK_DIR/$1" ;;
    esac
}

# The key of a step: its parameters, the files that decide its result, and the keys of the steps before it. A step is
# finished when its stamp holds the key; if the key has changed, its old output is set aside and it runs anew.
previous_key=
make_key() { # words; a file stands for its content, a folder for its Python files
    local word
    {
        printf '%s\n' "$previous_key"
        for word in "$@"; do
            printf '%s\n' "$word"
            if [ "${word%/}" != "$word" ]; then
                find "$word" -name '*.py' -print0 | sort -z | xargs -0 cat
            elif [ -f "$word" ]; then
                cat "$word"
            fi
        done
    } | sha256sum | cut -c 1-16
}

# The settings of each config with all it inherits, one per line: a comment, or another experiment's file, changes no key.
settings() {
    "$PYTHON" - "$@" <<'PYTHON_END'
import sys

from mmengine.config import Config

out, sys.stdout = sys.stdout, sys.stderr  # MMEngine may log while it reads
for name in sys.argv[1:]:
    print(sorted(Config.fromfile(name).to_dict().items()), file=out)
PYTHON_END
}

set_aside() { # step name
    local output kept=1
    output="$(step_output "$1")"
    [ -e "$output" ] || return 0
    case "$1" in
        # What may have cost minutes, or may not be ours, is kept.
        corpus | stage1 | stage2)
            while [ -e "$output.old$kept" ]; do kept=$((kept + 1)); done
            mv -- "$output" "$output.old$kept"
            echo "      $output was made with other settings; it is now $output.old$kept"
            ;;
        *) rm -rf -- "$output" ;;
    esac
}

# Args: name, minutes, title, what it does, key, then the command.
run_step() {
    local name="$1" key="$5" stamp="$WORK_DIR/steps/$1"
    title "$3"
    previous_key="$key"
    if [ "$(cat "$stamp.done" 2>/dev/null)" = "$key" ] && [ -e "$(step_output "$name")" ]; then
        echo "      already done, skipped"
        return 0
    fi
    explain "$4" "$2"
    shift 5
    step_name="$name"
    step_log="$WORK_DIR/logs/$name.log"
    rm -f "$stamp.done"
    [ "$(cat "$stamp.started" 2>/dev/null)" = "$key" ] || set_aside "$name"
    # Seconds add up as long as an interrupted run is gone on with; a fresh start counts from zero.
    [ -e "$(step_output "$name")" ] || count_seconds "$name" -
    echo "$key" >"$stamp.started"
    step_started="$(now)"
    "$@" 2>&1 | tee -i -a "$step_log"
    local seconds
    seconds="$(elapsed "$step_started")"
    step_started=
    count_seconds "$name" "$seconds"
    echo "$key" >"$stamp.done"
    step_name=
    printf '      done in %.0f s\n' "$seconds"
}

minutes() { if [ "$1" = 1 ]; then echo 'a minute'; else echo "$1 minutes on two cores"; fi; }

# Starts a stage, or resumes it where an earlier run has left a checkpoint. Args: step name, config, options.
train_stage() {
    local stage="$1" config="$2"
    shift 2
    local command=("$PYTHON" tools/train.py "$config" --work-dir "$WORK_DIR/$stage")
    if [ -s "$WORK_DIR/$stage/last_checkpoint" ]; then
        echo "      resuming from $(cat "$WORK_DIR/$stage/last_checkpoint")"
        command+=(--resume)
    fi
    [ $# = 0 ] || command+=(--cfg-options "$@")
    show "${command[@]}"
}

show() { # print a command as it could be typed, then run it
    printf '+'
    printf ' %q' "$@"
    printf '\n'
    "$@"
}

last_checkpoint() { # step name of a finished stage
    local pointer="$WORK_DIR/$1/last_checkpoint"
    [ -s "$pointer" ] || fail "the training of $1 has ended, but there is no checkpoint: $pointer is missing." \
        "Remove $WORK_DIR/$1 and run the quickstart again; its output is in $WORK_DIR/logs/$1.log"
    # The pointer holds an absolute path; the folder may have moved since.
    echo "$WORK_DIR/$1/$(basename "$(cat "$pointer")")"
}

# --- what is done ----------------------------------------------------------------------------------------------------

echo "OmniVL quickstart: corpus in $DATA, everything else in $WORK_DIR"

title 'Environment'
explain "A virtual environment with omnivl and what it needs: $VENV" \
    'three minutes the first time (6 GB, most of it torch), then a second'
step_name=install
install_started="$(now)"
prepare_environment demo av matplotlib
[ "$INSTALLED" = no ] || count_seconds install "$(elapsed "$install_started")"
step_name=
printf '      done in %.0f s\n' "$(elapsed "$install_started")"
# Not inside a command line: there, a config that cannot be read would not stop the script.
CONFIGS="$(settings "$STAGE1_CONFIG" "$STAGE2_CONFIG")"

run_step corpus "$(minutes "${MINUTES[0]}")" 'Demo corpus' \
    'Draws a small world of coloured shapes as JPEG and MP4 files, with captions, labels and questions.' \
    "$(make_key corpus tools/make_demo_corpus.py omnivl/datasets/demo/ "${CORPUS_OPTIONS[*]-}")" \
    show "$PYTHON" tools/make_demo_corpus.py --out "$DATA" ${CORPUS_OPTIONS[@]+"${CORPUS_OPTIONS[@]}"}

run_step vocabulary "$(minutes "${MINUTES[1]}")" 'Vocabulary' \
    'Learns a word-piece vocabulary from the training captions, since nothing is downloaded.' \
    "$(make_key vocabulary tools/train_tokenizer.py)" \
    show "$PYTHON" tools/train_tokenizer.py --data "$DATA" --out "$DATA/vocab.txt"

run_step stage1 "$(minutes "${MINUTES[2]}")" 'Stage 1: images' \
    'Pretrains on image-text and image-label data: contrast (UniVLC), matching (VLM), captioning (LM).' \
    "$(make_key stage1 "$(sed -n 1p <<<"$CONFIGS")" "${STAGE1_OPTIONS[*]-}")" \
    train_stage stage1 "$STAGE1_CONFIG" ${STAGE1_OPTIONS[@]+"${STAGE1_OPTIONS[@]}"}

run_step stage2 "$(minutes "${MINUTES[3]}")" 'Stage 2: images and videos' \
    'Starts from stage 1 and alternates batches of images and of videos.' \
    "$(make_key stage2 "$(sed -n 2p <<<"$CONFIGS")" "${STAGE2_OPTIONS[*]-}")" \
    train_stage stage2 "$STAGE2_CONFIG" ${STAGE2_OPTIONS[@]+"${STAGE2_OPTIONS[@]}"}
STAGE2_CHECKPOINT="$(last_checkpoint stage2)"

run_step test "$(minutes "${MINUTES[4]}")" 'Evaluation' \
    'Retrieval, captions and zero-shot classes on the held-out test set, and on combinations never seen in training.' \
    "$(make_key test tools/test.py omnivl/evaluation/)" \
    show "$PYTHON" tools/test.py "$STAGE2_CONFIG" "$STAGE2_CHECKPOINT" --work-dir "$WORK_DIR/test"

run_step report "$(minutes "${MINUTES[5]}")" 'Report' \
    'One page with figures, curves, pictures and captions, and the same numbers as JSON.' \
    "$(make_key report tools/make_report.py omnivl/visualization/)" \
    show "$PYTHON" tools/make_report.py --work-dir "$WORK_DIR" --data "$DATA" \
    ${REPORT_OPTIONS[@]+"${REPORT_OPTIONS[@]}"}

trap - EXIT
printf '\nFinished.\n  report:  %s\n  figures: %s\n' "$WORK_DIR/report.html" "$WORK_DIR/metrics.json"
