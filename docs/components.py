"""Writes the pages of the reference: one for each registry, one for each package."""

import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path

import omnivl
import omnivl.registry
from omnivl.registry import Registry


def write_reference(folder: Path) -> None:
    """Write ``registries/*.md`` and ``packages/*.md``, anew each time."""
    pages = {f'registries/{name.lower()}.md': registry_page(name, one) for name, one in registries().items()}
    pages |= {f'packages/{name}.md': package_page(name) for name in packages()}
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
