"""A training under a real Slurm: signalled before its time limit, requeued, and at its end what an unbroken one is.

It needs root and Debian's slurm-wlm and munge, which tools/local_slurm.py makes a cluster of one node of.
"""

import os
import runpy
import subprocess
import sys
import time
from pathlib import Path

import pytest
from runs import assert_same_run
from test_launchers import write_slow_config

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools/local_slurm.py'
STEPS = 120
# All other states lead to one of these (SIGNALING, while the signal is on its way).
ENDED = (
    'COMPLETED',
    'FAILED',
    'CANCELLED',
    'TIMEOUT',
    'NODE_FAIL',
    'OUT_OF_MEMORY',
    'BOOT_FAIL',
    'DEADLINE',
    'PREEMPTED',
)
JOB = """#!/bin/bash
export GPUS=2 GPUS_PER_NODE=2 CPUS_PER_TASK=1 STOP_SIGNAL=USR1@20 PYTHON={python} PYTHONPATH={tests} OMP_NUM_THREADS=1
exec bash {root}/tools/slurm_train.sh local toy {config} {work_dir}
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A Slurm of one node for a test."""
    reason = runpy.run_path(str(TOOL))['missing']()
    if reason is not None:
        pytest.skip(f'no Slurm: {reason}')
    folder = tmp_path / 'slurm'
    folder.mkdir()
    subprocess.run([sys.executable, TOOL, 'up', '--dir', folder], check=True, capture_output=True)
    monkeypatch.setenv('SLURM_CONF', str(folder / 'slurm.conf'))
    yield folder
    subprocess.run(['scancel', '--user', 'root'], check=False)
    subprocess.run([sys.executable, TOOL, 'down', '--dir', folder], check=True)


def batch(folder: Path, name: str, config: Path, *options: str) -> tuple[int, Path]:
    """Submit a training; returns the number of the job and its output."""
    script, output = folder / f'{name}.sh', folder / f'{name}.txt'
    places = dict(root=ROOT, python=sys.executable, tests=Path(__file__).parent)
    script.write_text(JOB.format(config=config, work_dir=folder / name, **places))
    command = [
        'sbatch',
        '--parsable',
        '--ntasks=2',
        '--gres=gpu:2',
        '--open-mode=append',
        f'--output={output}',
        *options,
    ]
    return int(subprocess.run([*command, script], check=True, capture_output=True, text=True).stdout), output


def state_of(job: int) -> dict[str, str]:
    """What the controller says of a job."""
    said = subprocess.run(['scontrol', 'show', 'job', str(job)], capture_output=True, text=True, check=True).stdout
    return dict(word.split('=', 1) for word in said.split() if '=' in word)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_job_that_meets_its_time_limit_is_requeued_and_ends_as_an_unbroken_one(tmp_path, slurm):
    parts = write_slow_config(tmp_path / 'parts', STEPS, pause=0.3)
    whole = write_slow_config(tmp_path / 'whole', STEPS, pause=0.0)
    # Slurm signals up to a minute earlier than it is told to: 40 to 100 seconds after the start.
    job, output = batch(tmp_path, 'parts', parts, '--time=2', '--signal=B:USR1@20', '--requeue')
    unbroken, _ = batch(tmp_path, 'whole', whole)
    for number in (unbroken, job):
        end = time.monotonic() + 500
        while (state := state_of(number))['JobState'] not in ENDED:
            assert time.monotonic() < end, (state, output.read_text())
            time.sleep(0.5)
        assert state['JobState'] == 'COMPLETED', (state, output.read_text())
    assert int(state['Restarts']) >= 1
    assert 'Asked to stop: leaving after iteration' in output.read_text()
    assert_same_run(tmp_path / 'whole', tmp_path / 'parts', STEPS)
    assert os.path.exists(slurm / 'slurmctld.log')
