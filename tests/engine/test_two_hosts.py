"""tools/dist_train.sh on two hosts, network namespaces of this machine, of which one is cut off for a while."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from runs import assert_same_run, run_ranks, train
from test_launchers import slow_run, write_slow_config

ROOT = Path(__file__).parents[2]
STEPS = 24
CUT = 6.0  # seconds; launchers look for each other every five


def ip(*words: str) -> None:
    subprocess.run(['ip', *words], check=True, capture_output=True, text=True)


@pytest.fixture
def hosts():
    """Two hosts with a cable between them: their names and addresses."""
    if os.geteuid() != 0 or shutil.which('ip') is None:
        pytest.skip("network namespaces need root and iproute2's ip")
    number = os.getpid() % 200
    names = [f'omnivl{number}{letter}' for letter in 'ab']
    try:
        for name in names:
            ip('netns', 'add', name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f'no network namespaces here: {error.stderr.strip()}')
    addresses = [f'10.213.{number}.{place}' for place in (1, 2)]
    try:
        ip('link', 'add', names[0], 'type', 'veth', 'peer', 'name', names[1])
        for name, address in zip(names, addresses):
            ip('link', 'set', name, 'netns', name)
            ip('-n', name, 'addr', 'add', f'{address}/24', 'dev', name)
            for device in (name, 'lo'):
                ip('-n', name, 'link', 'set', device, 'up')
        yield dict(zip(names, addresses))
    finally:
        for name in names:
            subprocess.run(['ip', 'netns', 'delete', name], check=False)


@pytest.mark.slow
def test_a_host_that_is_cut_off_and_comes_back_is_waited_for(tmp_path, hosts):
    config = write_slow_config(tmp_path / 'parts', STEPS, pause=0.1)
    first = next(iter(hosts.values()))
    started = []
    for number, name in enumerate(hosts):
        own = dict(NNODES='2', NODE_RANK=str(number), MASTER_ADDR=first, PORT='29555', GLOO_SOCKET_IFNAME=name)
        own |= dict(PYTHON=sys.executable, PYTHONPATH=str(Path(__file__).parent), OMP_NUM_THREADS='1')
        command = ['ip', 'netns', 'exec', name, 'bash', str(ROOT / 'tools/dist_train.sh'), str(config), '1']
        output = (tmp_path / f'{name}.txt').open('w')
        started.append(subprocess.Popen(command, env=os.environ | own, stdout=output, stderr=output))
    try:
        wait_for(tmp_path / 'parts/iter_4.pth', started)
        name = next(reversed(hosts))
        ip('-n', name, 'link', 'set', name, 'down')
        time.sleep(CUT)
        done = sorted(path.name for path in (tmp_path / 'parts').glob('iter_*.pth'))
        time.sleep(1.0)
        assert sorted(path.name for path in (tmp_path / 'parts').glob('iter_*.pth')) == done  # it waits
        ip('-n', name, 'link', 'set', name, 'up')
        assert [process.wait(120) for process in started] == [0, 0], [
            file.read_text() for file in tmp_path.glob('*.txt')
        ]
    finally:
        for process in started:
            process.kill()
    run_ranks(whole, tmp_path / 'whole')
    assert_same_run(tmp_path / 'whole', tmp_path / 'parts', STEPS)


def whole(work_dir: Path) -> None:
    train(work_dir, work_dir.name, launcher='pytorch', **slow_run(STEPS, pause=0.0))


def wait_for(file: Path, started: list[subprocess.Popen]) -> None:
    end = time.monotonic() + 120
    while not file.exists():
        assert time.monotonic() < end and all(process.poll() is None for process in started)
        time.sleep(0.05)
