"""Checks of a config before anything is built: misspelt names get an error that says what was meant."""

import contextlib
import copy
import difflib
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import mmengine.registry
from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import Runner
from mmengine.utils import import_modules_from_strings
from torch.utils.data import DataLoader

import omnivl.registry
from omnivl.errors import OmniVLError
from omnivl.places import find_config, nearest_configs, resolve_data_paths
from omnivl.registry import argument_names
from omnivl.weights.facts import vocabulary_sha256

from .data_config import SUFFIXES, ConfigError, read_data_config
from .streams import split_losses

# Keys that the runner and omnivl train read beside the arguments of MMEngine's Runner.
EXTRA_KEYS = (
    'activation_checkpointing',
    'allow_train_test_overlap',
    'compile',
    'custom_imports',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'load_options',
    'model_wrapper_cfg',
    'runner_type',
    'sync_bn',
    'track',
)
LOADER_KEYS = ('batch_sampler', 'collate_fn', 'dataset', 'disable_subprocess_warning', 'num_batch_per_epoch', 'sampler')
TASK_KEYS = ('losses',)  # of a loader for training
# Arguments that the runner passes, or that MMEngine takes out of the config before it builds the component.
INJECTED = (
    'type',
    '_scope_',
    'priority',
    'constructor',
    'paramwise_cfg',
    'optimizer',
    'convert_to_iter_based',
    'param_name',
)
# Likeness from which a name at the top is taken for a slip: load_form for load_from, but not train_loader for
# train_dataloader, which a config may well call its own.
SLIP = 0.88


def read_config(path: str | Path, trust_code: bool = False, options: Mapping[str, Any] | None = None) -> Config:
    """Read a config, and change it as ``apply_options`` does; a file that is not there and misspelt keys are errors.

    A Python config is code, and its ``custom_imports`` are imported. One under ``projects/`` imports the code beside it
    as ``projects.<name>``; the folder that holds ``projects`` is put on the path for that. A config of JSON or YAML is
    data, which may name registered components only; ``trust_code`` gives it the rights of a Python config.

    A config of the package may be given by its name, see :func:`find_config`; ``data/`` of the paths in a config is the
    data root from here on, see :func:`resolve_data_paths`.
    """
    path = find_config(path)
    if path.is_dir():
        raise ConfigError(f'{path} is a folder, a config is a file; {_listing(path)}')
    if not path.is_file():
        near = nearest_configs(path.name)
        meant = f', did you mean {" or ".join(near)} (omnivl configs lists all)?' if near else ';'
        raise ConfigError(f'there is no config {path}{meant} {_listing(path.parent)}')
    if path.suffix not in ('.py', *SUFFIXES):
        raise ConfigError(f'{path} is no config: its name must end in .py, {", ".join(SUFFIXES)}')
    if path.suffix in SUFFIXES and not trust_code:
        cfg = read_data_config(path)
    else:
        root = next((parent for parent in path.resolve().parents if (parent / 'projects').is_dir()), None)
        if root is not None and str(root) not in sys.path:
            sys.path.append(str(root))
        with _named_in_config(path):
            # Laid out by yapf, the text of a config takes a second or more, and every checkpoint carries it.
            cfg = Config.fromfile(path, import_custom_modules=False, format_python_code=False)
        _import_modules(cfg.get('custom_imports'), path)
    resolve_data_paths(cfg._cfg_dict)
    check_config(cfg)
    apply_options(cfg, options or {})
    share_tokenizer(cfg)
    return cfg


def share_tokenizer(cfg: Config) -> None:
    """Give the model's tokenizer to every ``TokenizeText`` of a config, in place; another one is a ConfigError.

    Ids of two vocabularies would be taken for each other in silence. A config without a model of texts stays as it is.
    """
    model = cfg.get('model') or {}
    shared = (model.get('trunk') or model).get('tokenizer')
    if shared is None:
        return
    for place, step in _tokenizing(cfg._cfg_dict, ''):
        own = step.get('tokenizer')
        if own is None:
            step['tokenizer'] = copy.deepcopy(shared)
        elif isinstance(own, Mapping) and not _same_tokenizer(own, shared):
            raise ConfigError(
                f'{cfg.filename or "the config"} has two vocabularies: {_described(shared)} of the model, '
                f'{_described(own)} in {place}. Leave the tokenizer of TokenizeText out, it gets that of the model'
            )


