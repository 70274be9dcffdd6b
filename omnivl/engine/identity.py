"""What a checkpoint says of its own model, as data, and the config that is made of it without running code."""

import atexit
import logging
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from mmengine.config import Config
from mmengine.logging import print_log
from torch import nn

from omnivl.datasets.labels import configured_classes
from omnivl.errors import OmniVLError, OmniVLTypeError, OmniVLValueError
from omnivl.models.interfaces import ChangesForUse, Classifies, HasParts, TakesWeights, offered_by, serving
from omnivl.models.tokenizers import TextTokenizer
from omnivl.registry import MODELS, only_registered
from omnivl.storage.checkpoint import (
    SHARDS,
    CheckpointError,
    LoadOptions,
    LoadReport,
    Patterns,
    find_checkpoints,
    load_checkpoint,
    load_last_checkpoint,
    load_state_dict,
    weights_of,
)
from omnivl.storage.sums import SUMS, check_sums
from omnivl.structures import MODALITIES
from omnivl.weights.base import FOLLOWERS, load_weights
from omnivl.weights.facts import KEY, OF_CONFIG, USE, check_facts, description_of, model_facts, tokenizer_of
from omnivl.weights.folders import CONFIG, CONFIGS, FORMAT, foreign_config, read_content
from omnivl.weights.names import find_model, is_name

from .data_config import checked_data

# Where a tokenizer's ``save`` writes what its option names.
VOCABULARIES = {'vocab_file': 'vocab.txt', 'vocab_folder': '.'}
MAX_VOCABULARY = 32 << 20  # bytes; of a larger one a checkpoint keeps name and checksum
TEST_KEYS = ('test_dataloader', 'test_evaluator', 'test_cfg')
EXPORTED = 'model.safetensors'  # the weights of an exported folder
WEIGHTS = ('.pth', '.pt', '.bin', '.ckpt', '.safetensors')  # how names of checkpoints end
OF_ITSELF = 'the facts that it carries, which this version of omnivl reads otherwise: export it again'


def describe(cfg: Config, model: nn.Module) -> dict[str, Any]:
    """Describe a model for its checkpoint, as plain values.

    Args:
        cfg: The config of its training.
        model: The model.

    Returns:
        ``facts`` (see ``omnivl/weights/facts.py``); ``vocabulary``, the tokenizer's files, name -> content, unless they
        are not there or too large; and ``config``: the model as it is used, the data and the evaluations of its test,
        pipelines, and the names of a classifier's classes. A config that is no data is left out, which a log line says.
    """
    description: dict[str, Any] = dict(facts=model_facts(model))
    try:
        config = described_config(cfg, model)
    except OmniVLTypeError as error:
        print_log(f'Checkpoints of this run will need their config to be used: {error}', 'current')
        return description
    if (tokenizer := tokenizer_of(model)) is not None and (files := _vocabulary_files(tokenizer)):
        description['vocabulary'] = files
    return description | dict(config=config)


def described_config(cfg: Config, model: nn.Module) -> dict[str, Any]:
    """Pick of a config, as plain values, what ``describe`` says; what is no data is an ``OmniVLTypeError``."""
    config = used_parts(cfg)
    config |= plain({key: cfg[key] for key in TEST_KEYS if cfg.get(key) is not None})
    if offered_by(model, Classifies) is not None:
        classes = cfg.get('classes') or configured_classes(cfg.get('test_dataloader'))
        config |= {} if classes is None else dict(classes=list(classes))
    trained_on = cfg.get('trained_on') or sorted(set(_annotation_files(cfg.get('train_dataloader'))))
    made_from = dict(made_from=cfg.made_from) if 'made_from' in cfg else {}
    return config | made_from | (dict(trained_on=list(trained_on)) if trained_on else {})


