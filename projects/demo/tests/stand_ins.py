"""A checkout whose tools only note that they were called, so that the bookkeeping of the steps is tested in seconds."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from projects.demo.threads import machine_of

ROOT = Path(__file__).parents[3]

# Notes its call and leaves what the real tool would leave.
STAND_IN = """
import json, os, sys, time
from pathlib import Path
name, args = Path(sys.argv[0]).stem, sys.argv[1:]
with open(os.environ['CALLS'], 'a') as file:
    file.write(json.dumps([name, *args]) + '\\n')
value = dict(zip(args, args[1:]))
folder = Path(value.get('--work-dir', value.get('--out')))
place = '/'.join([name, *folder.parts[-2:]])
if os.environ.get('FAIL') == place:
    sys.exit('the stand-in was told to fail')
if name == 'make_vocabulary':
    folder.write_text('a\\n')
else:
    folder.mkdir(parents=True, exist_ok=True)
if name == 'train':
    if folder.name == 'stage2':  # as the config of stage 2 does
        (Path(os.environ['OMNIVL_DEMO_WORK_DIR']) / 'stage1/last_checkpoint').read_text()
    (folder / 'last_checkpoint').write_text(str(folder / 'iter_1.pth'))
    if os.environ.get('HANG') == place:
        print('training', flush=True)
        time.sleep(60)
elif name in ('make_report', 'collect_tasks'):
    (folder / 'report.html').write_text('')
"""
TOOLS = ('train', 'test')
DEMO_TOOLS = ('make_corpus', 'make_vocabulary', 'make_report', 'make_tasks', 'collect_tasks')
QUICKSTART = ['make_corpus', 'make_vocabulary', 'train', 'train', 'test', 'make_report']


class Checkout:
    """A checkout with the real scripts and steps and with stand-in tools, in a folder with a space in its name.

    Args:
        root: Where to put it.
        script: Name of the script in ``tools/`` that :meth:`start` starts.
        work_dir: Its default work directory.
        configs: Names of the configs that there are.
    """

    def __init__(self, root: Path, script: str, work_dir: str, configs: list[str]) -> None:
        self.root = root / 'a checkout'
        self.script = self.root / 'tools' / script
        self.work_dir = self.root / work_dir
        for folder in ('tools', 'projects/demo/configs', 'projects/demo/corpus', 'omnivl/models'):
            (self.root / folder).mkdir(parents=True)
        (self.root / 'setup.py').write_text('')
        (self.root / 'omnivl/models/omnivl.py').write_text('width = 1\n')
        for name in ('tools/quickstart.sh', 'tools/demo_tasks.sh', 'tools/environment.sh', 'tools/torch_wheel.sh'):
            shutil.copy(ROOT / name, self.root / name)
        for name in ('steps', 'quickstart', 'tasks', 'threads', 'lengths'):
            shutil.copy(ROOT / f'projects/demo/{name}.py', self.root / 'projects/demo')
        for name in TOOLS:
            (self.root / f'tools/{name}.py').write_text(STAND_IN)
        for name in DEMO_TOOLS:
            (self.root / f'projects/demo/{name}.py').write_text(STAND_IN)
        for name in configs:
            self.config(name).write_text('train_cfg = dict(max_iters=1000)\n')
        self.calls_file = root / 'calls'
        ours = ('DEMO_TASKS', 'QUICKSTART', 'OMNIVL', 'PYTHONPATH')
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        self.env |= {'OMNIVL_VENV': sys.prefix, 'OMP_NUM_THREADS': '1', 'CALLS': str(self.calls_file)}
        self.env['QUICKSTART_MINUTES'] = '0'  # there is no model to measure

    def config(self, name: str) -> Path:
        """Return the file of a config."""
        return self.root / f'projects/demo/configs/{name}.py'

    def measured(self, step_seconds: float) -> None:
        """Leave a measurement of a training step with one thread on this machine."""
        self.work_dir.mkdir(parents=True)
        known = dict(machine=machine_of([1]), load=0.1, seconds=[[1, step_seconds]])
        (self.work_dir / 'threads.json').write_text(json.dumps(known))

    def start(self, **env: str) -> subprocess.Popen:
        """Start the script, as the leader of its own process group."""
        return subprocess.Popen(
            ['bash', self.script],
            env={**self.env, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # A shell starts its background jobs with SIGINT ignored, and what the tests run in may be one.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, **env: str) -> tuple[int, str, list[list[str]]]:
        """Run the script to its end; returns exit code, output and the calls of tools it made."""
        self.calls_file.write_text('')
        process = self.start(**env)
        output = process.communicate(timeout=600)[0]
        return process.returncode, output, self.calls()

    def calls(self) -> list[list[str]]:
        """Read the calls of tools, each its name and arguments."""
        return [json.loads(line) for line in self.calls_file.read_text().splitlines()]

    def seconds(self) -> dict[str, float]:
        """Read the times of the steps."""
        return json.loads((self.work_dir / 'seconds.json').read_text())
