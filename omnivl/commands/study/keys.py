"""The key of a run: what decides it, in sixteen digits."""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from omnivl.places import PROJECTS, home
from omnivl.storage.hashes import content_sha256, file_sha256

PACKAGE = Path(__file__).resolve().parents[3]  # the folder that holds omnivl/
# All that may change a weight, and all that may change a figure.
TRAINING = ('datasets', 'engine', 'models', 'storage', 'structures', 'weights')
TRAINING_CODE = ('omnivl/*.py', *(f'omnivl/{name}/**/*.py' for name in TRAINING))
TEST_CODE = (*TRAINING_CODE, 'omnivl/evaluation/**/*.py')


def key_of(*decisive: object) -> str:
    """Hash what decides a result.

    Args:
        *decisive: Values of dicts, lists, texts and numbers.

    Returns:
        Sixteen hexadecimal digits.
    """
    return content_sha256(list(decisive))[:16]


@cache
def code_key(patterns: tuple[str, ...]) -> str:
    """Hash code files, names and contents; a changed comment counts, too.

    Args:
        patterns: Below the folder that holds ``projects/``, or the package, in a wheel.

    Returns:
        Sixteen hexadecimal digits.
    """
    root = home()
    files = {
        str(path.relative_to(base)): file_sha256(path)
        for pattern in patterns
        for base in [PACKAGE if pattern.startswith('omnivl/') else root]
        for path in base.glob(pattern)
        if path.is_file() and 'tests' not in path.parts
    }
    return key_of(sorted(files.items()))


def project_code(text: str) -> tuple[str, ...]:
    """Name the code of the projects whose components a config has.

    Args:
        text: The config.

    Returns:
        Patterns for :func:`code_key`.
    """
    named: Iterable[str] = re.findall(rf'\b{PROJECTS}\.(\w+)\.', text)
    return tuple(f'{PROJECTS}/{name}/**/*.py' for name in sorted(set(named)))
