"""How far the making of a corpus is, for those who wait."""

import sys
import time


class Progress:
    """A line with the share done and the time left: rewritten on a terminal, every tenth of the work elsewhere."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.terminal = sys.stdout.isatty()
        self.next_tenth = 1

    def __call__(self, done: int, total: int) -> None:
        """Show how far the work is.

        Args:
            done: Files written.
            total: Files to write.
        """
        seconds = time.monotonic() - self.start
        left = seconds / done * (total - done) if done else float('inf')
        line = f'files {done:>6}/{total}  {100 * done // total:>3}%  {seconds:4.0f} s'
        line += f', about {left:.0f} s left' if 0 < left < float('inf') else ''
        if self.terminal:
            print(f'\r{line:<60}', end='\n' if done == total else '', flush=True)
        elif done * 10 >= self.next_tenth * total:
            self.next_tenth = done * 10 // total + 1
            print(line, flush=True)
