#!/usr/bin/env bash
# Lint and tests in one command: bash tools/run_tests.sh [arguments of pytest]
#
# Makes .venv (or uses the environment OMNIVL_VENV), installs omnivl with the extra `test`, runs ruff and pydoclint, then
# pytest on all cores and beside it mypy and Sphinx (the documentation in docs/_build/html, with warnings as errors).
# Settings are in pyproject.toml. Tests that need a GPU are skipped without one, and the summary says so. The exit code is
# that of what failed.
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

# Both keep a core busy for minutes and wait for nothing: they take what the tests leave of the cores.
echo '== tests, and beside them types and documentation'
beside="$(mktemp)"
checks=
trap 'rm -f "$beside"; [ -z "$checks" ] || kill "$checks" 2>/dev/null || true' EXIT
(
    set -x
    failed=0
    nice -n 5 "$PYTHON" -m mypy || failed=1
    nice -n 5 "$PYTHON" -m sphinx -W --keep-going -q -b html docs docs/_build/html || failed=1
    exit "$failed"
) >"$beside" 2>&1 &
checks=$!
failed=0

# One thread is faster for models as small as those of the tests, and their sums then do not depend on the machine.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
# A file at a time, those with slow tests first (tests/conftest.py), so that little is left for one process in the end and
# what the tests of a file share is made once; and one more at once than there are cores, since many tests wait for
# processes that they have started. -n 0: one after the other.
workers=$(($(env -u OMP_NUM_THREADS nproc) + 1)) # nproc would take that variable for the number of cores
(
    set -x
    exec "$PYTHON" -m pytest -n "$workers" --maxprocesses 8 --dist loadfile --no-loadscope-reorder -rs --durations=5 "$@"
) || failed=$?

echo '== types and documentation'
wait "$checks" || failed="$(($failed ? $failed : $?))"
cat "$beside"
exit "$failed"
