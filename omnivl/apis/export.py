"""A trained model as a folder of plain files that are read without a runner."""

import copy
import json
import logging
from pathlib import Path
from typing import Any, cast

from mmengine.config import Config
from mmengine.logging import print_log
from torch import Tensor, nn

from omnivl.datasets.labels import configured_classes
from omnivl.engine.config import share_tokenizer
from omnivl.engine.identity import (
    allowed_differences,
    load_into,
    model_class,
    read_weights,
    used_parts,
    with_vocabulary,
)
from omnivl.errors import OmniVLFileNotFoundError, OmniVLTypeError, OmniVLValueError
from omnivl.models.interfaces import Classifies, HasImageSize, HasParts, HasTokenizer, offered_by
from omnivl.registry import MODELS, only_registered
from omnivl.storage.checkpoint import (
    LoadOptions,
    Patterns,
    find_checkpoints,
    load_checkpoint,
    load_state_dict,
    save_weights,
    weights_of,
)
from omnivl.storage.files import write_json
from omnivl.storage.sums import SUMS, check_sums, write_sums
from omnivl.version import __version__
from omnivl.weights.base import FOLLOWERS, pixel_statistics
from omnivl.weights.facts import check_facts, model_facts

WEIGHTS, CONFIG, PIXELS = 'model.safetensors', 'config.json', 'preprocessor_config.json'
FORMAT = 'omnivl'


def export_folder(cfg: Config, checkpoint: str | Path, folder: str | Path) -> nn.Module:
    """Write a model for those who only use it.

    A pretraining model becomes its trunk, without losses, momentum encoder and queues. The folder holds
    ``model.safetensors`` (shared weights once), ``config.json`` (model, test pipelines and evaluations, with the
    vocabulary's path relative to the folder, and the names of a classifier's classes if the annotations of its test are
    there, and the ``facts`` of ``omnivl/weights/facts.py``), the tokenizer's files, ``preprocessor_config.json`` (pixel
    statistics) and ``SHA256SUMS`` of all of them.

    Args:
        cfg: The config that the checkpoint was trained with, or the one that it carries (``own_config``).
        checkpoint: A checkpoint, or a work directory, whose last checkpoint is then taken.
        folder: Where to write; made if need be.

    Returns:
        The model that was written.

    Raises:
        OmniVLFileNotFoundError: The checkpoint or the vocabulary is missing.
        CheckpointError: The checkpoint is broken or does not fit the config.
    """
    if offered_by(kind := model_class(cfg), HasParts) is None:
        raise OmniVLTypeError(f'model is a {kind.__name__}, which does not say what its parts are (HasParts)')
    cfg = copy.deepcopy(cfg)
    share_tokenizer(cfg)
    config = dict(format=FORMAT, omnivl_version=__version__, **used_parts(cfg))
    model = load_for_use(config['model'], checkpoint, allowed_differences(cfg))
    if offered_by(model, Classifies) is not None:
        classes = cfg.get('classes') or configured_classes(cfg.get('test_dataloader'))
        config |= {} if classes is None else dict(classes=classes)
    config['facts'] = model_facts(model)
    write_folder(model, unique_weights(model), with_vocabulary(config, Path()), Path(folder))
    return model


def write_folder(model: nn.Module, weights: dict[str, Tensor], config: dict[str, Any], folder: Path) -> None:
    """Write weights and config of a model, with its tokenizer's files and what it expects of pixels."""
    has = offered_by(model, HasTokenizer)
    tokenizer = None if has is None else has.tokenizer  # an error that says how to make one if there is no vocabulary
    folder.mkdir(parents=True, exist_ok=True)
    if tokenizer is not None:
        tokenizer.save(folder)
    sha256 = save_weights(weights, folder / WEIGHTS)
    write_json(folder / CONFIG, config)
    _write_pixels(cast(HasParts, model), folder)
    write_sums(folder, {WEIGHTS: sha256})


