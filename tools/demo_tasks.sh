#!/usr/bin/env bash
# Every downstream task on the demo corpus in one command: bash tools/demo_tasks.sh
#
# Finetunes the model of tools/quickstart.sh (which runs first if it has not) for each task by its config in
# projects/demo/configs, does the same from random weights, tests both, and writes work_dirs/demo_tasks/metrics.json, table.md and report.html.
# Tasks with time are tested on shuffled frames, too. Run it again and it goes on where it stopped.
#
# DEMO_TASKS="vqa video_qa"   these tasks only (default: all, see TASKS)
# DEMO_TASKS_SMOKE=1          a tiny corpus and a handful of steps; the figures mean nothing
# DEMO_TASKS_DATA=DIR         where the corpus of the tasks goes (default data/demo_tasks, data/demo_tasks_smoke)
# DEMO_TASKS_WORK_DIR=DIR     where everything else goes (default work_dirs/demo_tasks, work_dirs/demo_tasks_smoke)
# QUICKSTART_DATA, QUICKSTART_WORK_DIR  where the quickstart has left its own, see there; and its other variables
set -euo pipefail

CALLER="$PWD"
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$ROOT/tools/environment.sh"
source "$ROOT/tools/steps.sh"
cd "$ROOT"

# Each is a config in projects/demo/configs.
TASKS=(image_retrieval video_retrieval image_caption video_caption vqa video_qa video_multiple_choice
    image_classification linear_probe action_recognition)
VARIANTS=(from_scratch finetuned)
declare -A VARIANT_NAMES=([from_scratch]='from random weights' [finetuned]='from the pretrained model')

# The task whose training a task is tested on: its own, another's, or none.
trained_by() {
    case "$1" in
        video_multiple_choice) echo video_retrieval ;;
        linear_probe) ;;
        *) echo "$1" ;;
    esac
}

if [ "${DEMO_TASKS_SMOKE:-0}" = 1 ]; then
    suffix=_smoke
    export QUICKSTART_SMOKE=1
    # A batch of image classification is larger than the set of the tiny corpus.
    CORPUS_OPTIONS=(--smoke --num-lone 40)
    TRAIN_OPTIONS=(train_cfg.max_iters=4 default_hooks.logger.interval=2 'param_scheduler=[]')
    REPORT_OPTIONS=(--note 'A smoke run: a tiny corpus and a handful of steps. The figures mean nothing.')
    MINUTES=(1 1 1 2)
else
    suffix=
    CORPUS_OPTIONS=()
    TRAIN_OPTIONS=()
    REPORT_OPTIONS=()
    MINUTES=(1 2 1 13)
fi
DATA="$(folder "${DEMO_TASKS_DATA:-}" "data/demo_tasks$suffix")"
WORK_DIR="$(folder "${DEMO_TASKS_WORK_DIR:-}" "work_dirs/demo_tasks$suffix")"
START_DATA="$(folder "${QUICKSTART_DATA:-}" "data/demo$suffix")"
START="$(folder "${QUICKSTART_WORK_DIR:-}" "work_dirs/demo$suffix")"
# The quickstart is called from the checkout.
[ -z "${QUICKSTART_DATA:-}" ] || export QUICKSTART_DATA="$START_DATA"
[ -z "${QUICKSTART_WORK_DIR:-}" ] || export QUICKSTART_WORK_DIR="$START"

read -r -a CHOSEN <<<"${DEMO_TASKS:-${TASKS[*]}}"
declare -A TRAINED=()
for task in "${CHOSEN[@]}"; do
    [[ " ${TASKS[*]} " = *" $task "* ]] || fail "DEMO_TASKS has $task; there are: ${TASKS[*]}"
    owner="$(trained_by "$task")"
    [ -z "$owner" ] || TRAINED["$owner"]=no
done
COMMAND=demo_tasks
# Environment, quickstart, corpus, report; and of each variant the trainings and the tests.
STEPS=$((4 + ${#VARIANTS[@]} * (${#TRAINED[@]} + ${#CHOSEN[@]})))

step_output() {
    case "$1" in
        corpus) echo "$DATA" ;;
        report) echo "$WORK_DIR/report.html" ;;
        *) echo "$WORK_DIR/$1" ;;
    esac
}

is_kept() {
    case "$1" in
        report | */test) return 1 ;;
    esac
}

prepare_steps
# The configs find the corpora and the pretrained model through these.
export OMNIVL_DEMO_DATA="$START_DATA" OMNIVL_DEMO_WORK_DIR="$START" OMNIVL_DEMO_TASKS="$DATA"

pretrain() {
    title 'The pretrained model'
    # The stamp is written when the stage is finished; checkpoints are there long before.
    if [ -s "$START/steps/stage2.done" ] && [ -s "$START/stage2/last_checkpoint" ]; then
        echo "      $START/stage2 is finished, skipped"
        return 0
    fi
    explain 'Both stages of pretraining, as bash tools/quickstart.sh does them; it can be stopped and goes on, too.' \
        "$(minutes "${MINUTES[3]}")"
    step_name=quickstart
    bash tools/quickstart.sh
    step_name=
}

