"""Hugging Face's TimeSformer (2102.05095): divided space-time attention, whose weights are ours but for one fold."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from omnivl.models.interfaces import HasParts
from omnivl.registry import WEIGHT_READERS

from .base import WeightReader, part_state
from .keys import SourceTensors, visual_settings
from .timm import PREFIX, fit_space

LAYER = {
    'temporal_layernorm': 'norm_time',
    'temporal_attention.attention.qkv': 'attention_time.qkv',
    'layernorm_before': 'norm_space',
    'attention.attention.qkv': 'attention_space.qkv',
    'attention.output.dense': 'attention_space.proj',
    'layernorm_after': 'norm_mlp',
    'intermediate.dense': 'mlp.fc1',
    'output.dense': 'mlp.fc2',
}
OUTSIDE = {
    'embeddings.cls_token': 'cls_token',
    'embeddings.position_embeddings': 'pos_embed',
    'embeddings.time_embeddings': 'time_embed',
    'embeddings.patch_embeddings.projection.weight': 'image_tokenizer.proj.weight',
    'embeddings.patch_embeddings.projection.bias': 'image_tokenizer.proj.bias',
    'layernorm.weight': 'norm.weight',
    'layernorm.bias': 'norm.bias',
}


@WEIGHT_READERS.register_module(name=['TimeSformerReader', 'timesformer'])
class TimeSformerReader(WeightReader):
    """``TimesformerModel`` or ``TimesformerForVideoClassification`` as ``save_pretrained`` writes them.

    The two linear layers after temporal attention become one, multiplied in float64. The patch embedding, which is 2D
    there, fills the image tokenizer and the centre slice of the video tokenizer; with one token per frame the features
    of a clip are TimeSformer's. Position embeddings of another resolution or number of frames are interpolated.
    Arguments as ``WeightReader``.
    """

    model_types = ('timesformer',)
    unused_by_design = ('classifier.*',)

    def settings(self, config: dict[str, Any], model: HasParts) -> list[tuple[str, Any, Any]]:
        """See ``WeightReader.settings``."""
        kind = ('attention_type', config.get('attention_type', 'divided_space_time'), 'divided_space_time')
        return [kind, *visual_settings(config, model.parts['visual_encoder'], norm_eps=1e-6)]

    def translate(self, weights: dict[str, Tensor], model: HasParts) -> dict[str, Tensor]:
        """See ``WeightReader.translate``."""
        prefix = 'timesformer.' if any(key.startswith('timesformer.') for key in weights) else ''
        source = SourceTensors(weights, None, prefix, 'TimeSformer with divided attention')
        translated = {PREFIX + own: source.pop(name) for name, own in OUTSIDE.items()}
        for index in range(source.count_layers('encoder.layer.')):
            theirs, own = f'encoder.layer.{index}.', f'{PREFIX}blocks.{index}.'
            for kind in ('weight', 'bias'):
                for name, target in LAYER.items():
                    translated[f'{own}{target}.{kind}'] = source.pop(f'{theirs}{name}.{kind}')
            projection = [source.pop(f'{theirs}temporal_attention.output.dense.{kind}') for kind in ('weight', 'bias')]
            second = [source.pop(f'{theirs}temporal_dense.{kind}') for kind in ('weight', 'bias')]
            weight, bias = fold_linear(projection, second)
            translated[f'{own}attention_time.proj.weight'] = weight
            translated[f'{own}attention_time.proj.bias'] = bias
        fit_space(translated, model)
        return translated

    def derived(self, model: HasParts) -> list[str]:
        """List the keys of the video tokenizer."""
        return [key for key in part_state(model) if key.startswith(PREFIX + 'video_tokenizer.')]

    def finish(self, model: HasParts) -> None:
        """Start the video tokenizer from the image tokenizer."""
        model.parts['visual_encoder'].video_tokenizer.inflate_from(model.parts['visual_encoder'].image_tokenizer)


def fold_linear(first: Sequence[Tensor], second: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Fold two linear layers in a row into one: W = W2 W1, b = W2 b1 + b2, computed in float64.

    The first has weight (C, D) and bias (C,), the second (E, C) and (E,). The result, (E, D) and (E,), is of the type
    of the first but at least float32.
    """
    weight, bias = (tensor.to(torch.float64) for tensor in first)
    outer, shift = (tensor.to(torch.float64) for tensor in second)
    kind = torch.promote_types(first[0].dtype, torch.float32)
    return (outer @ weight).to(kind), (outer @ bias + shift).to(kind)
