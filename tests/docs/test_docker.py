"""The Dockerfile keeps the linter's rules, runs without rights, and takes nothing into the image but what it needs."""

import re
import subprocess
import sys
from pathlib import Path

from doc_pages import ROOT

DOCKERFILE = ROOT / 'Dockerfile'


def test_the_linter_has_nothing_to_say():
    done = subprocess.run([Path(sys.executable).with_name('hadolint'), DOCKERFILE], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, '')


def test_it_runs_without_rights_and_holds_no_secret():
    text = DOCKERFILE.read_text()
    assert re.findall(r'^USER (.+)$', text, re.M) == ['${USER_ID}'] and 'USER_ID=10001' in text
    assert text.index('USER ${USER_ID}') < text.index('ENTRYPOINT')
    assert not re.search(r'(?i)(token|secret|password|api_?key)', text)


def test_the_image_gets_what_the_installation_reads_and_no_more():
    lines = (ROOT / '.dockerignore').read_text().splitlines()
    taken = [line[1:] for line in lines if line.startswith('!')]
    assert '*' in lines and all((ROOT / name).exists() for name in taken)
    needed = re.findall(r"\(ROOT / '([\w./]+)'\)", (ROOT / 'setup.py').read_text())
    assert {Path(name).parts[0] for name in needed} <= set(taken)
    assert not {'data', 'work_dirs', 'tests', '.git', '.venv'} & set(taken)
