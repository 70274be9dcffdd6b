"""Workers end when the process that started them is gone, whatever they are doing."""

import signal
import subprocess
import sys
import time

import pytest
from forked import Program

MAIN = """
import time
from torch.utils.data import DataLoader
from omnivl.datasets import init_worker

class Items:
    def __len__(self):
        return 100

    def __getitem__(self, index):
        time.sleep({seconds})
        return index

if __name__ == '__main__':
    loader = DataLoader(
        Items(), num_workers=2, persistent_workers=True, worker_init_fn=init_worker, multiprocessing_context='{method}'
    )
    iterator = iter(loader)
    if {load}:
        next(iterator)
    print(*(worker.pid for worker in iterator._workers), flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ('method', 'seconds', 'load'),
    [
        pytest.param('fork', 0, True, id='idle'),
        pytest.param('fork', 60, False, id='before-or-in-the-first-item'),
        pytest.param('forkserver', 0, True, id='forkserver'),
    ],
)
def test_killing_the_main_process_leaves_no_workers(tmp_path, method, seconds, load):
    script = tmp_path / 'main.py'
    script.write_text(MAIN.format(method=method, seconds=seconds, load=load))
    output = tmp_path / 'output.txt'
    output.touch()
    if method == 'fork':
        process = Program(script, output=output)
    else:  # workers import the program, and find none where it was forked
        with output.open('w') as file:
            process = subprocess.Popen([sys.executable, str(script)], stdout=file, stderr=subprocess.DEVNULL)
    while not output.read_text().endswith('\n'):
        assert process.poll() is None
        time.sleep(0.05)
    workers = [int(pid) for pid in output.read_text().splitlines()[-1].split()]
    assert len(workers) == 2 and all(map(alive, workers))
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 30
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(alive, workers))


def alive(pid):
    """Whether a process runs; one that ended and was not collected yet does not."""
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except FileNotFoundError:
        return False
