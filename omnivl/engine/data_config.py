"""Configs that are data (JSON, YAML): read without running code, and allowed to name registered components only."""

import itertools
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mmengine.registry as roots
import yaml
from mmengine.config import Config

from omnivl import registry as ours
from omnivl.errors import OmniVLValueError
from omnivl.places import import_from_project

SUFFIXES = ('.json', '.yaml', '.yml')
# MMEngine's own components that may be named too. Not its models, whose initialisers read pickles, nor its wrappers of
# models, runners and metrics, which import what their arguments say.
ROOTS = (
    *(roots.DATA_SAMPLERS, roots.FUNCTIONS, roots.HOOKS, roots.LOG_PROCESSORS, roots.LOOPS, roots.OPTIMIZERS),
    *(roots.OPTIM_WRAPPERS, roots.OPTIM_WRAPPER_CONSTRUCTORS, roots.PARAM_SCHEDULERS, roots.VISUALIZERS),
    roots.VISBACKENDS,
)
LOCAL_BACKENDS = ('LocalVisBackend', 'TensorboardVisBackend')  # the others send the run to a server
LOCAL_TRACKERS = ('tensorboard', 'none')  # of the key 'track', likewise
CODE_KEYS = ('_base_', '_scope_', 'custom_imports', 'init_cfg')
NAME_KEYS = ('constructor', 'decoder')  # beside 'type', 'runner_type', 'ema_type' ...
COMPILE_KEYS = ('disable', 'dynamic', 'fullgraph', 'mode')  # backend and options of the compiler name commands
SCOPES = ('omnivl', 'mmengine')
MOST = 1_000_000  # values; a few lines of YAML can stand for any number
SHOWN = 5  # places in a message


class ConfigError(OmniVLValueError):
    """A config, or an option of the command line, names something that does not exist or is not allowed."""


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, with the tuples that a dumped config has."""


_Loader.add_constructor('tag:yaml.org,2002:python/tuple', lambda loader, node: tuple(loader.construct_sequence(node)))


def read_data_config(path: Path) -> Config:
    """Read a JSON or YAML config; one that is damaged, or names more than registered components, is a ConfigError."""
    try:
        text = path.read_text(encoding='utf-8')
        content = json.loads(text) if path.suffix == '.json' else yaml.load(text, _Loader)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        reason = ' '.join(str(error).split())
        raise ConfigError(f'{path} cannot be read as {path.suffix[1:].upper()}: {reason}') from error
    if not isinstance(content, dict):
        raise ConfigError(f'{path} holds a {type(content).__name__}, a config is a mapping of names to values')
    advice = 'If you trust it as you trust a program, allow it with --trust-code, or write a Python config'
    return checked_data(content, str(path), path.suffix[1:].upper(), advice)


def checked_data(content: dict[str, Any], source: str, kind: str, advice: str) -> Config:
    """Make a config of data; a ConfigError if it names more than registered components.

    ``source`` is the file and ``kind`` what it was read as, for the messages; one that refuses ends with ``advice``.
    """
    try:
        refused = list(itertools.islice(_refused(content, '', itertools.count(1)), SHOWN + 1))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f'{source} cannot be read as {kind}: {" ".join(str(error).split())}') from error
    if refused:
        more = '; ...' if len(refused) > SHOWN else ''
        raise ConfigError(
            f'{source} is data and may only name registered components: {"; ".join(refused[:SHOWN])}{more}. {advice}'
        )
    try:
        # MMEngine reads the text of the file it is told, and names the dump of a run after it.
        return Config(content, filename=source if Path(source).suffix in SUFFIXES else None)
    except KeyError as error:  # names that MMEngine keeps for itself
        raise ConfigError(f'{source}: {error.args[0]}; give that key another name') from error


def _refused(value: Any, place: str, count: Iterator[int]) -> Iterator[str]:
    """Yield the places, and what stands there, that data may not have."""
    if next(count) > MOST:
        raise ConfigError(f'more than {MOST} values')
    if isinstance(value, str) and re.search(r'\{\{.*\}\}', value):
        yield f'{place} has {value[:80]!r}, to be filled from the environment'
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, item in parts:
        where = f'{place}.{key}' if place else str(key)
        if key in CODE_KEYS and item not in (None, {}, []):
            yield f'{where} is there'
        elif key == 'default_scope' and item not in (None, *SCOPES):
            yield f'{where} is {item!r}, not one of {", ".join(SCOPES)}'
        elif where == 'track' and (away := [name for name in item or () if name not in LOCAL_TRACKERS]):
            yield f'{where} has {", ".join(map(repr, away))}, which may send the run to a server'
        elif where == 'compile' and isinstance(item, dict) and (own := sorted(set(item) - set(COMPILE_KEYS))):
            yield f'{where} has {", ".join(own)}'
        elif _is_name(key, item) and not _is_registered(item):
            yield f'{where} is {item!r}, which is not registered'
        else:
            yield from _refused(item, where, count)


def _is_name(key: object, value: object) -> bool:
    """Whether a key says which component is built, or which function is called."""
    if key == 'type':
        return True
    return isinstance(key, str) and isinstance(value, str) and (key.endswith('_type') or key in NAME_KEYS)


def _is_registered(name: object) -> bool:
    """Whether it is the name of a component, or its path as a dump has it.

    Nothing is imported to find that out but the projects that came with the library.
    """
    if not isinstance(name, str):
        return False
    module, _, last = name.rpartition('.')
    import_from_project(module)
    for registry in (*(one for one in vars(ours).values() if isinstance(one, ours.Registry)), *ROOTS):
        registry.import_from_location()
        known = registry.module_dict
        if registry is roots.VISBACKENDS:
            known = {key: known[key] for key in LOCAL_BACKENDS}
        if name in known or (module in SCOPES and last in known):
            return True
        found = vars(sys.modules[module]).get(last) if module in sys.modules else None
        if found is not None and any(component is found for component in known.values()):
            return True
    return False
