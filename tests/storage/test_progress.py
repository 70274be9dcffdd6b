"""Progress: a bar on a terminal, lines in a log file where they are asked for, nothing elsewhere."""

import io
import sys

from omnivl.storage import ProgressBar, track


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_sees_the_parts_and_no_trace_after_them(monkeypatch):
    terminal = Terminal()
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.setattr(sys, 'stderr', terminal)
    assert list(track('abc', 'letters')) == ['a', 'b', 'c']
    shown = terminal.getvalue()
    assert 'letters' in shown and '3/3' in shown
    assert shown.endswith('\x1b[1A\x1b[2K')  # up, and the line erased


def test_elsewhere_it_is_silent_unless_lines_are_asked_for(capsys):
    assert list(track(iter('abc'), 'letters')) == ['a', 'b', 'c']
    assert capsys.readouterr() == ('', '')
    with ProgressBar('files', 100, done=20, lines_every=0) as bar:
        for bad in range(20):
            bar.step(f'{bad} bad')
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 21  # the last one is shown at the end, too
    assert '40/100' in lines[-1] and '40%' in lines[-1] and '19 bad' in lines[-1] and '0:00:0' in lines[-1]
