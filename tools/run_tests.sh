#!/usr/bin/env bash
# Lint and tests in one command: bash tools/run_tests.sh [arguments of pytest]
#
# Makes .venv (or uses the environment OMNIVL_VENV), installs omnivl with the extra `test`, runs ruff, mypy and pydoclint
# (their settings are in pyproject.toml), builds the documentation (docs/_build/html) with warnings as errors, then runs
# pytest on all cores. Tests that need a GPU are skipped without one, and the summary says so. The exit code is that of
# what failed.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$ROOT/tools/environment.sh"
cd "$ROOT"

echo '== environment'
prepare_environment test av furo gradio ipykernel jinja2 matplotlib mypy myst_nb nbclient onnxruntime onnxscript \
    playwright pycocoevalcap pydoclint pytest pytest_timeout ruff sklearn sphinx xdist

echo '== lint'
(
    set -x
    "$PYTHON" -m ruff check .
    "$PYTHON" -m ruff format --check .
    "$PYTHON" -m pydoclint.main --quiet omnivl
)

# Each keeps one core busy for minutes.
echo '== types and documentation, side by side'
(set -x && exec "$PYTHON" -m mypy) &
types=$!
failed=0
(set -x && exec "$PYTHON" -m sphinx -W --keep-going -q -b html docs docs/_build/html) || failed=$?
wait "$types" || failed=$?
[ "$failed" -eq 0 ] || exit "$failed"

echo '== tests'
# One thread is faster for models as small as those of the tests, and their sums then do not depend on the machine.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
# Side by side, a test at a time (whole files at a time leave one process waiting for the other), and one more at once
# than there are cores, since many tests wait for processes that they have started. -n 0: one after the other.
workers=$(($(env -u OMP_NUM_THREADS nproc) + 1)) # nproc would take that variable for the number of cores
set -x
exec "$PYTHON" -m pytest -n "$workers" --maxprocesses 8 --dist worksteal -rs --durations=5 "$@"
