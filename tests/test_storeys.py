"""The house: rooms import from below only, no import goes in a circle, nothing grows too large."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import omnivl

PACKAGE = Path(omnivl.__file__).parent
# From the ground up; a room imports only from those before it.
STOREYS = (
    'errors',
    'version',
    'places',
    'registry',
    'structures',
    'storage',
    'datasets',
    'models',
    'weights',
    'engine',
    'evaluation',
    'visualization',
    'apis',
    'commands',
    '__main__',
)
FILES = {
    '.'.join(['omnivl', *path.relative_to(PACKAGE).with_suffix('').parts]).removesuffix('.__init__'): path
    for path in sorted(PACKAGE.rglob('*.py'))
}
MAX_FILE, MAX_FUNCTION, MAX_PACKAGE = 400, 60, 30_204  # lines
MAX_SCRIPT = 100


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding='utf-8').splitlines()


def imports_of(module: str) -> Iterator[str]:
    """Yield the modules of omnivl that a module imports, inside functions too, but not for the type checker alone."""
    path = FILES[module]
    package = module.split('.') if path.name == '__init__.py' else module.split('.')[:-1]
    nodes: list[ast.AST] = [ast.parse(path.read_text(encoding='utf-8'))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == 'TYPE_CHECKING':
            nodes += node.orelse
            continue
        nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in FILES)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else []
            source = '.'.join([*parents, *([node.module] if node.module else [])])
            for name in node.names:
                target = f'{source}.{name.name}' if f'{source}.{name.name}' in FILES else source
                if target in FILES:
                    yield target


def storey(module: str) -> str:
    return module.split('.')[1] if '.' in module else ''


IMPORTS = {module: sorted(set(imports_of(module)) - {module}) for module in FILES}


def test_every_room_has_its_storey() -> None:
    assert {storey(module) for module in FILES} - {''} == set(STOREYS)


def test_rooms_import_from_below_only() -> None:
    upward = [
        f'{module} imports {other}'
        for module, others in IMPORTS.items()
        for other in others
        if storey(module) and STOREYS.index(storey(other)) > STOREYS.index(storey(module))
    ]
    assert upward == []


def test_no_import_goes_in_a_circle() -> None:
    waiting = {module: set(others) for module, others in IMPORTS.items()}
    while free := {module for module, others in waiting.items() if not others}:
        waiting = {module: others - free for module, others in waiting.items() if module not in free}
    assert waiting == {}


@pytest.mark.parametrize('module', FILES)
def test_files_and_functions_are_short(module: str) -> None:
    path = FILES[module]
    assert len(lines_of(path)) <= MAX_FILE
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    long = [function.name for function in functions if function.end_lineno - function.lineno >= MAX_FUNCTION]
    assert long == []


def test_the_package_stays_small() -> None:
    # Without the commands, which were files of tools/ and are still counted as such: nobody builds on them.
    library = [path for module, path in FILES.items() if storey(module) not in ('commands', '__main__')]
    assert sum(len(lines_of(path)) for path in library) <= MAX_PACKAGE


def test_the_library_names_no_demo() -> None:
    """Whatever stands on the library is not spoken of in it; the command omnivl demo, a web page, is another thing."""
    # Nor is what is installed for it meant, and the advice to run it.
    words = re.compile(r'(?<!omnivl )(?<!omnivl\[)\bdemo|quickstart|\bprojects\.\w+\.', re.IGNORECASE)
    found = [
        f'{module}: {line.strip()}'
        for module, path in FILES.items()
        for line in lines_of(path)
        if words.search(line) and not module.startswith(('omnivl.commands.demo', 'omnivl.commands.table'))
    ]
    assert found == []


def test_a_long_script_is_python() -> None:
    too_long = [path.name for path in (PACKAGE.parent / 'tools').glob('*.sh') if len(lines_of(path)) >= MAX_SCRIPT]
    assert too_long == []
