"""What decides a model's answers beside its weights, and how that of a checkpoint is held against a model."""

import logging
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Any, cast

from mmengine.logging import print_log
from torch import nn

from omnivl.errors import OmniVLError
from omnivl.models.interfaces import (
    HasImageSize,
    HasMatchingToken,
    HasParts,
    HasPrompt,
    HasTokenizer,
    Writes,
    offered_by,
)
from omnivl.models.tokenizers import TextTokenizer
from omnivl.storage.checkpoint import CheckpointError

from .base import pixel_statistics
from .bert import TEXT_MODELS

KEY = 'model'  # of a checkpoint's meta, which holds what it says of its model
# Fact -> the attribute of modules that it is read from, for each part of a model.
OF_PARTS = dict(norm_eps='eps', num_heads='num_heads', activation='activation', time_stride='time_stride')
OF_PARTS |= dict(pool='pool', kind='kind')  # of poolers and text encoders
# Where a difference is allowed; ``{}`` stands for the names of the facts.
OF_CONFIG = 'load_options=dict(allow_differences=[{}]) in the config'
# What may differ, by what the weights are for. A training starts from position embeddings that are fitted on purpose,
# and from the checkpoint of another task; who tests or uses a model at another size gets other figures than it has. A
# run that goes on is the same run.
START, USE, RESUME = 'start', 'use', 'resume'
FITTED: dict[str, tuple[str, ...]] = {START: ('image_size', 'num_frames', 'task'), USE: ('task',), RESUME: ()}


def model_facts(model: nn.Module) -> dict[str, Any]:
    """Collect, as plain values, what no tensor shows and yet decides what a model answers.

    ``task``; ``norm_eps``, ``num_heads``, ``activation``, ``time_stride``, ``pool`` and ``kind`` (of pooling) by part
    (``norm_eps.visual_encoder``);
    ``image_size`` and ``num_frames``, ``pixels`` (mean and std), and of a model of texts ``vocabulary`` (``sha256`` and
    ``name``), ``matching_token`` and ``prompt``. What a model lacks, or whose file is not there, is left out.
    """
    facts: dict[str, Any] = dict(task=type(model).__name__)
    holder = offered_by(model, HasParts)
    parts = {} if holder is None else dict(holder.parts)
    for name, part in parts.items():
        for fact, attribute in OF_PARTS.items():
            found = {getattr(module, attribute, None) for module in part.modules()}
            if values := [value for value in found if isinstance(value, int | float | str)]:
                facts[f'{fact}.{name}'] = sorted(values, key=str)
    encoder = parts.get('visual_encoder')
    if (sized := offered_by(encoder, HasImageSize)) is not None:
        facts['image_size'] = list(sized.image_size)
    if isinstance(frames := getattr(encoder, 'num_frames', None), int):
        facts['num_frames'] = frames
    if encoder is not None and (statistics := pixel_statistics(model)):
        facts['pixels'] = {name: [round(value, 4) for value in values] for name, values in statistics.items()}
    if (tokenizer := tokenizer_of(model)) is not None:
        if (digest := vocabulary_sha256(tokenizer)) is not None:
            facts['vocabulary'] = dict(sha256=digest, name=repr(tokenizer))
        if 'alignment_decoder' in parts and (reader := offered_by(model, HasMatchingToken)) is not None:
            facts['matching_token'] = reader.matching_token
        if (writer := offered_by(model, HasPrompt)) is not None and offered_by(model, Writes) is not None:
            facts['prompt'] = writer.prompt
    return facts


def description_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the content of a checkpoint says of its model; nothing if it says nothing."""
    meta = content.get('meta')
    description = meta.get(KEY) if isinstance(meta, dict) else None
    return description if isinstance(description, dict) else {}


def tokenizer_of(model: nn.Module) -> TextTokenizer | None:
    """Find the tokenizer of a model that holds a part for texts; None where there is none, or no vocabulary for it."""
    holder, has = offered_by(model, HasParts), offered_by(model, HasTokenizer)
    if holder is None or has is None or not set(TEXT_MODELS) & set(holder.parts):
        return None
    try:
        return has.tokenizer
    except (OmniVLError, OSError):  # its first use says so
        return None


def vocabulary_sha256(tokenizer: TextTokenizer) -> str | None:
    """Return the checksum of what decides the ids; None if its files are not there."""
    try:
        return sha256(tokenizer.definition()).hexdigest()
    except (OmniVLError, OSError):
        return None


def check_facts(
    description: object,
    model: nn.Module,
    source: str,
    allowed: bool | Sequence[str] = False,
    purpose: str = START,
    option: str = OF_CONFIG,
) -> None:
    """Refuse weights of a model that would answer otherwise than this one; differences that are meant are logged.

    Facts that both sides have are compared, but for those that may differ: ``FITTED`` has them for each purpose, and a
    prompt may if the task does.

    Args:
        description: What the checkpoint says of its model, ``meta['model']``; a log line says so if it says nothing.
        model: The model, without a distributed wrapper.
        source: Name of the file, for messages.
        allowed: Facts that may differ, by patterns as in ``fnmatch``, with or without the part; True = all.
        purpose: What the weights are for: ``START`` of a training, ``USE`` (test, inference, export) or ``RESUME``.
        option: Where to allow differences, for the message; ``{}`` stands for the names.

    Raises:
        CheckpointError: A fact differs that may not.
    """
    theirs = description.get('facts') if isinstance(description, Mapping) else None
    if not isinstance(theirs, Mapping):
        print_log(f'{source} does not say with which vocabulary and settings it was made: not compared', 'current')
        return
    ours = model_facts(model)
    wrong, names = [], []
    for name, value in ours.items():
        if name not in theirs or _essence(theirs[name]) == _essence(value):
            continue
        text = f'{name} is {_shown(theirs[name])} there and {_shown(value)} here'
        of_task = name == 'prompt' and 'task' in FITTED[purpose] and theirs.get('task') != ours['task']
        if name in FITTED[purpose] or of_task or _is_allowed(name, allowed):
            print_log(f'{source}: {text}', 'current', logging.INFO if name in ('task', 'prompt') else logging.WARNING)
        else:
            wrong.append(text)
            names.append(name.split('.')[0])
    if wrong:
        quoted = ', '.join(map(repr, dict.fromkeys(names)))
        raise CheckpointError(
            f'{source} is of a model that answers otherwise, nothing was loaded: {"; ".join(wrong)}. To use '
            'the model leave the config out, it carries its own; else set the model of the config as it is there, or '
            f'allow the difference with {option.format(quoted)}'
        )


def _is_allowed(name: str, allowed: bool | Sequence[str]) -> bool:
    if isinstance(allowed, bool):
        return allowed
    patterns = [allowed] if isinstance(allowed, str) else allowed
    return any(fnmatchcase(one, pattern) for pattern in patterns for one in (name, name.split('.')[0]))


def _essence(value: Any) -> Any:
    """Return what is compared of a fact: of a vocabulary its checksum, wherever it lies."""
    return value.get('sha256', value) if isinstance(value, Mapping) else value


def _shown(value: Any) -> str:
    if isinstance(value, Mapping) and 'sha256' in value:
        return f'{value.get("name")} (SHA-256 {str(value["sha256"])[:12]}...)'
    return repr(cast(object, value[0] if isinstance(value, list) and len(value) == 1 else value))
