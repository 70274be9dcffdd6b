"""Every error of omnivl has one base class, so that a command can tell it from a fault of the program."""

import ast
import builtins
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

import omnivl.errors
from omnivl.errors import OmniVLError, OmniVLKeyError

PACKAGE = Path(omnivl.errors.__file__).parent
# Raised for Python: the end of a sequence, a method that subclasses write.
ALLOWED = {'IndexError', 'NotImplementedError'}
KINDS = [value for value in vars(omnivl.errors).values() if isinstance(value, type)]


def builtin_errors(path: Path) -> Iterator[str]:
    """Yield the place of every builtin error that is raised, or that a class derives from."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        named: list[ast.expr | None] = []
        if isinstance(node, ast.Raise):
            named = [node.exc.func if isinstance(node.exc, ast.Call) else node.exc]
        elif isinstance(node, ast.ClassDef):
            named = list(node.bases)
        for name in named:
            kind = getattr(builtins, name.id, None) if isinstance(name, ast.Name) else None
            if isinstance(kind, type) and issubclass(kind, BaseException) and name.id not in ALLOWED:
                yield f'{path.relative_to(PACKAGE)}:{node.lineno} {name.id}'


def test_no_builtin_error_is_raised_or_derived_from() -> None:
    files = [path for path in PACKAGE.rglob('*.py') if path.name != 'errors.py' or path.parent != PACKAGE]
    assert sorted(place for path in files for place in builtin_errors(path)) == []


@pytest.mark.parametrize('kind', KINDS)
def test_shows_its_message_and_survives_pickling(kind: type[OmniVLError]) -> None:
    error = pickle.loads(pickle.dumps(kind("no 'a' here")))
    assert type(error) is kind and str(error) == "no 'a' here"
    assert issubclass(kind, OmniVLError)


def test_is_caught_as_the_builtin_too() -> None:
    with pytest.raises(KeyError):
        raise OmniVLKeyError('gone')
