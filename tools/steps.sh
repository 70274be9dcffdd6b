# shellcheck shell=bash
# Sourced by quickstart.sh and demo_tasks.sh: steps that are skipped when they are done, resumed when they were
# interrupted, and redone when their settings have changed. Needs ROOT and environment.sh. The script that sources it sets
#
#   COMMAND, STEPS    what it is called in messages, and how many steps it has
#   DATA, WORK_DIR    where the corpus and everything else goes
#   step_output NAME  a function: the file or folder that a step leaves
#   is_kept NAME      a function: whether an old output is renamed (it may have cost minutes, or not be ours), not removed
#
# and calls prepare_steps before the first step.

step=0
step_name=
step_log=
step_started=

# Prints a folder given by the caller, which is seen from where the caller stands, or else the default in this checkout.
folder() {
    case "$1" in
        '') echo "$2" ;;
        /*) echo "$1" ;;
        *) echo "$CALLER/$1" ;;
    esac
}

prepare_steps() {
    mkdir -p "$WORK_DIR/logs" "$WORK_DIR/steps"
    SECONDS_FILE="$WORK_DIR/seconds.json"
    writable_home "$(cd "$WORK_DIR" && pwd)/home"
    # Through a pipe Python would keep its progress to itself for minutes.
    export PYTHONUNBUFFERED=1
    export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"
    trap on_exit EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

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
        printf '\n%s stopped in step %d of %d (%s), exit code %d.\n' "$COMMAND" "$step" "$STEPS" "$step_name" "$code"
        [ ! -s "${step_log:-}" ] || printf 'Its output is in %s\n' "$step_log"
        printf 'To go on, run the same command again: finished steps are skipped, training resumes at its last checkpoint.\n'
        printf 'To start afresh, remove %s and %s first.\n' "$WORK_DIR" "$DATA"
    } >&2
    exit "$code"
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
                find "$word" -maxdepth 1 -name '*.py' -print0 | sort -z | xargs -0 cat
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
    if is_kept "$1"; then
        while [ -e "$output.old$kept" ]; do kept=$((kept + 1)); done
        mv -- "$output" "$output.old$kept"
        echo "      $output was made with other settings; it is now $output.old$kept"
    else
        rm -rf -- "$output"
    fi
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
    mkdir -p "$(dirname "$stamp")" "$(dirname "$step_log")"
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

# The first step of a script. Args: extra of setup.py, modules that must be there for it.
install_step() {
    local started
    title 'Environment'
    explain "A virtual environment with omnivl and what it needs: $VENV" \
        'three minutes the first time (6 GB, most of it torch), then a second'
    step_name=install
    started="$(now)"
    prepare_environment "$@"
    [ "$INSTALLED" = no ] || count_seconds install "$(elapsed "$started")"
    step_name=
    printf '      done in %.0f s\n' "$(elapsed "$started")"
}

# Trains, or resumes where an earlier run has left a checkpoint. Args: folder, config, options.
train() {
    local folder="$1" config="$2"
    shift 2
    local command=("$PYTHON" tools/train.py "$config" --work-dir "$folder")
    if [ -s "$folder/last_checkpoint" ]; then
        echo "      resuming from $(cat "$folder/last_checkpoint")"
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

last_checkpoint() { # folder of a finished training
    local pointer="$1/last_checkpoint"
    [ -s "$pointer" ] || fail "the training in $1 has ended, but there is no checkpoint: $pointer is missing." \
        "Remove $1 and run the same command again; its output is under $WORK_DIR/logs"
    # The pointer holds an absolute path; the folder may have moved since.
    echo "$1/$(basename "$(cat "$pointer")")"
}
