"""What omnivl convert does: build a model, fill it from other weights, write it."""

import argparse
from pathlib import Path
from typing import Any

import torch

from omnivl.engine.command_line import read_changed_config
from omnivl.engine.identity import describe, is_model_folder
from omnivl.errors import OmniVLValueError
from omnivl.registry import MODELS, WEIGHT_READERS
from omnivl.storage import save_checkpoint
from omnivl.storage.checkpoint import save_weights
from omnivl.version import __version__
from omnivl.weights import load_weights
from omnivl.weights.facts import KEY
from omnivl.weights.names import find_model

from ..options import READERS


def convert(arguments: argparse.Namespace) -> None:
    """Build the model, fill it, write it; a table per source says what became of every key."""
    out = Path(arguments.out)
    if out.suffix not in ('.pth', '.safetensors'):
        raise OmniVLValueError(f'--out must end in .pth or .safetensors, got {out}')
    if arguments.config is None:
        own = [path for name, path in arguments.sources if name == 'stage' or is_model_folder(find_model(path))]
        if not own:
            raise OmniVLValueError('weights of others do not say which model they are for: give --config')
        arguments.config = own[0]
    cfg = read_changed_config(arguments)  # a config of a project imports the readers of that project
    for name, _ in arguments.sources:
        if WEIGHT_READERS.get(name) is None:
            raise OmniVLValueError(
                f'--from {name}: there is no such reader, there are {", ".join(READERS)}, and those of the project of '
                'the config'
            )
    sources = [dict(type=name, file=path, allow=arguments.allow) for name, path in arguments.sources]
    torch.manual_seed(arguments.seed)
    model = MODELS.build(cfg.model)
    reports = load_weights(model, sources, show=print)
    out.parent.mkdir(parents=True, exist_ok=True)
    weights = model.state_dict()
    meta: dict[str, Any] = dict(omnivl_version=__version__, sources=[report.source for report in reports])
    meta[KEY] = describe(cfg, model)
    if out.suffix == '.pth':
        save_checkpoint(dict(state_dict=weights, meta=meta), out)
    else:
        # Every name of a shared tensor gets values of its own: the format has no sharing.
        save_weights({key: value.clone() for key, value in weights.items()}, out, meta)
    print(f'written to {out}')