def _tokenizing(node: object, place: str) -> Iterator[tuple[str, Any]]:
    """Yield the configs of ``TokenizeText``, each with its place."""
    if isinstance(node, Mapping):
        if 'type' in node and _name(node['type']).rpartition('.')[2] == 'TokenizeText':
            yield place, node
        for key, item in node.items():
            yield from _tokenizing(item, f'{place}.{key}' if place else str(key))
    elif isinstance(node, list | tuple):
        for index, item in enumerate(node):
            yield from _tokenizing(item, f'{place}.{index}')


def _same_tokenizer(one: Mapping, other: Mapping) -> bool:
    """Whether two configs are of one tokenizer, or of files that say the same."""
    if _described(one) == _described(other):
        return True
    first, second = (vocabulary_sha256(omnivl.registry.TOKENIZERS.build(dict(config))) for config in (one, other))
    return first is not None and first == second


def _described(tokenizer: Mapping) -> str:
    options = [f'{key}={value!r}' for key, value in sorted(tokenizer.items()) if key != 'type']
    return f'{_name(tokenizer["type"]).rpartition(".")[2]}({", ".join(options)})'


@contextlib.contextmanager
def _named_in_config(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong while a Python config is read into a ConfigError that names its file and line."""
    try:
        yield
    except (ImportError, OmniVLError):  # what cannot be imported has a message of its own
        raise
    except Exception as error:
        frames = list(traceback.walk_tb(error.__traceback__))
        # A config runs under its own name; one that is no Python is known by what MMEngine was about to read.
        read = [path, *(frame.f_locals['filename'] for frame, _ in frames if _is_reading(frame))]
        ran = [(name, line) for frame, line in frames if (name := frame.f_code.co_filename) in map(str, read)]
        file, line = ran[-1] if ran else (read[-1], getattr(error, 'lineno', None))
        said = error.msg if isinstance(error, SyntaxError) else ' '.join(str(error).split('! It means')[0].split())
        where = f'{file}, line {line}' if line else file
        raise ConfigError(f'the config cannot be read: {where}: {type(error).__name__}: {said}') from error


def _is_reading(frame: FrameType) -> bool:
    return frame.f_globals.get('__name__') == 'mmengine.config.config' and 'filename' in frame.f_locals


def _import_modules(wanted: Any, path: Path) -> None:
    """Import the modules of ``custom_imports``, which MMEngine does for one of its two styles of configs only."""
    if wanted is None:
        return
    try:
        import_modules_from_strings(**wanted)
    except TypeError as error:
        raise ConfigError(
            f"{path}: custom_imports is {wanted!r}, it must be dict(imports=['a.module'], allow_failed_imports=False)"
        ) from error
    except ImportError as error:
        raise ConfigError(
            f'{path}: custom_imports: {error} ({error.__context__}); put the folder that holds it on PYTHONPATH, or '
            'set allow_failed_imports=True'
        ) from error


def _listing(folder: Path) -> str:
    if not folder.is_dir():
        return f'there is no folder {folder} either'
    names = sorted(file.name for file in folder.glob('*.py'))
    return f'{folder} holds {", ".join(names[:20]) or "no config"}'


def check_schedule(cfg: Config) -> None:
    """Raise a ConfigError if a schedule begins after the end of the run, as in a short run to try a config."""
    length = (cfg.get('train_cfg') or {}).get('max_iters')
    for number, schedule in enumerate(cfg.get('param_scheduler') or ()):
        begin = schedule.get('begin', 0)
        if length is not None and not schedule.get('by_epoch', True) and begin >= length:
            raise ConfigError(
                f'param_scheduler.{number} begins at iteration {begin}, but train_cfg.max_iters is {length}: for a run '
                'that short set param_scheduler=[] or another begin and end of its entries'
            )


def check_config(cfg: Config) -> None:
    """Raise a ConfigError with all misspelt keys of a config, each with its place and what was probably meant.

    At the top a config may define names of its own (``data_root``); one that is nearly a known key is taken for a slip.
    Inside, every dict with a ``type`` is held against the arguments of what it names.
    """
    known = known_keys()
    problems: list[str] = []
    values = dict(cfg.items())
    values['train_dataloader'], _ = split_losses(cfg.get('train_dataloader'))
    for key, value in values.items():
        if key in known:
            problems += _check_value(value, key)
        elif (meant := _slip(key, known)) is not None:
            problems.append(f'{key}: no such key, did you mean {meant!r}?')
    for role in ('train', 'val', 'test'):
        problems += _check_loaders(cfg.get(f'{role}_dataloader'), f'{role}_dataloader')
    if problems:
        named = f'{cfg.filename or "the config"} names things that do not exist:'
        raise ConfigError(f'{named} {problems[0]}' if len(problems) == 1 else '\n  '.join([named, *problems]))


def apply_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Change values of a config in place as ``--cfg-options`` says: dotted path -> new value.

    The numbers in ``custom_hooks.0.interval`` are places in lists, and a name with a dot is found too, as in
    ``test_dataloader.image.retrieval.batch_size``. A path that leads nowhere is an error. ``data/`` of a value is the
    data root, as in the config.
    """
    for path, value in options.items():
        *parents, leaf = _split_path(cfg._cfg_dict, path)
        if (root := path.split('.')[0]) in cfg and root not in known_keys():
            raise ConfigError(
                f"--cfg-options {path}: {root} is a name of the config's own, already used where it was read; "
                'set what it went into, as in train_cfg.max_iters=100'
            )
        node: Any = cfg._cfg_dict
        for depth, part in enumerate(parents):
            node = node[_existing(node, part, parents[:depth], path)]
        where = '.'.join(parents)
        if isinstance(node, list | tuple):
            _existing(node, leaf, parents, path)
            raise ConfigError(
                f'--cfg-options {path}: replacing an item of a list is not possible; set {where} as a whole'
            )
        allowed = _allowed_keys(node, where)
        if allowed is not None and leaf not in node and leaf not in allowed:
            raise ConfigError(f'--cfg-options {path}: {_no_such_key(leaf, where, [*node, *allowed])}')
        old = node.get(leaf) if isinstance(node, Mapping) else None
        if isinstance(value, str) and isinstance(old, int | float):
            raise ConfigError(f'--cfg-options {path}: got {value!r}, but it is {old!r}: give a value like that')
        change = {leaf: value}
        resolve_data_paths(change)
        for step in reversed(parents):
            change = {step: change}
        cfg.merge_from_dict(change)


def _split_path(node: object, path: str) -> list[str]:
    """Return the keys on a dotted path, of which some may have dots themselves; unknown ones up to the next dot."""
    parts, steps = path.split('.'), []
    while parts:
        names = ['.'.join(parts[:count]) for count in range(1, len(parts) + 1)]
        step = next((name for name in names if isinstance(node, Mapping) and name in node), parts[0])
        if isinstance(node, list | tuple) and step.isdigit() and int(step) < len(node):
            node = node[int(step)]
        else:
            node = node.get(step) if isinstance(node, Mapping) else None
        parts = parts[step.count('.') + 1 :]
        steps.append(step)
    return steps


def known_keys() -> set[str]:
    """Return the keys that mean something at the top of a config: arguments of MMEngine's Runner, and ours."""
    return set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'} | set(EXTRA_KEYS)


def _allowed_keys(node: object, where: str) -> list[str] | None:
    """Keys that may be added to a dict of the config; None = any."""
    if not where:
        return sorted(known_keys())
    if not isinstance(node, Mapping):
        raise ConfigError(f'--cfg-options {where}: is the value {node!r}, nothing can be set inside it')
    if 'type' in node:
        return _arguments(node['type'])
    if re.fullmatch(r'(train|val|test)_dataloader\.[^.]+(\.[^.]+)?', where) and 'dataset' in node:
        return _loader_keys(where)
    return None if not len(node) or where in ('default_hooks', 'env_cfg', 'load_options', 'randomness') else []


def _existing(node: object, part: str, parents: list[str], path: str) -> Any:
    """Return the key of a step of a path; an error if the step leads nowhere."""
    where = '.'.join(parents)
    if isinstance(node, Mapping):
        if part in node:
            return part
        raise ConfigError(f'--cfg-options {path}: {_no_such_key(part, where, list(node))}')
    if isinstance(node, list | tuple):
        if part.isdigit() and int(part) < len(node):
            return int(part)
        raise ConfigError(f'--cfg-options {path}: {where} is a list of {len(node)}, {part!r} is no place in it')
    raise ConfigError(f'--cfg-options {path}: {where} is the value {node!r}, nothing can be set inside it')


def _no_such_key(key: str, where: str, names: list[str]) -> str:
    names = sorted({str(name) for name in names} - {'self'})
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.6)
    own = [name for name in names if name not in INJECTED] or names
    meant = f'did you mean {near[0]!r}?' if near else f'there are {", ".join(own)}'
    return f'{where or "the config"} has no {key!r}, {meant}'


