"""Commands one after the other: what is done is skipped, what was interrupted goes on, what has changed is redone.

A step is done when its stamp ``WORK_DIR/steps/NAME.done`` holds its key, a hash of what decides its result: options,
settings, the content of code files (a changed comment counts, too) and the keys of the steps whose results it uses.
"""

import contextlib
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Step:
    """A command, what it leaves behind, and what decides it.

    Attributes:
        name: Name of its stamp, its log and its time; slashes make folders.
        title: What it is called on the screen.
        what: What it does, in a sentence.
        minutes: How long it takes on two cores that nothing else uses; where others compute, it takes longer.
        command: The command without its options.
        output: The file or folder that it leaves behind.
        options: Further arguments, which are part of the key.
        code: Files that decide the result, as patterns below the root of the repository.
        settings: What else decides it, such as a resolved config.
        needs: Keys of the steps whose results it uses.
        is_kept: Whether an output that is out of date is renamed, since it may have cost minutes or not be ours.
        can_resume: Whether ``--resume`` goes on from the ``last_checkpoint`` of the output.
    """

    name: str
    title: str
    what: str
    minutes: int
    command: tuple[str, ...]
    output: Path
    options: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    settings: str = ''
    needs: tuple[str, ...] = ()
    is_kept: bool = False
    can_resume: bool = False

    @cached_property
    def key(self) -> str:
        """Sixteen hexadecimal digits of all that decides the result."""
        digest = hashlib.sha256()
        for text in (self.name, *self.options, self.settings, *self.needs):
            digest.update(text.encode() + b'\0')
        for file in find_code(self.code):
            digest.update(str(file.relative_to(ROOT)).encode() + b'\0' + file.read_bytes())
        return digest.hexdigest()[:16]


class StepRunner:
    """Runs steps, says what they do, and keeps stamps, logs and times in the work directory.

    Args:
        command: What the series is called in messages.
        total: How many steps there will be.
        work_dir: Gets ``steps/``, ``logs/`` and ``seconds.json``.
        data: Folder of the corpus, for the message about a fresh start.
    """

    def __init__(self, command: str, total: int, work_dir: Path, data: Path) -> None:
        self.command = command
        self.total = total
        self.work_dir = work_dir
        self.data = data
        self.number = 0
        self.child: subprocess.Popen[bytes] | None = None
        self.signal_code = 0
        work_dir.mkdir(parents=True, exist_ok=True)
        # Through a pipe Python would keep its progress to itself for minutes.
        os.environ['PYTHONUNBUFFERED'] = '1'
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # What is ignored from the start (nohup, a job in the background) stays so.
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._pass_on)
        # What the script that prepared the environment has waited for.
        installation = os.environ.pop('OMNIVL_INSTALL_SECONDS', '')
        if installation:
            self._count_seconds('install', float(installation))

    def run(self, step: Step) -> None:
        """Run a step unless it is done; the program ends where it fails."""
        self.say_title(step.title)
        if is_done(step, self.work_dir):
            say('      already done, skipped')
            return
        explain(step.what, step.minutes)
        done, started = (_stamp(step, self.work_dir, kind) for kind in ('done', 'started'))
        done.parent.mkdir(parents=True, exist_ok=True)
        done.unlink(missing_ok=True)
        if _read(started) != step.key:
            set_aside(step)
        # Seconds add up as long as an interrupted run is gone on with; a fresh start counts from zero.
        if not step.output.exists():
            self._count_seconds(step.name, None)
        started.write_text(step.key)
        command = list(step.command)
        checkpoint = _read(step.output / 'last_checkpoint') if step.can_resume else ''
        if checkpoint:
            say(f'      resuming from {checkpoint}')
            command.append('--resume')
        self.execute(step.name, [*command, *step.options])
        done.write_text(step.key)

    def say_title(self, title: str) -> None:
        """Begin the next step on the screen."""
        self.number += 1
        say(f'\n[{self.number}/{self.total}] {title}')

    def execute(self, name: str, command: Sequence[str]) -> None:
        """Run a command, show and log what it prints, and count its time; the program ends where it fails.

        Args:
            name: Name of the step.
            command: Program and arguments.
        """
        log = self.work_dir / 'logs' / f'{name}.log'
        log.parent.mkdir(parents=True, exist_ok=True)
        start = time.monotonic()
        code = self._run_child(command, log)
        seconds = time.monotonic() - start
        self._count_seconds(name, seconds)
        if code:
            self._end(name, code, log)
        say(f'      done in {seconds:.0f} s')

    def _run_child(self, command: Sequence[str], log: Path) -> int:
        with log.open('ab') as file:
            text = f'+ {shlex.join(command)}\n'
            say(text, end='')
            file.write(text.encode())
            file.flush()
            # In a session of its own, so that Ctrl-C reaches it once, from here, and the message comes after its last.
            self.child = subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
            )
            assert self.child.stdout is not None
            for chunk in iter(partial(os.read, self.child.stdout.fileno(), 1 << 16), b''):
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
                file.write(chunk)
                file.flush()
            code = self.child.wait()
            self.child = None
        return self.signal_code or (code if code >= 0 else 128 - code)

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        """Pass a signal on to what runs, which may have something to save; end where nothing runs."""
        self.signal_code = 128 + number
        if self.child is None:
            sys.exit(self.signal_code)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, number)

    def _count_seconds(self, name: str, seconds: float | None) -> None:
        """Add to what earlier, interrupted runs of a step took; ``None`` forgets them."""
        file = self.work_dir / 'seconds.json'
        total = json.loads(_read(file) or '{}')
        earlier = total.pop(name, 0)
        if seconds is not None:
            total[name] = round(earlier + seconds, 2)
        fresh = file.with_name('seconds.json.new')
        fresh.write_text(json.dumps(total, indent=1))
        fresh.replace(file)

    def _end(self, name: str, code: int, log: Path) -> None:
        lines = [f'\n{self.command} stopped in step {self.number} of {self.total} ({name}), exit code {code}.']
        if log.stat().st_size:
            lines.append(f'Its output is in {log}')
        lines.append(
            'To go on, run the same command again: finished steps are skipped, training resumes at its last checkpoint.'
        )
        lines.append(f'To start afresh, remove {self.work_dir} and {self.data} first.')
        print('\n'.join(lines), file=sys.stderr, flush=True)
        sys.exit(code)


