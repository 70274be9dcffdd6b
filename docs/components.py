"""Writes the pages of the reference: registries, packages, commands with their help, configs with their headers."""

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable
from pathlib import Path

import omnivl
import omnivl.registry
from omnivl.commands.main import make_parser
from omnivl.commands.table import GROUPS
from omnivl.places import home, named_configs
from omnivl.registry import Registry


def write_reference(folder: Path) -> None:
    """Write ``registries/*.md``, ``packages/*.md``, ``commands.md`` and ``experiments.md``, anew each time."""
    pages = {f'registries/{name.lower()}.md': registry_page(name, one) for name, one in registries().items()}
    pages |= {f'packages/{name}.md': package_page(name) for name in packages()}
    pages |= {'commands.md': commands_page(), 'experiments.md': experiments_page()}
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding='utf-8') != text:  # Sphinx reads again what is newer
            path.write_text(text, encoding='utf-8')
    for path in folder.glob('*/*.md'):
        if str(path.relative_to(folder)) not in pages:
            path.unlink()


def registries() -> dict[str, Registry]:
    """Return the registries that have components of omnivl, by name."""
    found = {}
    for name, value in vars(omnivl.registry).items():
        if isinstance(value, Registry):
            value.import_from_location()
            if components(value):
                found[name] = value
    return found


def components(registry: Registry) -> dict[str, Callable]:
    """Return what omnivl has registered, by the name that configs use."""
    return {
        name: one
        for name, one in sorted(registry.module_dict.items(), key=lambda item: item[0].lower())
        if one.__module__.startswith('omnivl.')
    }


def packages() -> list[str]:
    """Name the packages below omnivl; the docstrings of the commands are their help, which --help shows."""
    found = [module.name for module in pkgutil.iter_modules(omnivl.__path__) if module.ispkg]
    return [name for name in found if name != 'commands']


def registry_page(name: str, registry: Registry) -> str:
    """Write the page of a registry: every component with its signature and docstring."""
    lines = [f'# {name}', '', f'Every {registry.name} that omnivl registers; a config names it by `type`.', '']
    for kind, component in components(registry).items():
        directive = 'autoclass' if inspect.isclass(component) else 'autofunction'
        lines += [
            f'## {kind}',
            '',
            '```{eval-rst}',
            f'.. {directive}:: {component.__module__}.{component.__qualname__}',
        ]
        lines += ['   :noindex:', '```', '']
    return '\n'.join(lines)


def package_page(name: str) -> str:
    """Write the page of a package: its modules with their public members."""
    package = f'omnivl.{name}'
    paths = [str(Path(omnivl.__path__[0]) / name)]
    modules = [module.name for module in pkgutil.walk_packages(paths, f'{package}.') if not module.ispkg]
    lines = [f'# {package}', '']
    for module in modules:
        lines += [f'## {module.removeprefix(package + ".")}', '', '```{eval-rst}']
        lines += [f'.. automodule:: {module}', '   :members:', '```', '']
    return '\n'.join(lines)


def commands_page() -> str:
    """Write the page of the commands: what ``omnivl NAME --help`` says of each, in the groups of ``omnivl --help``."""
    lines = ['# Commands', '', 'What `omnivl COMMAND --help` says. `omnivl --version` tells the version.', '']
    for group, commands in GROUPS.items():
        lines += [f'## {group}', '']
        for name, what in commands.items():
            parser = make_parser(importlib.import_module(f'omnivl.commands.{name}'), f'omnivl {name}')
            lines += [f'### {name}', '', f'{what[0].upper()}{what[1:]}.', '', '```text', parser.format_help().rstrip()]
            lines += ['```', '']
    return '\n'.join(lines)


def experiments_page() -> str:
    """Write the page of the configs: the header of each, which says what it trains, how and what the paper reports."""
    lines = ['# Experiments', '', 'Every config of the package, by the name that commands take.', '']
    for folder, of_folder in grouped_configs().items():
        lines += [f'## {folder}', '']
        for name, path in of_folder.items():
            text = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or ''
            lines += [f'### {name}', '', f'`{path.relative_to(home())}`', '', marked_down(text), '']
    return '\n'.join(lines)


def grouped_configs() -> dict[str, dict[str, Path]]:
    """Return the configs by the first part of their names: the library's, and those of each project."""
    found: dict[str, dict[str, Path]] = {}
    for name, path in named_configs().items():
        found.setdefault(name.partition('/')[0], {})[name] = path
    return found


def marked_down(text: str) -> str:
    """Turn the plain text of a docstring into Markdown: paths and stars are what they are, double ticks are code."""
    return re.sub(r'([*_<>])', r'\\\1', text.replace('``', '`'))