def own_config(path: str | Path) -> tuple[Config, Path, dict[str, Any]]:
    """Read the config that weights carry; no code of them is run.

    Args:
        path: A checkpoint, or a work directory, whose last one is taken; a folder that ``omnivl export`` wrote, or one
            of a kind of ``FOLDER_KINDS``; or the name or the address on the hub of such a thing (``find_model``).

    Returns:
        The config, which may test but not train, with the vocabulary of the weights, ``load_from`` (the file of
        weights, or for other kinds of folders the reader of them) and the work directory; the file or folder; and what
        a file of ours holds.

    Raises:
        CheckpointError: There is no checkpoint, or it says nothing of its model.
        ConfigError: It names components that are not registered.
    """
    local = find_model(path)
    content: dict[str, Any] = {}
    config: Any = read_content(local) if is_model_folder(local) else None
    if config is not None and config.get('format') != FORMAT:
        file, config = local, dict(foreign_config(local, config), made_from=str(path))
    else:
        file, content = read_weights(local)
        config = description_of(content).get('config')
        if not isinstance(config, dict) or not isinstance(config.get('model'), dict):
            raise CheckpointError(
                f'{file} does not say what its model is: it is of an older omnivl, of another program, or of a config '
                f'that is no plain data. Name its config before it: CONFIG {path}'
            )
        if isinstance(files := description_of(content).get('vocabulary'), dict):
            config = with_vocabulary(config, _unpacked(files, file))
        config = dict(config, load_from=str(file))
    advice = f'Import the project that it comes from first, or name its config before it: CONFIG {path}'
    cfg = checked_data(config, str(file), 'a config', advice)
    # Nothing is written into a folder that is handed on, or into the cache of the hub.
    cfg.work_dir = f'work_dirs/{Path(path).name}' if is_model_folder(local) or is_name(path) else str(file.parent)
    # Momentum encoder and queues are of the training alone.
    cfg.load_options = dict(allow_unexpected=[f'{name}*' for name in FOLLOWERS], allow_differences=False)
    return cfg, file, content


def open_own(path: str | Path) -> tuple[nn.Module, Config]:
    """Build the model of weights that know themselves, in evaluation mode; return it and its ``own_config``."""
    cfg, file, content = own_config(path)
    with only_registered():
        model = MODELS.build(cfg.model)
    if isinstance(cfg.load_from, str):
        load_into(model, content, str(file), LoadOptions(**cfg.load_options), option=OF_ITSELF)
    else:
        load_weights(serving(model, HasParts, 'load_from'), cfg.load_from)
    return model.eval(), cfg


def knows_itself(path: str | Path) -> bool:
    """Say whether a word stands for weights (a file, a folder, a name, an address on the hub) and not for a config."""
    return is_name(path) or Path(path).is_dir() or (Path(path).is_file() and Path(path).suffix in WEIGHTS)


def is_model_folder(path: Path) -> bool:
    """Say whether a path is a folder with one model, and no work directory with checkpoints."""
    return any((path / name).is_file() for name in CONFIGS) and not find_checkpoints(path)


def read_weights(path: str | Path) -> tuple[Path, dict[str, Any]]:
    """Read weights of ours (a file, the last of a work directory, an exported folder): the file and what it holds."""
    path = find_model(path)
    if not path.is_dir() or path.suffix == SHARDS:
        return path, load_checkpoint(path)
    if is_model_folder(path):
        return path / EXPORTED, read_exported(path)
    file, content, _ = load_last_checkpoint(path)
    if file is None or content is None:
        raise CheckpointError(
            f'the folder {path} has no checkpoint (iter_*.pth or epoch_*.pth), and no {CONFIG} of an exported model'
        )
    return file, content


def read_exported(folder: Path) -> dict[str, Any]:
    """Read a folder that ``omnivl export`` wrote, as a checkpoint: its files are what ``SHA256SUMS`` lists.

    A folder of old, which has no list, is read with a warning.
    """
    is_checked = check_sums(folder)
    config = read_content(folder)
    if config.get('format') != FORMAT:
        raise OmniVLValueError(
            f"{folder / CONFIG} does not say format='{FORMAT}': weights of another library have a config of their own, "
            f"or go into another one through their reader, load_from=dict(type='blip', file='{folder}')"
        )
    if not isinstance(config.get('model'), dict):
        raise OmniVLValueError(f'{folder / CONFIG} has no model: export the model again')
    if not is_checked:
        print_log(
            f'{folder} has no {SUMS}, so damage to config and vocabulary is not noticed: export the model again',
            'current',
            logging.WARNING,
        )
    weights = load_checkpoint(folder / EXPORTED, verify=not is_checked)['state_dict']
    facts = config.pop('facts', None)
    config = {key: value for key, value in config.items() if key not in ('format', 'omnivl_version')}
    description = dict(facts=facts, config=with_vocabulary(config, folder))
    return dict(state_dict=weights, meta={KEY: description})


def allowed_differences(cfg: Config) -> Patterns:
    """Return the facts that a config lets differ from those of the weights it starts from."""
    return (cfg.get('load_options') or {}).get('allow_differences', False)