def is_done(step: Step, work_dir: Path) -> bool:
    """Tell whether a step has been finished in a work directory, by what decides it today."""
    return _read(_stamp(step, work_dir, 'done')) == step.key and step.output.exists()


def find_code(patterns: Iterable[str]) -> list[Path]:
    """List the files that decide a result.

    Args:
        patterns: Below the root of the repository, such as ``'omnivl/models/**/*.py'``.

    Returns:
        The files, sorted, each once.
    """
    return sorted({file for pattern in patterns for file in ROOT.glob(pattern) if file.is_file()})


def read_settings(config: str) -> str:
    """Resolve a config with all that it inherits: a comment, or another experiment's file, changes nothing.

    Args:
        config: Path of the config.

    Returns:
        Its settings as text.
    """
    return repr(sorted(_read_config(config).to_dict().items()))


def count_steps(config: str) -> int:
    """Read how many steps a training takes by its config."""
    return int(_read_config(config).train_cfg.max_iters)


def set_aside(step: Step) -> None:
    """Rename or remove the output of a step, if there is one."""
    output = step.output
    if not output.exists():
        return
    if step.is_kept:
        names = (output.with_name(f'{output.name}.old{number}') for number in count(1))
        old = output.rename(next(name for name in names if not name.exists()))
        say(f'      {output} was made with other settings or code; it is now {old}')
    elif output.is_dir():
        shutil.rmtree(output)
    else:
        output.unlink()


def last_checkpoint(folder: Path) -> str:
    """Find the last checkpoint of a finished training; the program ends if there is none.

    Args:
        folder: Work directory of the training.

    Returns:
        Path of the checkpoint in this folder.
    """
    pointer = folder / 'last_checkpoint'
    if not _read(pointer):
        sys.exit(
            f'error: the training in {folder} has ended, but there is no checkpoint: {pointer} is missing.\n'
            f'Remove {folder} and run the same command again'
        )
    # The pointer holds an absolute path; the folder may have moved since.
    return str(folder / Path(_read(pointer)).name)


def find_folder(variable: str, default: str) -> Path:
    """Find a folder that a variable of the shell may name.

    Args:
        variable: Its name; a relative path is seen from where the caller stands, which ``OMNIVL_CALLER`` tells.
        default: The folder in this checkout where it is not set.

    Returns:
        The folder.
    """
    given = os.environ.get(variable)
    return Path(os.environ.get('OMNIVL_CALLER', ''), given) if given else Path(default)


def explain(what: str, minutes: int) -> None:
    """Say what a step does and how long it takes."""
    length = 'a minute' if minutes == 1 else f'{minutes} minutes'
    say(f'      {what}\n      takes about {length} on two free cores, longer where others compute')


def say(text: str, end: str = '\n') -> None:
    """Print at once, in the right order with what the commands print."""
    print(text, end=end, flush=True)


def _read_config(config: str) -> Any:
    from mmengine.config import Config

    with contextlib.redirect_stdout(sys.stderr):  # MMEngine may log while it reads
        return Config.fromfile(config)


def _stamp(step: Step, work_dir: Path, kind: str) -> Path:
    return work_dir / 'steps' / f'{step.name}.{kind}'


def _read(file: Path) -> str:
    # Whatever a damaged pointer holds, the training that resumes looks for itself.
    return file.read_text(encoding='utf-8', errors='replace').strip() if file.is_file() else ''
