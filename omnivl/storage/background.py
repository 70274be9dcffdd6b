"""Writing in the order of the calls, at once or in a thread while the caller goes on."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Writer:
    """Runs functions one after the other; the error of one in a thread is raised by ``wait``.

    Args:
        in_thread: Whether they run in a thread, so that what they are given must not change any more.
    """

    def __init__(self, in_thread: bool = False) -> None:
        self.in_thread = in_thread
        self._threads: ThreadPoolExecutor | None = None
        self._begun: list[Future] = []
        self._error: BaseException | None = None

    def do(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Run a function, after all those before it."""
        if not self.in_thread:
            function(*arguments)
            return
        if self._threads is None:
            self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix='writer')
        self._begun.append(self._threads.submit(self._run, function, *arguments))

    def wait(self) -> None:
        """Wait until all is done; the first error of it is raised, and what came after that has not been done."""
        for one in self._begun:
            one.result()
        self._begun.clear()
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self, function: Callable[..., Any], *arguments: Any) -> None:
        if self._error is not None:
            return
        try:
            function(*arguments)
        except BaseException as error:
            self._error = error