declare -A KEYS=()
TEST_KEYS=()

train_task() { # task, variant
    local task="$1" variant="$2" config="projects/demo/configs/$1.py" options=(${TRAIN_OPTIONS[@]+"${TRAIN_OPTIONS[@]}"})
    [ "$variant" = finetuned ] || options+=(load_from=None)
    previous_key="$BASE_KEY"
    run_step "$task/$variant" "$(minutes "${MINUTES[1]}")" "$task: training ${VARIANT_NAMES[$variant]}" \
        "By $config; checkpoints go to $WORK_DIR/$task/$variant" \
        "$(make_key "$task/$variant" "${SETTINGS[$task]}" "${options[*]-}")" \
        train "$WORK_DIR/$task/$variant" "$config" ${options[@]+"${options[@]}"}
    KEYS["$task/$variant"]="$previous_key"
}

test_task() { # task, variant
    local task="$1" variant="$2" owner checkpoint what="model trained ${VARIANT_NAMES[$2]}"
    owner="$(trained_by "$task")"
    if [ -n "$owner" ]; then
        checkpoint="$(last_checkpoint "$WORK_DIR/$owner/$variant")"
    elif [ "$variant" = finetuned ]; then
        checkpoint="$(last_checkpoint "$START/stage2")" what='pretrained model as it is'
    else
        checkpoint=random what='random weights as they are'
    fi
    previous_key="${KEYS[$owner/$variant]:-$BASE_KEY}"
    run_step "$task/$variant/test" "$(minutes "${MINUTES[2]}")" "$task: test, $what" \
        'Scores it on held-out scenes, and on shuffled frames where the config has such a test.' \
        "$(make_key "$task/$variant/test" "${SETTINGS[$task]}" tools/test.py omnivl/evaluation/)" \
        show "$PYTHON" tools/test.py "projects/demo/configs/$task.py" "$checkpoint" --work-dir "$WORK_DIR/$task/$variant/test"
    TEST_KEYS+=("$previous_key")
}

echo "OmniVL's downstream tasks: corpus in $DATA, everything else in $WORK_DIR"
echo "Tasks: ${CHOSEN[*]}"

install_step demo av matplotlib pycocoevalcap
pretrain

run_step corpus "$(minutes "${MINUTES[0]}")" 'Corpus of the tasks' \
    "Draws the quickstart's world again, in the published form of each benchmark: several captions, longer videos, choices." \
    "$(make_key corpus projects/demo/make_tasks.py projects/demo/corpus/ projects/demo/corpus/tasks/ "${CORPUS_OPTIONS[*]-}")" \
    show "$PYTHON" -m projects.demo.make_tasks --out "$DATA" ${CORPUS_OPTIONS[@]+"${CORPUS_OPTIONS[@]}"}

# The tasks do not depend on each other: each goes on from the pretrained model and the corpus.
BASE_KEY="$(make_key tasks "$START/steps/stage2.done")"
USED=("${CHOSEN[@]}" "${!TRAINED[@]}")
CONFIGS=("${USED[@]/#/projects/demo/configs/}")
# Not inside a command line: there, a config that cannot be read would not stop the script.
settings "${CONFIGS[@]/%/.py}" >"$WORK_DIR/steps/settings"
mapfile -t FOUND <"$WORK_DIR/steps/settings"
declare -A SETTINGS=()
for index in "${!USED[@]}"; do SETTINGS["${USED[index]}"]="${FOUND[index]}"; done

for task in "${CHOSEN[@]}"; do
    owner="$(trained_by "$task")"
    if [ "${TRAINED[${owner:--}]:-}" = no ]; then
        for variant in "${VARIANTS[@]}"; do train_task "$owner" "$variant"; done
        TRAINED["$owner"]=yes
    fi
    for variant in "${VARIANTS[@]}"; do test_task "$task" "$variant"; done
done

previous_key=
run_step report "$(minutes 1)" 'Table and report' \
    'One page with the figures and predictions of every task, the same figures as JSON, and a table to paste.' \
    "$(make_key report "${TEST_KEYS[*]}" projects/demo/collect_tasks.py projects/demo/report/)" \
    show "$PYTHON" -m projects.demo.collect_tasks --work-dir "$WORK_DIR" --data "$DATA" \
    ${REPORT_OPTIONS[@]+"${REPORT_OPTIONS[@]}"}

trap - EXIT
printf '\nFinished.\n  report:  %s\n  table:   %s\n  figures: %s\n' \
    "$WORK_DIR/report.html" "$WORK_DIR/table.md" "$WORK_DIR/metrics.json"
