"""Where the configs that come with the package are, and where the data is: both do not depend on the current folder."""

import difflib
import importlib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from .errors import OmniVLFileNotFoundError, OmniVLValueError

DATA_VARIABLE = 'OMNIVL_DATA'
CACHE_VARIABLE = 'OMNIVL_CACHE'
DATA = 'data'  # first part of the paths in configs, stands for the data root
PROJECTS = 'projects'
# Arguments that take a path: ann_file, bad_files, visual_root, vocab_folder, file of a reader of weights, load_from ...
PATH_KEYS = re.compile(r'(.*_)?(file|files|root|folder|from|map)|answer_list|slots')


@cache
def home() -> Path:
    """Return the folder with ``configs/``, ``tools/`` and ``projects/``.

    That is ``.mim`` inside of an installed package, by the convention of MIM, and otherwise the checkout.
    """
    package = Path(__file__).resolve().parent
    inside = package / '.mim'
    return inside if inside.is_dir() else package.parent


@cache
def named_configs() -> dict[str, Path]:
    """Name -> path of every config of the package: ``omnivl/pretrain_joint`` for configs/omnivl/pretrain_joint.py.

    One of a project has the name of the project before it, as in ``example_encoder/pretrain_joint``.
    """
    folders = [home() / 'configs', *sorted((home() / PROJECTS).glob('*/configs'))]
    return {name: path for folder in folders for name, path in _configs_in(folder)}


def _configs_in(folder: Path) -> Iterator[tuple[str, Path]]:
    of_project = folder.parent.parent.name == PROJECTS
    for path in sorted(folder.rglob('*.py')):
        inner = path.relative_to(folder).with_suffix('').as_posix()
        if '_base_' not in path.parts and path.name != '__init__.py':
            yield (f'{folder.parent.name}/{inner}' if of_project else inner), path


def find_config(name: str | os.PathLike) -> Path:
    """Find a config by its path, or one of the package by its path in it or by its name, if only one has that name.

    ``pretrain_joint``, ``omnivl/pretrain_joint`` and ``configs/omnivl/pretrain_joint.py`` are the same one; a file with
    the given path goes first, and those of ``configs/`` go before those of ``projects/``. What is not found is returned
    as it is.
    """
    path = Path(name)
    if path.exists() or path.is_absolute():
        return path
    if (inside := home() / path).is_file() and path.suffix == '.py':
        return inside
    known, wanted = named_configs(), path.with_suffix('').as_posix() if path.suffix == '.py' else path.as_posix()
    if wanted in known:
        return known[wanted]
    ends = [one for one in known if one.endswith(f'/{wanted}')]
    ends = [one for one in ends if (home() / 'configs') in known[one].parents] or ends
    if len(ends) > 1:
        raise OmniVLValueError(f'several configs are called {wanted}: {", ".join(ends)}; name one of these')
    return known[ends[0]] if ends else path


def nearest_configs(name: str) -> list[str]:
    """Return the names of the package's configs that are most like a name."""
    short = {one.rpartition('/')[2]: one for one in reversed(named_configs())}
    return difflib.get_close_matches(Path(name).stem, short, n=3, cutoff=0.6)


def import_from_project(module: str) -> bool:
    """Import a module of the ``projects/`` beside the library, which came with it and is trusted as it is.

    Args:
        module: Its full name, which begins with ``projects`` and the folder. Tests and tools are not imported.

    Returns:
        Whether there is such a module.
    """
    parts = module.split('.')
    if (
        parts[0] != PROJECTS
        or len(parts) < 3
        or {'tests', 'tools'} & set(parts)
        or not all(map(str.isidentifier, parts))
    ):
        return False
    path = home().joinpath(*parts)
    if not path.with_suffix('.py').is_file() and not (path / '__init__.py').is_file():
        return False
    if str(home()) not in sys.path:
        sys.path.append(str(home()))
    importlib.import_module(module)
    return True


def data_root() -> Path | None:
    """Return the folder that ``data/`` of the paths in configs stands for; None = that below the current folder.

    It is the folder of the option --data-root or of the variable ``OMNIVL_DATA``. With neither it is ``data`` of the
    current folder, or that of the checkout if there is none.
    """
    given = os.environ.get(DATA_VARIABLE)
    if given:
        if not Path(given).is_dir():
            raise OmniVLFileNotFoundError(
                f'the data root {given} is no folder: set --data-root, or {DATA_VARIABLE}, to the folder that holds '
                'coco/, webvid/ and so on'
            )
        return Path(os.path.abspath(given))
    checkout = home() / DATA
    return checkout if checkout.is_dir() and not Path(DATA).exists() else None


def cache_root() -> Path:
    """Return the folder of what can be made again: ``OMNIVL_CACHE``, or ``~/.cache/omnivl``."""
    given = os.environ.get(CACHE_VARIABLE)
    return Path(given) if given else Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'omnivl'


def resolve_data_paths(value: Any) -> None:
    """Put the data root, in place, for ``data/`` of all paths in a config.

    Paths are the strings under ``PATH_KEYS``. One that is not below the data root, but is below ``data`` of the current
    folder, stays as it is, as do all others: absolute paths, ``work_dirs/...``, URLs.
    """
    root = data_root()
    if root is not None:
        _resolve(value, root)


def _resolve(value: Any, root: Path, named: bool = False) -> None:
    """Resolve the paths inside a value; ``named``: its strings, as it is a list, are under a key of paths."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        paths = PATH_KEYS.fullmatch(key) is not None if isinstance(key, str) else named
        if isinstance(item, tuple):
            item = value[key] = list(item)
            _resolve(item, root, paths)
            value[key] = tuple(item)
        elif isinstance(item, str) and paths:
            value[key] = _resolved(item, root)
        else:
            _resolve(item, root, paths)


def _resolved(path: str, root: Path) -> str:
    first, _, rest = path.partition('/')
    if first != DATA or (os.path.exists(path) and not (root / rest).exists()):
        return path
    return (root / rest).as_posix()
