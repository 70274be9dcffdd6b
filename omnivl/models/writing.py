"""Writing texts about visuals with any model that can, by the searches of ``generation.py``."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .generation import GenerationOutput, beam_search, greedy, nucleus
from .interfaces import Writes

# Ways of writing, and the options of each.
METHODS: dict[str, tuple[Callable[..., GenerationOutput], frozenset[str]]] = {
    'greedy': (greedy, frozenset({'repetition_penalty'})),
    'beam': (beam_search, frozenset({'num_beams', 'length_penalty', 'lengths', 'repetition_penalty'})),
    'nucleus': (nucleus, frozenset({'top_p', 'top_k', 'temperature', 'repetition_penalty', 'seed'})),
}


def write_texts(
    model: Writes,
    visual_tokens: Tensor,
    methods: Mapping[str, Mapping[str, Any]],
    prompt: str | None = None,
    max_length: int = 20,
    min_length: int = 0,
    generators: Mapping[str, torch.Generator | Sequence[torch.Generator]] | None = None,
) -> dict[str, list[tuple[str, float]]]:
    """Write a text about each visual with each method; keys and values of the visuals are made once.

    Args:
        model: The model.
        visual_tokens: From ``encode``, float (B, S, D).
        methods: Name -> options, see ``METHODS``; ``seed`` is left to ``generators``.
        prompt: Words that texts begin with; given, not generated, and not part of the result. None = the model's own.
        max_length: Most tokens to generate, the closing one included.
        min_length: Tokens before a text may end.
        generators: Source of the draws, by method; one, or one for each visual.

    Returns:
        Method -> the B texts, each with its score, see ``GenerationOutput``.
    """
    writing = model.begin_writing(visual_tokens, prompt)
    written = {}
    for method, options in methods.items():
        options = {option: value for option, value in options.items() if option != 'seed'}
        if generators and method in generators:
            options['generator'] = generators[method]
        output = METHODS[method][0](writing, max_length, min_length, **options)
        written[method] = list(zip(map(model.tokenizer.decode, output.ids), output.scores.tolist()))
    return written
