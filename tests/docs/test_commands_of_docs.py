"""Every command of README and docs runs here, at toy size and page by page; or its page says why it does not.

The fences of a page run in order in one folder, see ``toy_place``: commands of omnivl and Python in this process, since
torch takes seconds to import, all else in a shell. A fence that cannot run has ``<!-- not run: REASON -->`` above it.
"""

import contextlib
import io
import logging
import os
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from doc_pages import ROOT, Fence, commands, complaints, fences, pages

from omnivl.commands.main import main

PAGES = [page for page in pages() if any(fences(page))]
SHELL = set('|&;<>$`*')


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def run_fence(fence: Fence, names: dict, patch: pytest.MonkeyPatch) -> None:
    """Run the code of a page; ``names`` are those of its Python so far."""
    if fence.file is not None:
        Path(fence.file).write_text(fence.text)
    elif fence.language == 'python':
        exec(compile(fence.text, f'{fence.page}:{fence.line}', 'exec'), names)
    else:
        for line in commands(fence.text):
            run_line(line, patch)


def run_line(line: str, patch: pytest.MonkeyPatch) -> None:
    """Run a command line: what it exports and where it goes to stays for the next one."""
    words = shlex.split(line.partition('\n')[0], comments=True)
    if words[0] == 'export':
        name, _, value = words[1].partition('=')
        patch.setenv(name, os.path.expandvars(value))
        if name == 'PYTHONPATH':
            patch.syspath_prepend(Path.cwd())
    elif words[0] == 'cd':
        patch.chdir(words[1])
        patch.setenv('PWD', os.getcwd())
    elif words[0] == 'omnivl' and not SHELL & set(''.join(words)):
        ended_well(lambda: main(words[1:]))
    elif words[0] == 'python' and words[1].startswith(('tools/', 'projects/')):
        patch.setattr(sys, 'argv', words[1:])
        ended_well(lambda: runpy.run_path(str(ROOT / words[1]), run_name='__main__'))
    elif words[:2] == ['python', '-m'] and words[2].startswith('projects.'):
        patch.setattr(sys, 'argv', words[2:])
        ended_well(lambda: runpy.run_module(words[2], run_name='__main__', alter_sys=True))
    else:
        done = subprocess.run(['bash', '-euo', 'pipefail', '-c', line], capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f'{line}\n{done.stdout[-2000:]}{done.stderr[-2000:]}'


def ended_well(call) -> None:
    """Call what may leave through sys.exit, which has to be with code 0."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        try:
            call()
        except SystemExit as end:
            assert not end.code, f'{end.code}\n{output.getvalue()[-2000:]}'
        finally:
            logging.disable(logging.NOTSET)  # a tool that owns its process may have silenced it


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_code_of_pages_is_right_as_far_as_one_can_see(page):
    found = [f'line {fence.line}: {what}' for fence in fences(page) for what in complaints(fence)]
    assert not found, '\n'.join(found)


@pytest.mark.slow
@pytest.mark.parametrize('page', [page for page in PAGES if any(f.reason is None for f in fences(page))], ids=name_of)
def test_commands_of_pages_run(page, place, monkeypatch):
    names: dict = {}
    for fence in fences(page):
        if fence.reason is None:
            try:
                with pytest.MonkeyPatch.context() as patch:
                    if fence.alone:
                        (place / 'empty').mkdir(exist_ok=True)
                        patch.chdir(place / 'empty')
                    run_fence(fence, names, patch if fence.alone else monkeypatch)
            except Exception as error:
                raise AssertionError(f'{name_of(page)}, line {fence.line}: {error}') from error


@pytest.mark.parametrize(
    ('text', 'complaint'),
    [
        ('omnivl captoin exported a.png', 'there is no command captoin'),
        ('omnivl caption exported a.png --methods beam', 'omnivl caption has no --methods'),
        ('export X=1 && omnivl train pretrain_jiont', 'there is no config pretrain_jiont'),
        ('python tools/trian.py x', 'there is no tools/trian.py'),
        ('python tools/train.py configs/omnivl/nowhere.py', 'there is no configs/omnivl/nowhere.py'),
        ('python tools/damage.py --file 3', 'tools/damage.py has no --file'),
        ('python -m projects.demo.make_corpora', 'there is no module projects.demo.make_corpora'),
        ('for x in 1; do', 'not bash'),
    ],
)
def test_slips_of_a_page_are_seen(tmp_path, text, complaint):
    (tmp_path / 'page.md').write_text(f'<!-- not run: takes minutes -->\n```bash\n{text}  # as told\n```\n')
    (fence,) = fences(tmp_path / 'page.md')
    assert fence.reason == 'takes minutes'
    assert any(complaint in found for found in complaints(fence))


def test_a_reason_of_ones_own_is_seen(tmp_path):
    (tmp_path / 'page.md').write_text('- list\n\n  <!-- not run: too dull -->\n  ```bash\n  omnivl doctor\n  ```\n')
    (fence,) = fences(tmp_path / 'page.md')
    assert fence.text == 'omnivl doctor' and '"not run: too dull" is none of' in next(complaints(fence))


def test_commands_are_joined_and_comments_left_out():
    text = "omnivl caption a \\\n  b   # it's ours\n\n# nothing\nomnivl match a --text '#1'"
    assert [shlex.split(line, comments=True) for line in commands(text)] == [
        ['omnivl', 'caption', 'a', 'b'],
        ['omnivl', 'match', 'a', '--text', '#1'],
    ]


def test_the_text_of_a_command_stays_with_it():
    text = "python - <<'END'\nprint('it''s')\nEND\nomnivl doctor"
    assert list(commands(text)) == ["python - <<'END'\nprint('it''s')\nEND", 'omnivl doctor']
