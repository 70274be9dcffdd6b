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
    "$PYTHON" -m mypy
    "$PYTHON" -m pydoclint.main --quiet omnivl
)

echo '== documentation'
(
    set -x
    "$PYTHON" -m sphinx -W --keep-going -q -b html docs docs/_build/html
)

echo '== tests'
# One thread is faster for models as small as those of the tests, and their sums then do not depend on the machine.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
# Side by side, a test at a time: on two busy cores two thirds of the time (of the tests of models, engine and weights);
# whole files at a time (loadfile) leave one process waiting for the other. -n 0 runs them one after the other.
set -x
exec "$PYTHON" -m pytest -n auto --maxprocesses 8 --dist worksteal -rs --durations=5 "$@"
