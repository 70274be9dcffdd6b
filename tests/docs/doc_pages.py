"""The code of README and docs: fences, what stands above them, and the commands in them."""

import argparse
import importlib
import re
import shlex
import subprocess
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from omnivl.commands.main import make_parser
from omnivl.commands.table import COMMANDS, DOORS
from omnivl.places import find_config

ROOT = Path(__file__).parents[2]
# Why code of a page does not run in the tests; above its fence stands <!-- not run: REASON -->. Above code that readers
# put into a file stands <!-- file: NAME -->, above what wants no data around it <!-- run in: an empty folder -->.
REASONS = (
    'needs the network',
    'needs GPUs',
    'needs a cluster',
    'needs Docker',
    'needs root',
    'needs the page of omnivl demo',
    'needs the weights of others',
    'takes minutes',
    'runs until it is stopped',
    'part of a config',
)
MARK = re.compile(r'^\s*<!-- (not run|file|run in): (.*?) -->\s*$')
FENCE = re.compile(r'^(\s*)```(bash|python)\s*$')
CONFIG_COMMANDS = ('train', 'test', 'browse', 'verify', 'flops', 'plan', 'pack')  # whose first word names a config
COMMAND_OF_DOOR = {door: name for name, door in DOORS.items()} | {'infer.py': 'infer'}


class Fence(NamedTuple):
    """Code of a page.

    Attributes:
        page: The page.
        line: Number of its first line.
        language: ``'bash'`` or ``'python'``.
        text: The code, without indentation.
        reason: Why it does not run here; None = it does.
        file: The file that it is the content of; None = it is to be run.
        alone: Whether it runs in an empty folder.
    """

    page: Path
    line: int
    language: str
    text: str
    reason: str | None
    file: str | None
    alone: bool


def pages() -> list[Path]:
    """All pages that people write; the reference is made when the documentation is built."""
    written = [path for path in sorted(ROOT.glob('docs/**/*.md')) if not {'_build', 'reference'} & set(path.parts)]
    return [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *written, ROOT / 'docs/reference/config.md']


def fences(page: Path) -> Iterator[Fence]:
    """Yield the bash and python code of a page, from above."""
    lines = page.read_text(encoding='utf-8').splitlines()
    number = 0
    while number < len(lines):
        found = FENCE.match(lines[number])
        number += 1
        if not found:
            continue
        mark, start = MARK.match(lines[number - 2]) if number > 1 else None, number
        while lines[number].strip() != '```':
            number += 1
        text = '\n'.join(line.removeprefix(found[1]) for line in lines[start:number])
        about = {mark[1]: mark[2]} if mark else {}
        yield Fence(page, start + 1, found[2], text, about.get('not run'), about.get('file'), 'run in' in about)


def commands(text: str) -> Iterator[str]:
    """Yield the command lines of bash code, continued ones joined, with the text that follows << if there is one."""
    lines = iter(text.replace('\\\n', ' ').splitlines())
    for line in lines:
        if end := re.search(r"<<\s*'?(\w+)'?", line):
            yield '\n'.join([line, *takewhile(lambda below: below != end[1], lines), end[1]])
        elif shlex.split(line, comments=True):
            yield line


def simple_commands(line: str) -> Iterator[list[str]]:
    """Yield the words of each command of a line, without variables that are set for it."""
    lexer = shlex.shlex(line.partition('\n')[0], posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ';']:
        if not set(word) <= set('|&;()<>'):
            words += [] if not words and re.match(r'\w+=', word) else [word]
        elif words:
            yield words
            words = []


def complaints(fence: Fence) -> Iterator[str]:
    """Yield what is wrong with code, without running it: syntax, and names of files, commands, options, configs."""
    if fence.reason is not None and fence.reason not in REASONS:
        yield f'"not run: {fence.reason}" is none of: {", ".join(REASONS)}'
    if fence.language == 'python':
        try:
            compile(fence.text, str(fence.page), 'exec')
        except SyntaxError as error:
            yield f'not Python: {error}'
        return
    shell = subprocess.run(['bash', '-n'], input=fence.text, text=True, capture_output=True)
    if shell.returncode:
        yield f'not bash: {shell.stderr.strip()}'
    for line in commands(fence.text):
        for words in simple_commands(line):
            yield from (f'{line}: {what}' for what in wrong_words(words))


def wrong_words(words: list[str]) -> Iterator[str]:
    """Yield what is wrong with the words of one command, if it is one of ours."""
    program, *rest = words
    if program == 'omnivl' and rest and not rest[0].startswith('-'):
        yield from wrong_options(*rest)
    elif program in ('python', 'bash') and rest and rest[0].startswith(('tools/', 'projects/')):
        if not (ROOT / rest[0]).is_file():
            yield f'there is no {rest[0]}'
        elif (name := COMMAND_OF_DOOR.get(Path(rest[0]).name)) is not None:
            yield from wrong_options(name, *rest[1:])
        elif program == 'python':
            known = re.findall(r"'(--[\w-]+)'", (ROOT / rest[0]).read_text(encoding='utf-8'))
            yield from (f'{rest[0]} has no {word}' for word in options_of(rest) if word not in [*known, '--help'])
    elif program == 'python' and rest[:1] == ['-m'] and rest[1].startswith(('projects.', 'omnivl.')):
        yield from () if (ROOT / f'{rest[1].replace(".", "/")}.py').is_file() else [f'there is no module {rest[1]}']
    for word in rest:
        if re.match(r'(projects/\w+/)?configs/.*\.py$', word) and not (ROOT / word).is_file():
            yield f'there is no {word}'


def wrong_options(name: str, *words: str) -> Iterator[str]:
    """Yield options that a command does not have, and a config that the package does not have."""
    if name not in (*COMMANDS, 'infer'):
        yield f'there is no command {name}'
        return
    parser = make_parser(importlib.import_module(f'omnivl.commands.{name}'))
    known = {option for action in all_actions(parser) for option in action.option_strings}
    yield from (f'omnivl {name} has no {word}' for word in options_of(words) if word not in known)
    first, second = [*words, '-', '-'][:2]
    if name == 'test' and second.startswith('-'):
        return  # a folder or checkpoint alone
    if name in CONFIG_COMMANDS and re.fullmatch(r'[a-z]\w*(/[a-z]\w*)?', first) and not find_config(first).is_file():
        yield f'there is no config {first}'


def all_actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a parser and of the parsers below it."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from all_actions(below)


def options_of(words: list[str] | tuple[str, ...]) -> list[str]:
    """Return the names of the options among words."""
    return [word.partition('=')[0] for word in words if re.match(r'--?[a-zA-Z]', word)]