def load_into(
    model: nn.Module,
    content: Mapping[str, Any],
    source: str,
    options: LoadOptions,
    purpose: str = USE,
    option: str = OF_CONFIG,
) -> LoadReport:
    """Fit the weights of a checkpoint to a model and load them; what does not fit, or answers otherwise, is refused.

    ``content`` is what the file ``source`` holds, ``options`` are the differences that are allowed; ``purpose`` and
    ``option`` are those of ``check_facts``.
    """
    weights = dict(weights_of(dict(content), source))
    if (fits := offered_by(model, TakesWeights)) is not None:
        fits.adapt_state_dict(weights)
    check_facts(description_of(content), model, source, options.allow_differences, purpose, option)
    if purpose == USE and options.allow_missing is not True:  # of the training alone, and not in an export
        followers = [f'{name}*' for name in FOLLOWERS]
        options = replace(options, allow_missing=[*(options.allow_missing or ()), *followers])
    return load_state_dict(model, weights, source, options)


def model_class(cfg: Config) -> type:
    """Return the class of a config's model."""
    kind = cfg.model.type
    return cast(type, MODELS.get(kind) if isinstance(kind, str) else kind)


def used_parts(cfg: Config) -> dict[str, Any]:
    """Pick what the use of a model needs of its config, as plain values."""
    changes = offered_by(model_class(cfg), ChangesForUse)
    parts: dict[str, Any] = dict(model=cfg.model if changes is None else changes.for_use(cfg.model))
    loaders = {
        name: dict(dataset=dict(pipeline=loader['dataset']['pipeline']))
        for name, loader in (cfg.get('test_dataloader') or {}).items()
        if 'pipeline' in loader['dataset']
    }
    if loaders:
        evaluators = {name: value for name, value in (cfg.get('test_evaluator') or {}).items() if name in loaders}
        parts |= dict(test_dataloader=loaders, test_evaluator=evaluators)
    pipelines = (f'{modality}_test_pipeline' for modality in MODALITIES)
    parts |= {name: cfg[name] for name in pipelines if name in cfg}
    return plain(parts)


def plain(value: Any, name: str = 'config') -> Any:
    """Turn a config, or the part of one called ``name``, into what JSON holds: dicts, lists, strings and numbers.

    Classes and functions become their full names; what has no such form is an ``OmniVLTypeError``.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item, f'{name}.{key}') for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f'{name}[{index}]') for index, item in enumerate(value)]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, type) or callable(value):
        return f'{value.__module__}.{value.__qualname__}'
    raise OmniVLTypeError(
        f'{name} is a {type(value).__name__}, which has no place in config.json: write it as a plain value'
    )


def with_vocabulary(value: object, folder: Path) -> Any:
    """Copy a config with the path of every vocabulary replaced by that in a folder."""
    if isinstance(value, Mapping):
        return {
            key: str(folder / VOCABULARIES[key]) if key in VOCABULARIES else with_vocabulary(item, folder)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [with_vocabulary(item, folder) for item in value]
    return value


def _annotation_files(value: object) -> Iterator[str]:
    """Yield the annotation files that a part of a config names."""
    value = dict(enumerate(value)) if isinstance(value, list) else value
    for key, item in value.items() if isinstance(value, Mapping) else ():
        if key == 'ann_file':
            yield from map(str, item if isinstance(item, list | tuple) else [item])
        else:
            yield from _annotation_files(item)


def _vocabulary_files(tokenizer: TextTokenizer) -> dict[str, bytes]:
    """Read what a tokenizer saves: name -> content; nothing if it cannot, or it is too large."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            tokenizer.save(Path(folder))
        except (OmniVLError, OSError) as error:
            print_log(f'Checkpoints of this run will not hold the vocabulary: {error}', 'current', logging.WARNING)
            return {}
        files = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir()) if path.is_file()}
    size = sum(map(len, files.values()))
    if size > MAX_VOCABULARY:
        print_log(f'Checkpoints of this run will not hold the vocabulary: it has {size} bytes', 'current')
        return {}
    return files


def _unpacked(files: Mapping[str, Any], source: Path) -> Path:
    """Write the files of a vocabulary into a folder that lives as long as this process."""
    folder = Path(tempfile.mkdtemp(prefix='omnivl-vocabulary-'))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, data in files.items():
        # A name with a folder in it would be written elsewhere.
        if not isinstance(name, str) or not re.fullmatch(r'\w[\w.-]*', name) or not isinstance(data, bytes):
            raise CheckpointError(f'{source} is damaged or not ours: {name!r} is no file of a vocabulary')
        (folder / name).write_bytes(data)
    return folder
