"""CLIP: its vision tower, in the layout of Hugging Face or OpenAI, as the start of a visual encoder."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.models.interfaces import HasParts
from omnivl.registry import WEIGHT_READERS

from .keys import SourceTensors, visual_settings
from .timm import PREFIX, ImageReader, fit_space

# Theirs -> plain names, of both layouts; a plain name of one block stands behind ``blocks.0.``.
HUGGING_FACE_LAYER = {
    'layer_norm1': 'norm1',
    'self_attn.out_proj': 'proj',
    'layer_norm2': 'norm2',
    'mlp.fc1': 'fc1',
    'mlp.fc2': 'fc2',
}
HUGGING_FACE_OUTSIDE = {
    'embeddings.patch_embedding.weight': 'patches',
    'embeddings.class_embedding': 'cls',
    'embeddings.position_embedding.weight': 'positions',
    'pre_layrnorm.weight': 'pre_norm.weight',  # their spelling
    'pre_layrnorm.bias': 'pre_norm.bias',
    'post_layernorm.weight': 'norm.weight',
    'post_layernorm.bias': 'norm.bias',
}
OPENAI_LAYER = {'ln_1': 'norm1', 'attn.out_proj': 'proj', 'ln_2': 'norm2', 'mlp.c_fc': 'fc1', 'mlp.c_proj': 'fc2'}
OPENAI_OUTSIDE = {
    'conv1.weight': 'patches',
    'class_embedding': 'cls',
    'positional_embedding': 'positions',
    'ln_pre.weight': 'pre_norm.weight',
    'ln_pre.bias': 'pre_norm.bias',
    'ln_post.weight': 'norm.weight',
    'ln_post.bias': 'norm.bias',
}
LAYER = {
    'norm1': 'norm_space',
    'qkv': 'attention_space.qkv',
    'proj': 'attention_space.proj',
    'norm2': 'norm_mlp',
    'fc1': 'mlp.fc1',
    'fc2': 'mlp.fc2',
}
OPENAI_BLOCKS = 'transformer.resblocks.'
TEXT_TOWER = (
    'text_model.*',
    'transformer.*',
    'token_embedding.weight',
    'positional_embedding',
    'ln_final.*',
    'text_projection*',
    'visual_projection.weight',
    'visual.proj',
    'logit_scale',
    '*embeddings.position_ids',
    'input_resolution',
    'context_length',
    'vocab_size',
)


def take_tower(weights: dict[str, Tensor], last_norm: bool = True) -> dict[str, Tensor]:
    """Take CLIP's vision tower out of a state dict, in the layout of Hugging Face, or of OpenAI and open_clip.

    Args:
        weights: The state dict, or that of the tower alone; what is used is taken out.
        last_norm: Whether to take the norm after the last block, too, or leave it there.

    Returns:
        By plain names: ``patches`` (D, 3, h, w), ``cls`` (1, 1, D), ``positions`` (1, 1 + P, D), ``pre_norm`` and
        ``norm``, and of each block ``blocks.0.norm1``, ``qkv``, ``proj``, ``norm2``, ``fc1`` and ``fc2``, each with
        ``.weight`` and ``.bias``.

    Raises:
        OmniVLValueError: It is no such tower.
    """
    prefix = next((prefix for prefix in ('visual.', '') if f'{prefix}{OPENAI_BLOCKS}0.ln_1.weight' in weights), None)
    outside, blocks, layer = OPENAI_OUTSIDE, OPENAI_BLOCKS, OPENAI_LAYER
    qkv = ['attn.in_proj_{}']
    if prefix is None or f'{prefix}conv1.weight' not in weights:
        prefix = 'vision_model.' if any(key.startswith('vision_model.') for key in weights) else ''
        outside, blocks, layer = HUGGING_FACE_OUTSIDE, 'encoder.layers.', HUGGING_FACE_LAYER
        qkv = [f'self_attn.{name}_proj.{{}}' for name in 'qkv']
    source = SourceTensors(weights, None, prefix, 'vision tower of CLIP')
    wanted = {name: own for name, own in outside.items() if last_norm or not own.startswith('norm.')}
    tower = {own: source.pop(name) for name, own in wanted.items()}
    tower |= {'cls': tower['cls'].view(1, 1, -1), 'positions': tower['positions'].flatten(0, -2)[None]}
    for index in range(source.count_layers(blocks)):
        for kind in ('weight', 'bias'):
            parts = [source.pop(f'{blocks}{index}.{name.format(kind)}') for name in qkv]
            tower[f'blocks.{index}.qkv.{kind}'] = torch.cat(parts)
            for name, own in layer.items():
                tower[f'blocks.{index}.{own}.{kind}'] = source.pop(f'{blocks}{index}.{name}.{kind}')
    return tower


def place(name: str, layer: Mapping[str, str]) -> str:
    """Give our name for a plain one of ``take_tower``; ``layer`` maps those of a block, others stay."""
    if not name.startswith('blocks.'):
        return name
    blocks, index, inner, kind = name.split('.')
    return f'{blocks}.{index}.{layer[inner]}.{kind}'


@WEIGHT_READERS.register_module(name=['CLIPVisionReader', 'clip'])
class CLIPVisionReader(ImageReader):
    """The vision tower of ``CLIPModel``, ``CLIPVisionModel`` or ``CLIPVisionModelWithProjection``, or in OpenAI's keys.

    The encoder must be CLIP's: ``visual_encoder = dict(pre_norm=True, activation='quick_gelu', norm_eps=1e-5)``. Text
    tower and projections have no place here: the text models are BERTs, and the shared space is another one. The video
    path starts from the image path. Arguments as ``WeightReader``.
    """

    model_types = ('clip', 'clip_vision_model')
    unused_by_design = TEXT_TOWER

    def settings(self, config: dict[str, Any], model: HasParts) -> list[tuple[str, Any, Any]]:
        """See ``WeightReader.settings``."""
        tower = dict(config.get('vision_config', config))
        tower.setdefault('hidden_act', 'quick_gelu')
        return visual_settings(tower, model.parts['visual_encoder'], norm_eps=1e-5)

    def translate(self, weights: dict[str, Tensor], model: HasParts) -> dict[str, Tensor]:
        """See ``WeightReader.translate``."""
        if not isinstance(model.parts['visual_encoder'].pre_norm, nn.LayerNorm):
            raise OmniVLValueError(
                "CLIP has a layer norm before its first block: set pre_norm=True, activation='quick_gelu' and "
                'norm_eps=1e-5 of model.trunk.visual_encoder'
            )
        tower = take_tower(weights)
        patches = tower.pop('patches')
        translated = {
            'cls_token': tower.pop('cls'),
            'pos_embed': tower.pop('positions'),
            'image_tokenizer.proj.weight': patches,
            'image_tokenizer.proj.bias': patches.new_zeros(len(patches)),  # CLIP's convolution has none
        }
        translated |= {place(name, LAYER): value for name, value in tower.items()}
        translated = {PREFIX + key: value for key, value in translated.items()}
        fit_space(translated, model)
        return translated
