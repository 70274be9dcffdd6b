"""Going through a loader whose workers may die."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from types import FrameType
from typing import Any, cast

from mmengine.logging import print_log
from torch.utils.data import DataLoader

from omnivl.errors import OmniVLRuntimeError

from .broken import sources_of

# Workers that die one after the other, without a batch in between and without a sample to blame: memory is short.
MAX_DEATHS = 5
_DEATH = 'DataLoader worker (pid'  # how torch's error begins
LAST_SECONDS = 5.0  # that a worker, which no longer answers, may take to be gone


def batches_of(loader: DataLoader, epoch: int = 0, batches_done: int = 0, shift: int = 0) -> Iterator[Any]:
    """Give the batches of an epoch that come after so many, and so many single samples; workers that die are replaced.

    A loader whose sampler has ``set_position(epoch, batches)`` begins anew at the batch that did not come, so the run
    goes on as if nothing had happened, but for a sample that kills its worker again and again, see ``SampleGuard``.
    Without such a sampler the death of a worker is an error.
    """
    sampler = cast(Any, loader.sampler)
    if not hasattr(sampler, 'set_position'):
        yield from loader
        return
    guard = next((found for source in sources_of(loader.dataset) if (found := getattr(source, 'guard', None))), None)
    deaths = 0
    while True:
        sampler.set_position(epoch, batches_done, *([shift] if shift else []))  # not all samplers know shifts
        iterator = None
        try:
            with _deaths:  # workers that stay from the epoch before may have died in the meantime
                iterator = iter(loader)
            _deaths.hear_at_the_batch()
            while True:
                with _deaths:
                    batch = next(iterator)
                batches_done, deaths = batches_done + 1, 0
                yield batch
        except StopIteration:
            return
        except (RuntimeError, OSError, EOFError) as error:
            if not _comes_of_a_death(error, iterator):
                raise
            multiprocessing.active_children()  # which also collects the dead
            deaths += not (guard is not None and guard.note_deaths())
            if deaths >= MAX_DEATHS:
                raise OmniVLRuntimeError(
                    f'workers of a dataloader died {deaths} times without a batch between, not at a sample ({error}): '
                    'give the machine more memory (also shared memory, /dev/shm), or take fewer num_workers'
                ) from error
            print_log(f'a worker died ({str(error).strip()}); its batches are loaded again', 'current', 30)
        del iterator
        end_workers(loader)


def _comes_of_a_death(error: Exception, iterator: Any) -> bool:
    """Tell whether a batch could not be taken over as its worker dies; torch looks before the system knows of it."""
    workers = getattr(iterator, '_workers', ())
    if isinstance(error, RuntimeError) or str(error).startswith('Caught '):  # torch's own, or of a worker that lives
        return str(error).startswith(_DEATH)
    return bool(workers and wait([worker.sentinel for worker in workers], LAST_SECONDS))


def end_workers(loader: DataLoader) -> None:
    """End the workers that a loader keeps between epochs."""
    loader._iterator = None  # where torch keeps them


class _Deaths:
    """torch's handler of the signal of dying children, which would raise in the middle of a step.

    It is heard inside the context only, where a batch is waited for.
    """

    def __init__(self) -> None:
        self.handler: Callable[[int, FrameType | None], Any] | None = None
        self.waiting = False

    def hear_at_the_batch(self) -> None:
        """Take the place of torch's handler, which it sets with the first workers of a process."""
        handler = signal.getsignal(signal.SIGCHLD)
        if callable(handler) and handler.__module__.startswith('torch.utils.data'):
            self.handler = handler
            signal.signal(signal.SIGCHLD, self._on_signal)

    def __enter__(self) -> None:
        self.waiting = True
        self._on_signal(signal.SIGCHLD, None)  # of those who died in the meantime

    def __exit__(self, *exception: object) -> None:
        self.waiting = False

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if self.waiting and self.handler is not None:
            self.handler(signum, frame)


_deaths = _Deaths()
