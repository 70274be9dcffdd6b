"""Help, and what the parser refuses, come without the libraries that take seconds to import."""

import json
import subprocess
import sys
from pathlib import Path

from omnivl.apis.export_blip import ARCHITECTURES
from omnivl.commands import options
from omnivl.commands.table import COMMANDS, DOORS
from omnivl.engine.distributed import LAUNCHERS
from omnivl.engine.tracking import NOTHING, TRACKERS
from omnivl.structures import FRAMES, MODALITIES
from omnivl.visualization.attention import KINDS
from omnivl.weights.names import NAMED

ROOT = Path(__file__).parents[2]
HEAVY = ('torch', 'mmengine', 'mmcv', 'transformers', 'gradio', 'numpy')
# Every call in one process, in which the heavy libraries cannot be imported: name -> exit code and what was printed.
CALLS = """
import contextlib, io, json, runpy, sys
sys.modules.update(dict.fromkeys({heavy!r}))
from omnivl.commands.main import main

def ended(call):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            call()
        except SystemExit as end:
            return end.code, said.getvalue()

def door(path, *words):
    sys.argv = [path, *words]
    runpy.run_path(path, run_name='__main__')

found = {{}}
for name in {commands!r}:
    for word in ('--help', '--no-such-option'):
        found[f'omnivl {{name}} {{word}}'] = ended(lambda: main([name, word]))
for path in {doors!r}:
    found[f'{{path}} --help'] = ended(lambda: door(path, '--help'))
print(json.dumps(found))
"""


def test_help_and_slips_of_the_pen_need_no_heavy_library():
    doors = [str(ROOT / 'tools' / name) for name in (*DOORS.values(), 'infer.py')]
    code = CALLS.format(heavy=HEAVY, commands=list(COMMANDS), doors=doors)
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 2 * len(COMMANDS) + len(doors)
    for words, (status, said) in found.items():
        is_help = words.endswith('--help')
        assert status == (0 if is_help else 2), (words, said)
        assert ('\nExamples:\n' if is_help else 'error: ') in said, words


def test_the_names_that_options_take_are_those_of_the_library():
    assert options.LAUNCHERS == LAUNCHERS
    assert (*TRACKERS, NOTHING) == options.TRACKERS
    assert options.ATTENTION_KINDS == KINDS
    assert tuple(ARCHITECTURES) == options.BLIP_KINDS
    assert tuple(NAMED) == options.NAMED_WEIGHTS
    assert tuple(MODALITIES) == options.MODALITIES
    assert tuple(name for name, one in MODALITIES.items() if one.kind == FRAMES) == options.SEEN
