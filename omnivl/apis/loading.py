"""A model with its preprocessing and the protocols of its evaluations, from what knows itself or from a config."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from mmengine.config import Config
from torch import nn

from omnivl.datasets.labels import configured_classes
from omnivl.datasets.transforms import TokenizeText
from omnivl.engine import read_config
from omnivl.engine.config import share_tokenizer
from omnivl.engine.identity import load_into, open_own, read_weights
from omnivl.errors import OmniVLFileNotFoundError, OmniVLValueError
from omnivl.evaluation import Evaluation
from omnivl.models.interfaces import Classifies, HasParts, offered_by, serving
from omnivl.places import find_config
from omnivl.registry import EVALUATIONS, MODELS, TRANSFORMS, only_registered
from omnivl.storage.checkpoint import LoadOptions
from omnivl.structures import MODALITIES
from omnivl.weights import load_weights
from omnivl.weights.names import NAMED, find_model, is_name

from .card import read_results
from .preparation import loaded_by

Protocol = TypeVar('Protocol', bound=Evaluation)
CONFIG_SUFFIXES = ('.py', '.json', '.yaml', '.yml')


@dataclass
class LoadedModel:
    """What an inferencer works with.

    Attributes:
        model: In ``eval()`` mode, on its device.
        pipelines: Modality -> the transforms of its test pipeline.
        evaluations: (modality, protocol) of each evaluation of the config, in its order.
        config: What it was built from.
        classes: Names of the classes of a classifier's head, if they are known.
        results: The ``metrics.json`` of its test, if it lies beside the weights.
    """

    model: nn.Module
    pipelines: dict[str, list[Any]]
    evaluations: list[tuple[str, Evaluation]]
    config: Config
    classes: list[str] | None = None
    results: dict[str, Any] | None = None

    def evaluation(self, kind: type[Protocol], modality: str | None = None) -> Protocol | None:
        """Find the first protocol of a kind, if the config has one; for ``modality`` if that is given."""
        for of_modality, evaluation in self.evaluations:
            if isinstance(evaluation, kind) and modality in (None, of_modality):
                return evaluation
        return None


def load_model(
    folder_or_config: str | Path | Config, checkpoint: str | Path | Mapping | None, device: str | torch.device | None
) -> LoadedModel:
    """Build a model and load its weights; what does not fit is an error.

    Args:
        folder_or_config: What knows itself, see ``own_config``: a checkpoint, a work directory, whose last checkpoint
            is taken, a folder that ``omnivl export`` wrote or one of BLIP, a name or an address on the hub of these; or
            the path of a config, or a config.
        checkpoint: For a config: file of weights, a work directory, whose last checkpoint is taken, an exported folder,
            or the config of a reader of weights.
        device: Where the model goes; None = the GPU if there is one.

    Returns:
        The model and what belongs to it.

    Raises:
        OmniVLFileNotFoundError: There is no such file.
        CheckpointError: The weights do not fit, are broken, or would run code.
        OmniVLValueError: The config has no test pipeline, or the checkpoint is missing.
    """
    device = check_device(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
    if isinstance(folder_or_config, str | Path) and Path(folder_or_config).suffix not in CONFIG_SUFFIXES:
        name = folder_or_config
        if checkpoint is None and (is_name(name) or Path(name).exists()):
            model, cfg = open_own(name)
            with only_registered():
                protocols = read_protocols(cfg)
            return LoadedModel(model.to(device), *protocols, cfg, cfg.get('classes'), read_results(find_model(name)))
        if is_name(name) or Path(name).is_dir():
            raise OmniVLValueError(f'{name} has weights of its own; a checkpoint goes with a config')
    if isinstance(folder_or_config, Config):
        cfg = copy.deepcopy(folder_or_config)
        share_tokenizer(cfg)
    else:
        cfg = read_model_config(folder_or_config)
    if checkpoint is None:
        raise OmniVLValueError(f'the config {cfg.filename} alone has no weights: give a checkpoint too')
    pipelines, evaluations = read_protocols(cfg)
    model = MODELS.build(cfg.model)
    results = None
    if isinstance(checkpoint, Mapping):
        load_weights(serving(model, HasParts, 'load_from'), dict(checkpoint))
    else:
        file, content = read_weights(checkpoint)
        load_into(model, content, str(file), LoadOptions(**cfg.get('load_options', {})))
        results = read_results(file)
    has_classes = offered_by(model, Classifies) is not None
    classes = configured_classes(cfg.get('test_dataloader')) if has_classes else None
    return LoadedModel(model.to(device).eval(), pipelines, evaluations, cfg, classes, results)


def check_device(device: str | torch.device) -> torch.device:
    """Return a device that this machine has; any other is an ``OmniVLValueError``."""
    count = torch.cuda.device_count()
    here = ', '.join(['cpu', *(f'cuda:{number}' for number in range(count))])
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise OmniVLValueError(
            f'device={str(device)!r} is none; this machine has {here} (--device cpu, cuda:0)'
        ) from error
    if found.type == 'cuda' and (found.index or 0) >= count:
        raise OmniVLValueError(f'device={str(device)!r}, but torch sees {count} GPUs; this machine has {here}')
    return found


def read_model_config(path: str | Path, trust_code: bool = False) -> Config:
    """Read a config, see ``read_config``.

    It is an ``OmniVLFileNotFoundError`` if there is none, an ``OmniVLValueError`` if the file is none.
    """
    path = find_config(path)
    if not path.is_file():
        raise OmniVLFileNotFoundError(
            f'there is no config {path}, and no model: give a file, a folder, hf://owner/name or one of '
            f'{", ".join(NAMED)}'
        )
    if path.suffix not in CONFIG_SUFFIXES:
        raise OmniVLValueError(
            f'{path} is no config ({", ".join(CONFIG_SUFFIXES)}); a checkpoint is the second argument'
        )
    cfg = read_config(path, trust_code)
    if cfg.get('model') is None:
        raise OmniVLValueError(f'the config {path} has no model')
    return cfg


def read_protocols(cfg: Config) -> tuple[dict[str, list[Any]], list[tuple[str, Evaluation]]]:
    """Build the test pipelines and evaluations of a config.

    The pipelines are those of ``test_dataloader``, then ``val_dataloader``, then the names ``image_test_pipeline``,
    ``video_test_pipeline`` and so on: what ``omnivl test`` uses goes first. None at all is an ``OmniVLValueError``.

    The result: modality -> built pipeline, and (modality, built evaluation) of each evaluation of the test.
    """
    pipelines: dict[str, list[Any]] = {}
    modalities: dict[str, str] = {}
    for role in ('test_dataloader', 'val_dataloader'):
        for name, loader in (cfg.get(role) or {}).items():
            if not isinstance(loader, Mapping) or 'pipeline' not in loader.get('dataset', {}):
                continue
            pipeline = build_pipeline(loader['dataset']['pipeline'])
            modality = modality_of(pipeline)
            if modality is not None:
                modalities.setdefault(name, modality)
                pipelines.setdefault(modality, pipeline)
    for modality in MODALITIES:
        if modality not in pipelines and f'{modality}_test_pipeline' in cfg:
            steps = cfg[f'{modality}_test_pipeline']
            if any(class_of(step) is TokenizeText and not step.get('tokenizer') for step in steps):
                # A base names it with texts, for which this model has no tokenizer.
                steps = [step for step in steps if not getattr(class_of(step), 'text_only', False)]
            pipelines[modality] = build_pipeline(steps)
    if not pipelines:
        raise OmniVLValueError(
            f'the config {cfg.filename} has no test pipeline: define test_dataloader or '
            + ' or '.join(f'{modality}_test_pipeline' for modality in MODALITIES)
        )
    evaluations = [
        (modalities[name], EVALUATIONS.build(config))
        for name, config in (cfg.get('test_evaluator') or {}).items()
        if name in modalities
    ]
    return pipelines, evaluations


def class_of(step: Mapping[str, Any]) -> Any:
    """Find the class of a transform's config."""
    return TRANSFORMS.get(step['type']) if isinstance(step['type'], str) else step['type']


def build_pipeline(configs: Any) -> list[Any]:
    """Build the transforms of a pipeline."""
    return [TRANSFORMS.build(step) for step in configs]


def modality_of(pipeline: list[Any]) -> str | None:
    """Tell what a pipeline loads first, by the loaders of the table of modalities; None if that cannot be told."""
    return next((found.name for step in pipeline if (found := loaded_by(step)) is not None), None)
