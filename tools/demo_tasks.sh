#!/usr/bin/env bash
# Every downstream task on the demo corpus in one command: bash tools/demo_tasks.sh
#
# Finetunes the model of tools/quickstart.sh (which runs first if it has not) for each task by its config in
# projects/demo/configs, does the same from random weights, tests both, and writes work_dirs/demo_tasks/metrics.json,
# table.md and report.html. Tasks with time are tested on shuffled frames, too. Run it again and it goes on where it
# stopped. The steps are in projects/demo/tasks.py.
#
# DEMO_TASKS="vqa video_qa"   these tasks only (default: all, see TRAINED_BY in projects/demo/tasks.py)
# DEMO_TASKS_SMOKE=1          a tiny corpus and a handful of steps; the figures mean nothing
# DEMO_TASKS_DATA=DIR         where the corpus of the tasks goes (default data/demo_tasks, data/demo_tasks_smoke)
# DEMO_TASKS_WORK_DIR=DIR     where everything else goes (default work_dirs/demo_tasks, work_dirs/demo_tasks_smoke)
# QUICKSTART_DATA, QUICKSTART_WORK_DIR  where the quickstart has left its own, see there; and its other variables
set -euo pipefail

export OMNIVL_CALLER="$PWD"
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$ROOT/tools/environment.sh"
cd "$ROOT"
prepare_environment demo av jinja2 matplotlib pycocoevalcap
exec "$PYTHON" -m projects.demo.tasks
