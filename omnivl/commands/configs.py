"""List, show and copy the configs that come with the package.

A config is named by its path or, if no other has it, by its last name alone. copy takes the files that a config reads
along, below the same folders, so that the copy works wherever it is; train then with the path of the copy.

Examples:
    omnivl configs
    omnivl configs list retrieval
    omnivl configs show pretrain_joint --cfg-options train_cfg.max_epochs=1
    omnivl configs copy retrieval_coco my_configs
"""

import argparse
import ast
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from omnivl.errors import OmniVLFileNotFoundError, OmniVLRuntimeError
from omnivl.places import find_config, named_configs, nearest_configs

from .main import UsageError
from .options import add_cfg_options

ACTIONS = ('list', 'show', 'copy')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.usage = '%(prog)s [list [PART OF A NAME] | show NAME | copy NAME DIR] [options]'
    parser.add_argument('action', nargs='?', choices=ACTIONS, default='list', help='what to do; by default list')
    parser.add_argument('name', nargs='?', help='of a config; for list a part of one')
    parser.add_argument('folder', nargs='?', metavar='DIR', help='copy: folder to copy to')
    parser.add_argument('--data-root', metavar='DIR', help='show: folder that data/ of the paths stands for')
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', default=[], help='show: change the config')


def run(arguments: argparse.Namespace) -> None:
    """Do it and print; a reader of the output that has seen enough, such as head, ends it in silence."""
    try:
        print(*answer(arguments), sep='\n', flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python would complain when it ends


def answer(arguments: argparse.Namespace) -> list[str]:
    """Return the lines to print."""
    if arguments.action == 'list':
        return [listing(arguments.name or '')]
    if arguments.name is None or (arguments.action == 'copy' and arguments.folder is None):
        raise UsageError(
            f'{arguments.action} needs the name of a config' + ' and a folder' * (arguments.action == 'copy')
        )
    if arguments.action == 'show':
        return [merged(arguments.name, arguments.cfg_options)]
    return [str(path) for path in copy_config(found(arguments.name), Path(arguments.folder))]


def listing(part: str = '') -> str:
    """Return a line for each config: its name and the first line of its docstring."""
    configs = {name: path for name, path in named_configs().items() if part in name}
    if not configs:
        raise UsageError(f'no config of the package has {part!r} in its name; omnivl configs lists all')
    width = max(map(len, configs))
    return '\n'.join(f'{name:{width}}  {summary(path)}' for name, path in configs.items())


def summary(path: Path) -> str:
    """Return the first line of a config's docstring, without running it."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or ''
    return text.partition('\n')[0]


def found(name: str) -> Path:
    """Find a config; it is an OmniVLFileNotFoundError if there is none."""
    path = find_config(name)
    if not path.is_file():
        near = nearest_configs(name)
        meant = f'did you mean {" or ".join(near)}? ' if near else ''
        raise OmniVLFileNotFoundError(f'there is no config {name}, {meant}omnivl configs lists all')
    return path


def merged(name: str, options: list[str]) -> str:
    """Return the text of a config with all that it reads, and with ``--cfg-options``."""
    from omnivl.engine.command_line import read_changed_config

    parser = argparse.ArgumentParser()
    add_cfg_options(parser)
    arguments = parser.parse_args(['--cfg-options', *options] if options else [])
    arguments.config = str(found(name))
    return read_changed_config(arguments).pretty_text


def copy_config(path: Path, folder: Path) -> list[Path]:
    """Copy a config and the files that it reads, and return the copies, the config first; nothing is overwritten."""
    files = list(dict.fromkeys(with_bases(path.resolve())))
    common = Path(os.path.commonpath([file.parent for file in files]))
    copies = [folder / file.relative_to(common) for file in files]
    there = [str(copy) for copy in copies if copy.exists()]
    if there:
        raise OmniVLRuntimeError(f'{there[0]} is there already; copy into another folder, or remove it first')
    for file, copy in zip(files, copies):
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    return copies


def with_bases(path: Path) -> Iterator[Path]:
    """Yield a config and, after it, each file that it reads under ``with read_base()``, relative ones as they are."""
    yield path
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.With) and 'read_base' in ast.unparse(node.items[0].context_expr):
            for line in node.body:
                if isinstance(line, ast.ImportFrom) and line.level and line.module:
                    base = path.parents[line.level - 1].joinpath(*line.module.split('.')).with_suffix('.py')
                    yield from with_bases(base)
