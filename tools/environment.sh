# shellcheck shell=bash
# Sourced by quickstart.sh, demo_tasks.sh and run_tests.sh: finds Python, makes or reuses the virtual environment,
# installs omnivl.
#
#   prepare_environment EXTRA MODULE...   sets PYTHON (the interpreter to use), PYTHONPATH (this checkout first) and, if
#                                         it had to install, OMNIVL_INSTALL_SECONDS; the modules are those of the extra
#
# OMNIVL_VENV    a virtual environment to use in place of ROOT/.venv (made if it is not there). Nothing is installed into
#                one that can import every dependency already.
# OMNIVL_TORCH   cpu or cuda, see torch_wheel.sh
# OMNIVL_PYTHON  the Python that makes the environment (default: the newest of python3.13 ... python3.10, python3).

VENV="${OMNIVL_VENV:-$ROOT/.venv}"
source "$ROOT/tools/torch_wheel.sh"
fail() {
    printf 'error: %s\n' "$@" >&2
    exit 1
}

# Pip, matplotlib and torch want a place for their caches; some containers have no HOME, or one that cannot be written.
writable_home() {
    local scratch="${TMPDIR:-/tmp}/omnivl-home-$(id -u)"
    [ -w "${HOME:-/nonexistent}" ] || export HOME="$scratch"
    [ -z "${MPLCONFIGDIR:-}" ] || [ -w "$MPLCONFIGDIR" ] || export MPLCONFIGDIR="$scratch/matplotlib"
    mkdir -p "$HOME" ${MPLCONFIGDIR:+"$MPLCONFIGDIR"}
}

# Prints the Python to make the environment with; explains what is missing otherwise.
find_python() {
    local candidate without_venv='' too_old=''
    for candidate in ${OMNIVL_PYTHON:+"$OMNIVL_PYTHON"} python3.13 python3.12 python3.11 python3.10 python3; do
        command -v "$candidate" >/dev/null 2>&1 || continue
        if ! "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            too_old="$candidate"
        # Debian and Ubuntu ship venv without ensurepip, so `import venv` alone would not tell.
        elif ! "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            without_venv="$candidate"
        else
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    if [ -n "$without_venv" ]; then
        fail "$without_venv cannot make virtual environments (its venv or ensurepip module is missing)." \
            "On Debian and Ubuntu: sudo apt install ${without_venv##*/}-venv. Or set OMNIVL_VENV to an environment of yours."
    fi
    if [ -n "$too_old" ]; then
        fail "omnivl needs Python 3.10 or newer, found only $("$too_old" --version 2>&1)." \
            "Install a newer Python, or name one with OMNIVL_PYTHON=/path/to/python3."
    fi
    fail 'no Python found (looked for python3.13, python3.12, python3.11, python3.10 and python3).' \
        'Install Python 3.10 or newer, or name one with OMNIVL_PYTHON=/path/to/python3.'
}

can_import() {
    "$PYTHON" -c 'import sys; from importlib.util import find_spec; sys.exit(not all(map(find_spec, sys.argv[1:])))' "$@" 2>/dev/null
}

install_checkout() {
    local extra="$1"
    choose_torch
    warn_of_little_room
    echo "+ pip install -e .[$extra]   (into $VENV)"
    (cd "$ROOT" && "$PYTHON" -m pip install --disable-pip-version-check --quiet ${TORCH_OPTIONS[@]+"${TORCH_OPTIONS[@]}"} -e ".[$extra]") ||
        fail "pip could not install omnivl into $VENV; its message is above." \
            'Without a connection to PyPI, set OMNIVL_VENV to an environment that has the dependencies of setup.py.'
    # mmengine and mmcv ask for OpenCV with windows, which needs libGL; servers and containers have none. The build
    # without windows has the same files but for them, and takes their place.
    if ! "$PYTHON" -c 'import cv2' >/dev/null 2>&1; then
        echo '+ pip install opencv-python-headless   (OpenCV with windows cannot be loaded here)'
        "$PYTHON" -m pip install --disable-pip-version-check --quiet --force-reinstall --no-deps opencv-python-headless
        "$PYTHON" -c 'import cv2' || fail "OpenCV cannot be imported in $VENV; the reason is above."
    fi
}

prepare_environment() {
    local extra="$1" stamp base started="$SECONDS"
    shift
    writable_home
    PYTHON="$VENV/bin/python"
    export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"
    stamp="$VENV/.omnivl-$extra-$(cksum <"$ROOT/setup.py" | tr ' ' '-')"
    if [ ! -x "$PYTHON" ]; then
        base="$(find_python)" || exit 1
        echo "+ $base -m venv $VENV   ($("$base" --version 2>&1))"
        "$base" -m venv "$VENV"
    elif [ -n "${OMNIVL_VENV:-}" ] && can_import torch mmengine mmcv timm transformers "$@"; then
        echo "using the environment $VENV as it is (OMNIVL_VENV): every dependency is there"
        return 0
    elif [ -e "$stamp" ]; then
        echo "using the environment $VENV: omnivl[$extra] is installed"
        return 0
    fi
    echo '      three minutes the first time'
    install_checkout "$extra"
    touch "$stamp"
    export OMNIVL_INSTALL_SECONDS="$((SECONDS - started))"
}
