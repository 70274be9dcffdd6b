"""Processes that begin with torch and omnivl loaded, which takes a new one seconds.

They are forked from one that has loaded them and done nothing else. Forked from the test process they would inherit
what earlier tests started there: after a backward pass on autograd's own threads (a deep graph, a profiler), PyTorch
refuses any other in a fork.
"""

import contextlib
import json
import multiprocessing
import os
import runpy
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

PROCESSES = multiprocessing.get_context('forkserver')
# What the registries, MMEngine, optimizers (torch._dynamo) and tests import, too: each process would do it anew.
OWN = ('omnivl.engine', 'omnivl.apis', 'omnivl.visualization.validation')
PROCESSES.set_forkserver_preload([*OWN, 'matplotlib.pyplot', 'pytest', 'setuptools', 'torch._dynamo', 'torchvision'])


def start_process(function: Callable[..., Any], *arguments: Any, **options: Any) -> BaseProcess:
    """Start a function in a process of its own."""
    process = PROCESSES.Process(target=_guarded, args=(function, arguments, options))
    process.start()
    return process


def run_ranks(function: Callable[..., None], *arguments: Any, ranks: int = 2, seconds: float = 300) -> None:
    """Run a function in several processes that find each other as torchrun's do."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    processes = [
        PROCESSES.Process(target=_as_rank, args=(rank, ranks, port, function, arguments)) for rank in range(ranks)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(seconds)
    assert [process.exitcode for process in processes] == [0] * ranks


class Program:
    """``python FILE ...`` or ``python -m MODULE ...`` in a process of its own, to be used as a ``subprocess.Popen``.

    Args:
        words: What follows ``python``.
        cwd: Where it begins; None = here.
        env: Its variables; None = those of this process.
        output: The file that what it says is added to; None = where this process writes.
    """

    def __init__(
        self,
        *words: Any,
        cwd: str | Path | None = None,
        env: dict[str, str] | None = None,
        output: str | Path | None = None,
    ) -> None:
        arguments = (list(map(str, words)), os.fspath(cwd or Path.cwd()), dict(env or os.environ), output)
        self.process = PROCESSES.Process(target=_be_program, args=arguments)
        self.process.start()
        self.pid = self.process.pid
        with contextlib.suppress(ProcessLookupError):  # it has ended
            while os.getsid(self.pid) != self.pid:  # a signal to its session would be lost
                time.sleep(0.001)

    @property
    def returncode(self) -> int | None:
        """Its exit code; None while it runs."""
        return self.process.exitcode

    def poll(self) -> int | None:
        """Return its exit code; None while it runs."""
        return self.process.exitcode

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for its end, and return its exit code."""
        self.process.join(timeout)
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)


def run_program(*words: Any, seconds: float = 600, **options: Any) -> tuple[int | None, str]:
    """Run a ``Program`` to its end; returns its exit code and all that it said."""
    with tempfile.NamedTemporaryFile('r') as said:
        code = Program(*words, output=said.name, **options).wait(seconds)
        return code, said.read()


# A start looks after all processes that have ended, and an exit code can be read only once: the other reader gets 255.
STARTING = threading.Lock()
# In the place of python for scripts that start it: asks a ``forking_python`` for a process, and does as that one does.
STAND_IN = """#!{python} -SE
import json, os, signal, socket, sys

line = socket.socket(socket.AF_UNIX)
line.connect({address!r})
words = sys.argv[2:] if sys.argv[1] == '-u' else sys.argv[1:]
line.sendall(json.dumps([words, os.getcwd(), dict(os.environ), os.getpid()]).encode() + b'\\n')
said = line.makefile()
process = int(said.readline())
passed_on = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
for number in passed_on:
    signal.signal(number, lambda number, _: os.kill(process, number))
code = int(said.readline())
if code < 0:
    for number in passed_on:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


@contextlib.contextmanager
def forking_python() -> Iterator[dict[str, str]]:
    """Make a program that is used as ``python FILE ...`` and forks, for scripts and launchers that start processes.

    What it starts says all to its standard output, and is killed when it is. Gives the variables that make
    ``tools/dist_*.sh`` and torchrun take it.
    """
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        program, address = Path(folder, 'python'), f'{folder}/forks'  # short, as addresses have to be
        program.write_text(STAND_IN.format(python=sys.executable, address=address))
        program.chmod(0o755)
        listener.bind(address)
        listener.listen()
        threading.Thread(target=_answer, args=(listener,), daemon=True).start()
        yield dict(PYTHON=str(program), PYTHON_EXEC=str(program))
        listener.shutdown(socket.SHUT_RDWR)


def _answer(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the listener is closed
        while True:
            threading.Thread(target=_fork_for, args=(listener.accept()[0],), daemon=True).start()


def _fork_for(asking: socket.socket) -> None:
    with contextlib.suppress(OSError), asking, asking.makefile('rw') as line:  # it may be gone before it is told
        words, cwd, variables, pid = json.loads(line.readline())
        with STARTING:
            program = Program(*words, cwd=cwd, env=variables, output=f'/proc/{pid}/fd/1')
        print(program.pid, file=line, flush=True)
        ended = program.process.sentinel
        if ended not in wait([ended, asking]):
            program.send_signal(signal.SIGKILL)
            wait([ended])
        with STARTING:
            code = program.wait()
        print(code, file=line, flush=True)


def _be_program(words: list[str], cwd: str, env: dict[str, str], output: str | Path | None) -> None:
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None  # which the server may have looked up with variables of its own
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(int(env.get('OMP_NUM_THREADS', '1')))
    if output is not None:
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for number in (1, 2):
            os.dup2(file, number)
        sys.stdout.reconfigure(line_buffering=True)
    is_module = words[0] == '-m'
    sys.argv = words[1:] if is_module else words
    sys.path[:0] = ['' if is_module else str(Path(words[0]).parent), *env.get('PYTHONPATH', '').split(os.pathsep)]
    if is_module:
        runpy.run_module(words[1], run_name='__main__', alter_sys=True)
    else:
        runpy.run_path(words[0], run_name='__main__')


def _as_rank(rank: int, ranks: int, port: int, function: Callable[..., None], arguments: tuple) -> None:
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(ranks),
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(port),
    )
    _guarded(function, arguments, {})


def _guarded(function: Callable[..., Any], arguments: tuple, options: dict) -> None:
    torch.set_num_threads(1)
    code = 0
    try:
        function(*arguments, **options)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # not through pytest's own exit handlers
