"""What a run shows on the screen; the log file has all of it, and the dumps of MMEngine besides."""

import io
import logging
import shutil
from collections.abc import Sequence

from mmengine.logging import MMLogger
from mmengine.logging.logger import MMFormatter
from mmengine.runner import Runner
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

# Beginnings of MMEngine's messages that only the file needs: machine, config, hooks, and what the tables say better.
FILE_ONLY = (
    f'\n{"-" * 60}\nSystem environment:',
    *('Config:\n', 'Hooks will be executed in', 'Exp name: ', 'Checkpoints will be saved to '),
    *('Iter(val) ', 'Iter(test) ', 'Epoch(val) ', 'Epoch(test) '),
)


class ConsoleFormatter(MMFormatter):
    """Short lines; what :func:`tell` was given is drawn in colour on a terminal, and has no time before it."""

    def __init__(self, terminal: bool) -> None:
        super().__init__(color=terminal, datefmt='%H:%M:%S')
        self.terminal = terminal
        self.info_format = '%(asctime)s %(message)s'
        self.warn_format = f'%(asctime)s {self._get_prefix("WARNING", terminal)} %(message)s'

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a message."""
        parts = getattr(record, 'told', None)
        return super().format(record) if parts is None else drawn(parts, self.terminal)


def shorten_console(logger: MMLogger) -> None:
    """Keep the dumps of MMEngine off the screen, unless the level of the log is DEBUG."""
    for handler in logger.handlers:
        screen = isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler)
        if screen and not isinstance(handler.formatter, ConsoleFormatter) and handler.level > logging.DEBUG:
            handler.setFormatter(ConsoleFormatter(handler.stream.isatty()))
            handler.addFilter(lambda record: not record.getMessage().startswith(FILE_ONLY))


def tell(runner: Runner, *parts: str | Table) -> None:
    """Show texts and tables, if any, on the screen of the first process, and write them plainly into the log."""
    if parts:
        runner.logger.info('\n' + drawn(parts, terminal=False), extra=dict(told=parts))


def drawn(parts: Sequence[str | Table], terminal: bool) -> str:
    """Draw texts and tables: as wide as the terminal and in colour, or aligned plain text of any width."""
    width = shutil.get_terminal_size().columns if terminal else 10_000
    page = io.StringIO()
    console = Console(file=page, width=width, force_terminal=terminal, no_color=not terminal, highlight=False)
    for part in parts:
        if isinstance(part, Table):
            part.box = SIMPLE_HEAD if terminal else None
        console.print(part, soft_wrap=isinstance(part, str), markup=isinstance(part, Table))
    return '\n'.join(line.rstrip() for line in page.getvalue().splitlines())