def _check_value(value: object, path: str) -> Iterator[str]:
    """Yield a line for every key below a value that its component does not take."""
    if isinstance(value, Mapping):
        allowed = _arguments(value['type']) if 'type' in value else None
        for key, item in value.items():
            if allowed is not None and key not in allowed:
                yield f'{path}.{key}: {_no_such_key(key, _name(value["type"]), allowed)}'
            yield from _check_value(item, f'{path}.{key}')
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _check_value(item, f'{path}.{index}')


def _check_loaders(loaders: object, path: str) -> Iterator[str]:
    if not isinstance(loaders, Mapping):
        return
    for name, loader in loaders.items():
        if isinstance(loader, Mapping) and 'type' not in loader:  # with one it is a stream, checked like a component
            known = _loader_keys(path)
            for key in set(loader) - set(known):
                yield f'{path}.{name}.{key}: {_no_such_key(key, "a loader", known)}'


def _loader_keys(path: str) -> list[str]:
    of_tasks = TASK_KEYS if path.startswith('train_dataloader') else ()
    return [*inspect.signature(DataLoader.__init__).parameters, *LOADER_KEYS, *of_tasks]


def _arguments(kind: object) -> list[str] | None:
    """Name what a component takes; None if it takes any, or is not known here."""
    candidates = [kind] if callable(kind) else _registered(kind)
    names: set[str] = set()
    for candidate in candidates:
        parameters = argument_names(candidate)
        if parameters is None:
            return None
        names |= parameters
    return sorted(names | set(INJECTED)) if candidates else None


def _registered(name: object) -> list[Callable]:
    """Find what a name may stand for; the registry depends on the place, so all are looked through."""
    if not isinstance(name, str):
        return []
    name = name.rpartition('.')[2]  # a dumped config has whole paths
    found = []
    for module in (omnivl.registry, mmengine.registry):
        for registry in vars(module).values():
            if isinstance(registry, Registry):
                registry.import_from_location()
                component = registry.module_dict.get(name)
                if component is not None and component not in found:
                    found.append(component)
    return found


def _name(kind: object) -> str:
    return kind if isinstance(kind, str) else getattr(kind, '__name__', repr(kind))


def _slip(key: str, known: set[str]) -> str | None:
    """Return the known key that a name of the config was probably meant to be."""
    if key.startswith('_'):
        return None
    near = difflib.get_close_matches(key, sorted(known), n=1, cutoff=SLIP)
    return near[0] if near else None
