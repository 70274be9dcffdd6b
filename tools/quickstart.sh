#!/usr/bin/env bash
# OmniVL from nothing to a report in one command: bash tools/quickstart.sh
#
# Makes .venv, writes a small corpus of images and videos, pretrains OmniVL on it (images first, then images and videos
# together), evaluates it and writes work_dirs/demo/report.html. Run it again and it goes on where it stopped.
# The steps are in projects/demo/quickstart.py.
#
# QUICKSTART_SMOKE=1        the same in about two minutes: a tiny corpus and a handful of steps; the figures mean nothing
# QUICKSTART_DATA=DIR       where the corpus goes (default data/demo, data/demo_smoke)
# QUICKSTART_WORK_DIR=DIR   where everything else goes (default work_dirs/demo, work_dirs/demo_smoke)
# OMNIVL_VENV, OMNIVL_PYTHON  see tools/environment.sh
# QUICKSTART_MINUTES=N      what all but the installation should take (default 6): as many steps of training as fit, at most
#                           those of the configs; 0: all of them, however long they take (projects/demo/lengths.py)
# OMP_NUM_THREADS=N         threads of every process (default: measured in seconds and printed, see projects/demo/threads.py)
set -euo pipefail

export OMNIVL_CALLER="$PWD"
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$ROOT/tools/environment.sh"
cd "$ROOT"
prepare_environment demo av jinja2 matplotlib
exec "$PYTHON" -m projects.demo.quickstart
