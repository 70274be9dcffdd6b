"""What a checkpoint says of its own model, as data, and the config that is made of it without running code."""

import atexit
import logging
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from mmengine.config import Config
from mmengine.logging import print_log
from torch import nn

from omnivl.datasets.labels import configured_classes
from omnivl.errors import OmniVLError, OmniVLTypeError
from omnivl.models.interfaces import ChangesForUse, Classifies, TakesWeights, offered_by
from omnivl.models.tokenizers import TextTokenizer
from omnivl.registry import MODELS
from omnivl.storage.checkpoint import (
    CheckpointError,
    LoadOptions,
    LoadReport,
    Patterns,
    load_checkpoint,
    load_last_checkpoint,
    load_state_dict,
    weights_of,
)
from omnivl.weights.base import FOLLOWERS
from omnivl.weights.facts import check_facts, description_of, model_facts, tokenizer_of

from .data_config import checked_data

# Where a tokenizer's ``save`` writes what its option names.
VOCABULARIES = {'vocab_file': 'vocab.txt', 'vocab_folder': '.'}
MAX_VOCABULARY = 32 << 20  # bytes; of a larger one a checkpoint keeps name and checksum
TEST_KEYS = ('test_dataloader', 'test_evaluator', 'test_cfg')
WEIGHTS = ('.pth', '.pt', '.bin', '.ckpt', '.safetensors')  # how names of checkpoints end
PIPELINES = ('image_test_pipeline', 'video_test_pipeline')


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
        config = used_parts(cfg)
        config |= plain({key: cfg[key] for key in TEST_KEYS if cfg.get(key) is not None})
    except OmniVLTypeError as error:
        print_log(f'Checkpoints of this run will need their config to be used: {error}', 'current')
        return description
    if offered_by(model, Classifies) is not None:
        classes = configured_classes(cfg.get('test_dataloader'))
        config |= {} if classes is None else dict(classes=classes)
    if (tokenizer := tokenizer_of(model)) is not None and (files := _vocabulary_files(tokenizer)):
        description['vocabulary'] = files
    return description | dict(config=config)


def own_config(path: str | Path) -> tuple[Config, Path, dict[str, Any]]:
    """Read the config that a checkpoint, or the last one of a work directory, carries; no code of it is run.

    Args:
        path: The checkpoint, or the work directory.

    Returns:
        The config, which may test but not train, with the checkpoint's own vocabulary, ``load_from`` and the work
        directory; the file; and what it holds.

    Raises:
        CheckpointError: There is no checkpoint, or it says nothing of its model.
        ConfigError: It names components that are not registered.
    """
    file, content = read_weights(path)
    description = description_of(content)
    config = description.get('config')
    if not isinstance(config, dict) or not isinstance(config.get('model'), dict):
        raise CheckpointError(
            f'{file} does not say what its model is: it is of an older omnivl, of another program, or of a config that '
            f'is no plain data. Name its config before it: CONFIG {path}'
        )
    files = description.get('vocabulary')
    if isinstance(files, dict):
        config = with_vocabulary(config, _unpacked(files, file))
    advice = f'Import the project that it comes from first, or name its config before it: CONFIG {path}'
    cfg = checked_data(config, str(file), 'a config', advice)
    cfg.load_from, cfg.work_dir = str(file), str(file.parent)
    # Momentum encoder and queues are of the training alone.
    cfg.load_options = dict(allow_unexpected=[f'{name}*' for name in FOLLOWERS], allow_differences=False)
    return cfg, file, content


def knows_itself(path: str | Path) -> bool:
    """Say whether a path is a checkpoint or a folder, and not a config."""
    return Path(path).is_dir() or (Path(path).is_file() and Path(path).suffix in WEIGHTS)


def read_weights(path: str | Path) -> tuple[Path, dict[str, Any]]:
    """Read a file of weights, or the last checkpoint of a work directory: its path and what it holds."""
    if not Path(path).is_dir():
        return Path(path), load_checkpoint(path)
    file, content, _ = load_last_checkpoint(path)
    if file is None or content is None:
        raise CheckpointError(f'the folder {path} has no checkpoint (iter_*.pth or epoch_*.pth)')
    return file, content


def allowed_differences(cfg: Config) -> Patterns:
    """Return the facts that a config lets differ from those of the weights it starts from."""
    return (cfg.get('load_options') or {}).get('allow_differences', False)


def load_into(model: nn.Module, content: Mapping[str, Any], source: str, options: LoadOptions) -> LoadReport:
    """Fit the weights of a checkpoint to a model and load them; what does not fit, or answers otherwise, is refused.

    ``content`` is what the file ``source`` holds, ``options`` are the differences that are allowed.
    """
    weights = dict(weights_of(dict(content), source))
    if (fits := offered_by(model, TakesWeights)) is not None:
        fits.adapt_state_dict(weights)
    check_facts(description_of(content), model, source, options.allow_differences)
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
    parts |= {name: cfg[name] for name in PIPELINES if name in cfg}
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