def load_exported(folder: str | Path) -> tuple[nn.Module, Config]:
    """Read a folder that ``export_folder`` wrote; it may name registered components only, and no code of its own.

    Every file is compared with ``SHA256SUMS``; a folder of old, which has none, is read with a warning.

    Args:
        folder: The folder; it may have been moved.

    Returns:
        The model in evaluation mode, and the config: ``model``, ``test_dataloader`` (pipelines only),
        ``test_evaluator``, ``image_test_pipeline``, ``video_test_pipeline``, as far as the model was trained with them.

    Raises:
        OmniVLFileNotFoundError: A file of the folder is missing.
        CheckpointError: The weights do not fit, or a file is damaged.
        OmniVLValueError: It is not a folder of ours, or names a component that is not registered.
    """
    is_checked = check_sums(Path(folder))
    config = read_exported_config(folder)
    if not is_checked:
        print_log(
            f'{folder} has no {SUMS}, so damage to config and vocabulary is not noticed: export the model again',
            'current',
            logging.WARNING,
        )
    with only_registered():
        model = MODELS.build(config.model)
    path = Path(folder) / WEIGHTS
    weights = dict(weights_of(load_checkpoint(path, verify=not is_checked), str(path)))
    names: dict[int, list[str]] = {}
    for key, value in model.state_dict(keep_vars=True).items():
        names.setdefault(id(value), []).append(key)
    for keys in names.values():  # the other names of shared weights
        stored = next((key for key in keys if key in weights), None)
        if stored is not None:
            weights |= dict.fromkeys(keys, weights[stored])
    check_facts(dict(facts=config.get('facts')), model, str(folder), option=f'the facts of {CONFIG}: export it again')
    load_state_dict(model, weights, str(path))
    return model.eval(), config


def read_exported_config(folder: str | Path) -> Config:
    """Read the config of a folder that ``export_folder`` wrote, with the path of the vocabulary in this folder.

    A folder without ``config.json`` is an ``OmniVLFileNotFoundError``, one that is not ours an ``OmniVLValueError``.
    """
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise OmniVLFileNotFoundError(f'{folder} has no {CONFIG}: it is no folder that tools/export_weights.py wrote')
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise OmniVLValueError(f'{path} is no JSON file ({error}): export the model again') from error
    if not isinstance(content, dict) or content.get('format') != FORMAT:
        raise OmniVLValueError(f"{path} does not say format='{FORMAT}': it is not of tools/export_weights.py")
    if not isinstance(content.get('model'), dict):
        raise OmniVLValueError(f'{path} has no model: export the model again')
    return Config(with_vocabulary(content, Path(folder)), filename=str(path))


def load_for_use(
    model_config: dict[str, Any], checkpoint: str | Path, allow_differences: Patterns = False
) -> nn.Module:
    """Build a model and load what of a checkpoint belongs to it: momentum encoder and queues do not.

    Args:
        model_config: Config of the model, see ``ChangesForUse``.
        checkpoint: A checkpoint, or a work directory, whose last checkpoint is then taken.
        allow_differences: See ``LoadOptions``.

    Returns:
        The model in evaluation mode.

    Raises:
        OmniVLFileNotFoundError: There is no such checkpoint.
        CheckpointError: It is broken or does not fit.
    """
    path, content = read_weights(checkpoint)
    model = MODELS.build(model_config)
    followers = [f'{name}*' for name in FOLLOWERS]
    options = LoadOptions(allow_unexpected=followers, allow_differences=allow_differences)
    load_into(model, content, str(path), options)
    return model.eval()


def is_exported(path: str | Path) -> bool:
    """Say whether a path is a folder that is no work directory with checkpoints."""
    return Path(path).is_dir() and not find_checkpoints(path)


def unique_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the state dict with shared weights under their first name only, without what follows other weights."""
    seen: set[int] = set()
    weights = {}
    for key, value in model.state_dict(keep_vars=True).items():
        if id(value) not in seen and not key.startswith(FOLLOWERS):
            weights[key] = value.detach()
        seen.add(id(value))
    return weights


def _write_pixels(model: HasParts, folder: Path) -> None:
    """Write what the model expects of pixels, under Hugging Face's names, as ``preprocessor_config.json``."""
    statistics = pixel_statistics(model)
    encoder = offered_by(model.parts['visual_encoder'], HasImageSize)
    size = {} if encoder is None else dict(zip(('height', 'width'), encoder.image_size))
    content = dict(
        image_processor_type='BlipImageProcessor',
        do_normalize=True,
        do_rescale=True,
        rescale_factor=1 / 255,
        **{f'image_{name}': values for name, values in statistics.items()},
        **(dict(do_resize=True, size=size) if size else {}),
    )
    write_json(folder / PIXELS, content)
