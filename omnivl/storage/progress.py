"""How far a long piece of work is, for those who wait: a bar on the terminal of the first process."""

import math
import time
from collections.abc import Iterable, Iterator, Sized
from types import TracebackType
from typing import TypeVar

from mmengine.dist import is_main_process
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Item = TypeVar('Item')
REFRESH = 0.1  # seconds


def terminal_bar(*columns: ProgressColumn) -> Progress:
    """Make a bar that is drawn on the terminal of the first process only, and leaves nothing behind.

    No thread draws it: loaders fork their workers while it is shown, and a lock that a thread holds then would be held
    in the worker for ever. Whoever moves it calls ``refresh``.
    """
    console = Console(stderr=True)
    hidden = not (is_main_process() and console.is_terminal)
    return Progress(
        *columns,
        console=console,
        disable=hidden,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
        transient=True,
    )


class ProgressBar:
    """Shows parts done, time so far and time left; a context manager.

    Args:
        label: What is being done.
        total: Number of parts; None = not known.
        done: Parts that an earlier run has done.
        lines_every: Seconds between lines of text where there is no terminal (a log file); by default there are none.
    """

    def __init__(self, label: str, total: int | None, done: int = 0, lines_every: float = math.inf) -> None:
        self.columns: list[ProgressColumn] = [
            TextColumn('{task.description}'),
            BarColumn(),
            MofNCompleteColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn('so far'),
            TimeRemainingColumn(),
            TextColumn('left'),
            TextColumn('{task.fields[note]}'),
        ]
        self.bar = terminal_bar(*self.columns)
        self.task = self.bar.add_task(label, total=total, completed=done, note='')
        self.lines = self.bar.disable and is_main_process() and lines_every < math.inf
        self.interval = lines_every if self.bar.disable else REFRESH
        self.shown = time.monotonic()

    def __enter__(self) -> 'ProgressBar':
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()
        self._show()

    def step(self, note: str = '') -> None:
        """Count a part; ``note`` is shown behind the figures."""
        self.bar.update(self.task, advance=1, note=note)
        if time.monotonic() - self.shown >= self.interval:
            self._show()

    def _show(self) -> None:
        self.shown = time.monotonic()
        if self.lines:
            (task,) = self.bar.tasks
            self.bar.console.print(*(column(task) for column in self.columns if not isinstance(column, BarColumn)))
        else:
            self.bar.refresh()


def track(items: Iterable[Item], label: str, total: int | None = None) -> Iterator[Item]:
    """Go through items with a bar; their ``total`` number is by default their length."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with ProgressBar(label, total) as bar:
        for item in items:
            yield item
            bar.step()
