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
source "$ROOT/tools/steps.sh"
cd "$ROOT"

STAGE1_CONFIG=projects/demo/configs/pretrain_image.py
STAGE2_CONFIG=projects/demo/configs/pretrain_joint.py
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
DATA="$(folder "${QUICKSTART_DATA:-}" "data/demo$suffix")"
WORK_DIR="$(folder "${QUICKSTART_WORK_DIR:-}" "work_dirs/demo$suffix")"
COMMAND=quickstart
STEPS=7

step_output() {
    case "$1" in
        corpus) echo "$DATA" ;;
        vocabulary) echo "$DATA/vocab.txt" ;;
        report) echo "$WORK_DIR/report.html" ;;
        *) echo "$WORK_DIR/$1" ;;
    esac
}

is_kept() {
    case "$1" in
        corpus | stage1 | stage2) ;;
        *) return 1 ;;
    esac
}

prepare_steps
# The demo configs find the corpus, and stage 2 the weights of stage 1, through these (MMEngine's --cfg-options would take
# the spaces out of a path).
export OMNIVL_DEMO_DATA="$DATA" OMNIVL_DEMO_WORK_DIR="$WORK_DIR"

echo "OmniVL quickstart: corpus in $DATA, everything else in $WORK_DIR"

install_step demo av matplotlib
# Not inside a command line: there, a config that cannot be read would not stop the script.
CONFIGS="$(settings "$STAGE1_CONFIG" "$STAGE2_CONFIG")"

run_step corpus "$(minutes "${MINUTES[0]}")" 'Demo corpus' \
    'Draws a small world of coloured shapes as JPEG and MP4 files, with captions, labels and questions.' \
    "$(make_key corpus projects/demo/make_corpus.py projects/demo/corpus/ "${CORPUS_OPTIONS[*]-}")" \
    show "$PYTHON" -m projects.demo.make_corpus --out "$DATA" ${CORPUS_OPTIONS[@]+"${CORPUS_OPTIONS[@]}"}

run_step vocabulary "$(minutes "${MINUTES[1]}")" 'Vocabulary' \
    'Learns a word-piece vocabulary from the training captions, since nothing is downloaded.' \
    "$(make_key vocabulary tools/train_tokenizer.py)" \
    show "$PYTHON" tools/train_tokenizer.py --data "$DATA" --out "$DATA/vocab.txt"

run_step stage1 "$(minutes "${MINUTES[2]}")" 'Stage 1: images' \
    'Pretrains on image-text and image-label data: contrast (UniVLC), matching (VLM), captioning (LM).' \
    "$(make_key stage1 "$(sed -n 1p <<<"$CONFIGS")" "${STAGE1_OPTIONS[*]-}")" \
    train "$WORK_DIR/stage1" "$STAGE1_CONFIG" ${STAGE1_OPTIONS[@]+"${STAGE1_OPTIONS[@]}"}

run_step stage2 "$(minutes "${MINUTES[3]}")" 'Stage 2: images and videos' \
    'Starts from stage 1 and alternates batches of images and of videos.' \
    "$(make_key stage2 "$(sed -n 2p <<<"$CONFIGS")" "${STAGE2_OPTIONS[*]-}")" \
    train "$WORK_DIR/stage2" "$STAGE2_CONFIG" ${STAGE2_OPTIONS[@]+"${STAGE2_OPTIONS[@]}"}
STAGE2_CHECKPOINT="$(last_checkpoint "$WORK_DIR/stage2")"

run_step test "$(minutes "${MINUTES[4]}")" 'Evaluation' \
    'Retrieval, captions and zero-shot classes on the held-out test set, and on combinations never seen in training.' \
    "$(make_key test tools/test.py omnivl/evaluation/)" \
    show "$PYTHON" tools/test.py "$STAGE2_CONFIG" "$STAGE2_CHECKPOINT" --work-dir "$WORK_DIR/test"

run_step report "$(minutes "${MINUTES[5]}")" 'Report' \
    'One page with figures, curves, pictures and captions, and the same numbers as JSON.' \
    "$(make_key report projects/demo/make_report.py projects/demo/report/)" \
    show "$PYTHON" -m projects.demo.make_report --work-dir "$WORK_DIR" --data "$DATA" \
    ${REPORT_OPTIONS[@]+"${REPORT_OPTIONS[@]}"}

trap - EXIT
printf '\nFinished.\n  report:  %s\n  figures: %s\n' "$WORK_DIR/report.html" "$WORK_DIR/metrics.json"
