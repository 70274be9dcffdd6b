"""A trained model as a folder of plain files that are read without a runner."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from mmengine.config import Config
from torch import Tensor, nn

from omnivl.engine.config import share_tokenizer
from omnivl.engine.identity import (
    EXPORTED,
    allowed_differences,
    describe,
    described_config,
    load_into,
    model_class,
    open_own,
    read_weights,
    used_parts,
    with_vocabulary,
)
from omnivl.errors import OmniVLTypeError
from omnivl.models.interfaces import HasImageSize, HasParts, HasTokenizer, offered_by
from omnivl.registry import MODELS
from omnivl.storage.checkpoint import LoadOptions, Patterns, save_weights
from omnivl.storage.files import write_json, write_text
from omnivl.storage.sums import write_sums
from omnivl.version import __version__
from omnivl.weights.base import FOLLOWERS, load_weights, pixel_statistics
from omnivl.weights.facts import KEY, tokenizer_of
from omnivl.weights.folders import CONFIG, FORMAT, PIXELS, read_content
from omnivl.weights.names import find_model

from .card import CARD, RESULTS, model_card, read_results


def export_folder(cfg: Config, checkpoint: str | Path | Mapping, folder: str | Path, **card: Any) -> nn.Module:
    """Write a model for those who only use it.

    A pretraining model becomes its trunk, without losses, momentum encoder and queues. The folder holds
    ``model.safetensors`` (shared weights once, and in its metadata all that the other files say of the model, so that
    it does alone, too), ``config.json`` (model, test pipelines and evaluations, the data of the test, with the
    vocabulary's path relative to the folder, and the names of a classifier's classes if the annotations of its test are
    there, and the ``facts`` of ``omnivl/weights/facts.py``), the tokenizer's files, ``preprocessor_config.json`` (pixel
    statistics), ``README.md`` (a model card) and ``SHA256SUMS`` of all of them.

    Args:
        cfg: The config that the checkpoint was trained with, or the one that it carries (``own_config``).
        checkpoint: See ``load_for_use``.
        folder: Where to write; made if need be.
        **card: Options of ``model_card``.

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
    model = load_for_use(used_parts(cfg)['model'], checkpoint, allowed_differences(cfg))
    results = None if isinstance(checkpoint, Mapping) else read_results(find_model(checkpoint))
    save_model(model, cfg, folder, results, **card)
    return model


def save_model(
    model: nn.Module, cfg: Config, folder: str | Path, results: Mapping[str, Any] | None = None, **card: Any
) -> None:
    """Write a model that is ready for use, as ``export_folder`` does, with the ``metrics.json`` of its test.

    What is no plain data in its config is an ``OmniVLTypeError``; ``card`` are options of ``model_card``.
    """
    # Whoever gets the folder need not know where the vocabulary lay here.
    description = dict(describe(cfg, model), config=with_vocabulary(described_config(cfg, model), Path()))
    if 'vocabulary' in description['facts']:
        description['facts']['vocabulary']['name'] = type(tokenizer_of(model)).__name__
    config = dict(format=FORMAT, omnivl_version=__version__, **description['config'], facts=description['facts'])
    notes = {CARD: model_card(config, results, **card)}
    if results is not None:
        notes[RESULTS] = json.dumps(results, indent=1) + '\n'
    write_folder(model, unique_weights(model), config, Path(folder), notes, {KEY: description})


def write_folder(
    model: nn.Module,
    weights: dict[str, Tensor],
    config: dict[str, Any],
    folder: Path,
    notes: Mapping[str, str] | None = None,
    meta: dict[str, Any] | None = None,
) -> None:
    """Write weights, with their ``meta``, and config of a model, its tokenizer's files, and what it expects of pixels.

    ``notes`` are further files, name -> text.
    """
    has = offered_by(model, HasTokenizer)
    tokenizer = None if has is None else has.tokenizer  # an error that says how to make one if there is no vocabulary
    folder.mkdir(parents=True, exist_ok=True)
    if tokenizer is not None:
        tokenizer.save(folder)
    sha256 = save_weights(weights, folder / EXPORTED, meta)
    write_json(folder / CONFIG, config)
    _write_pixels(cast(HasParts, model), folder)
    for name, text in (notes or {}).items():
        write_text(folder / name, text)
    write_sums(folder, {EXPORTED: sha256})


def load_exported(folder: str | Path) -> tuple[nn.Module, Config]:
    """Read a folder that ``export_folder`` wrote, or one of a kind of ``FOLDER_KINDS``; see ``open_own``.

    It may have been moved, names registered components only, and is held to its ``SHA256SUMS``. The result is the
    model, in evaluation mode, and its config. A folder without a model is an ``OmniVLFileNotFoundError``.
    """
    read_content(Path(folder))  # of a folder without a model this says so
    return open_own(folder)


def load_for_use(
    model_config: dict[str, Any], checkpoint: str | Path | Mapping, allow_differences: Patterns = False
) -> nn.Module:
    """Build a model and load what of a checkpoint belongs to it: momentum encoder and queues do not.

    Args:
        model_config: Config of the model, see ``ChangesForUse``.
        checkpoint: A checkpoint, a work directory, whose last checkpoint is then taken, or an exported folder; or the
            config of a reader of weights.
        allow_differences: See ``LoadOptions``.

    Returns:
        The model in evaluation mode.

    Raises:
        OmniVLFileNotFoundError: There is no such checkpoint.
        CheckpointError: It is broken or does not fit.
    """
    if isinstance(checkpoint, Mapping):
        model = MODELS.build(model_config)
        load_weights(model, dict(checkpoint))
        return model.eval()
    path, content = read_weights(checkpoint)
    model = MODELS.build(model_config)
    followers = [f'{name}*' for name in FOLLOWERS]
    options = LoadOptions(allow_unexpected=followers, allow_differences=allow_differences)
    load_into(model, content, str(path), options)
    return model.eval()


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
