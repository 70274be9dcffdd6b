"""Hugging Face's CLIP: its vision tower as the start of the visual encoder."""

from typing import Any

import torch
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.models.interfaces import HasParts
from omnivl.registry import WEIGHT_READERS

from .keys import SourceTensors, visual_settings
from .timm import PREFIX, ImageReader, fit_space

LAYER = {
    'layer_norm1': 'norm_space',
    'self_attn.out_proj': 'attention_space.proj',
    'layer_norm2': 'norm_mlp',
    'mlp.fc1': 'mlp.fc1',
    'mlp.fc2': 'mlp.fc2',
}


@WEIGHT_READERS.register_module(name=['CLIPVisionReader', 'clip'])
class CLIPVisionReader(ImageReader):
    """The vision tower of ``CLIPModel``, ``CLIPVisionModel`` or ``CLIPVisionModelWithProjection``.

    The encoder must be CLIP's: ``visual_encoder = dict(pre_norm=True, activation='quick_gelu', norm_eps=1e-5)``. Text
    tower and projections have no place here: the text models are BERTs, and the shared space is another one. The video
    path starts from the image path. Arguments as ``WeightReader``.
    """

    model_types = ('clip', 'clip_vision_model')
    unused_by_design = (
        'text_model.*',
        'text_projection.weight',
        'visual_projection.weight',
        'logit_scale',
        '*embeddings.position_ids',
    )

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
        prefix = 'vision_model.' if any(key.startswith('vision_model.') for key in weights) else ''
        source = SourceTensors(weights, None, prefix, 'vision tower of CLIP')
        patches = source.pop('embeddings.patch_embedding.weight')
        translated = {
            'cls_token': source.pop('embeddings.class_embedding')[None, None],
            'pos_embed': source.pop('embeddings.position_embedding.weight')[None],
            'image_tokenizer.proj.weight': patches,
            'image_tokenizer.proj.bias': patches.new_zeros(len(patches)),  # CLIP's convolution has none
        }
        for kind in ('weight', 'bias'):
            translated[f'pre_norm.{kind}'] = source.pop(f'pre_layrnorm.{kind}')  # Hugging Face's spelling
            translated[f'norm.{kind}'] = source.pop(f'post_layernorm.{kind}')
            for index in range(source.count_layers('encoder.layers.')):
                theirs, own = f'encoder.layers.{index}.', f'blocks.{index}.'
                qkv = [source.pop(f'{theirs}self_attn.{name}_proj.{kind}') for name in ('q', 'k', 'v')]
                translated[f'{own}attention_space.qkv.{kind}'] = torch.cat(qkv)
                for name, target in LAYER.items():
                    translated[f'{own}{target}.{kind}'] = source.pop(f'{theirs}{name}.{kind}')
        translated = {PREFIX + key: value for key, value in translated.items()}
        fit_space(translated, model)
        return translated
