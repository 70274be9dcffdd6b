"""timm's Vision Transformers (the paper starts from ViT-B/16 on ImageNet-1K, section 4)."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.models.interfaces import FitsPositions, HasParts, offered_by
from omnivl.registry import WEIGHT_READERS

from .base import WeightReader, part_state
from .files import read_neighbour
from .keys import visual_settings

BLOCK = {
    'norm1': 'norm_space',
    'attn.qkv': 'attention_space.qkv',
    'attn.proj': 'attention_space.proj',
    'norm2': 'norm_mlp',
    'mlp.fc1': 'mlp.fc1',
    'mlp.fc2': 'mlp.fc2',
}
OUTSIDE = {
    'cls_token': 'cls_token',
    'pos_embed': 'pos_embed',
    'patch_embed.proj.weight': 'image_tokenizer.proj.weight',
    'patch_embed.proj.bias': 'image_tokenizer.proj.bias',
    'norm.weight': 'norm.weight',
    'norm.bias': 'norm.bias',
}
BEFORE = {'norm_pre.weight': 'pre_norm.weight', 'norm_pre.bias': 'pre_norm.bias'}  # which few of timm's have
# What a ViT of timm may have and our encoder has not -> what it is.
FOREIGN = {
    'reg_token': 'registers',
    'dist_token': 'a distillation token',
    'fc_norm.weight': 'no norm behind its last block, but one behind a mean of its tokens (fc_norm)',
    'pos_embed_win.weight': 'position embeddings of windows',
}
SCALES = {'ls1.gamma': 'attn.proj', 'ls2.gamma': 'mlp.fc2'}  # LayerScale, and what it scales
PREFIX = 'visual_encoder.'


class ImageReader(WeightReader):
    """Base of the readers that fill the image path, from which the video path then starts."""

    essential: tuple[str, ...] = (f'{PREFIX}*', 'vision_model.*', 'visual.*')

    def derived(self, model: HasParts) -> list[str]:
        """List the keys of the video path."""
        temporal = ('norm_time', 'attention_time', 'time_embed', 'video_tokenizer')
        return [key for key in part_state(model) if key.startswith(PREFIX) and any(name in key for name in temporal)]

    def finish(self, model: HasParts) -> None:
        """Start the video path from the image path."""
        model.parts['visual_encoder'].start_video_from_image()


@WEIGHT_READERS.register_module(name=['TimmViTReader', 'timm'])
class TimmViTReader(ImageReader):
    """A timm ViT, with or without its classification head, also at another resolution.

    The spatial path is filled directly; the video path then starts from it (``start_video_from_image``). LayerScale
    (DINOv2, DeiT-III) is folded into the layer that it scales; where [CLS] has no position (``no_embed_class``) it gets
    one of zeros. Registers, and whatever else our encoder has not, are refused by name. Arguments as ``WeightReader``.
    """

    model_types = ('timm',)
    bare = (*WeightReader.bare, '.pth', '.pt')
    unused_by_design = ('head.*', 'head_dist.*', 'pre_logits.*')
    essential = (*ImageReader.essential, 'blocks.*', '*_token', '*norm*', 'patch_embed.*', 'pos_embed*')

    def knows(self, config: dict[str, Any]) -> bool:
        """See ``WeightReader.knows``; timm names an architecture."""
        return 'architecture' in config

    def settings(self, config: dict[str, Any], model: HasParts) -> list[tuple[str, Any, Any]]:
        """See ``WeightReader.settings``: those of the architecture that timm's ``config.json`` names, asked of timm."""
        vit = _vit_of(config)
        if vit is None:
            return []
        activation = {'GELU': 'gelu', 'QuickGELU': 'quick_gelu'}
        kind = type(vit.blocks[0].mlp.act).__name__
        theirs = dict(
            num_attention_heads=vit.blocks[0].attn.num_heads,
            layer_norm_eps=vit.blocks[0].norm1.eps,
            hidden_act=activation.get(kind, kind),
        )
        return visual_settings(theirs, model.parts['visual_encoder'], norm_eps=1e-6)

    def pixels(self, path: Path) -> dict[str, list[float]]:
        """See ``WeightReader.pixels``; timm has them in ``config.json``."""
        said = (read_neighbour(path, self.config_file) or {}).get('pretrained_cfg') or {}
        return {name: said[name] for name in ('mean', 'std') if name in said}

    def refuse(self, weights: dict[str, Tensor], model: HasParts) -> None:
        """See ``WeightReader.refuse``."""
        foreign = [f'{what} ({key})' for key, what in FOREIGN.items() if key in weights]
        if 'patch_embed.proj.weight' in weights:
            foreign += [f'no {key}' for key in ('cls_token', 'pos_embed') if key not in weights]
        pre_norm = getattr(model.parts['visual_encoder'], 'pre_norm', None)
        if 'norm_pre.weight' in weights and not isinstance(pre_norm, nn.LayerNorm):
            foreign.append('a norm before its first block (norm_pre): set pre_norm=True of model.trunk.visual_encoder')
        if foreign:
            raise OmniVLValueError(
                f'{self.file} is of a ViT that the visual encoder cannot be: it has {", ".join(foreign)}. '
                'Take weights without, such as DINOv2 without registers'
            )

    def advice(self, weights: dict[str, Tensor], model: HasParts) -> list[str]:
        """See ``WeightReader.advice``."""
        scaled = sum(key.endswith(tuple(SCALES)) for key in weights)
        return [f'{scaled} scales of LayerScale are folded into attn.proj and mlp.fc2'] if scaled else []

    def translate(self, weights: dict[str, Tensor], model: HasParts) -> dict[str, Tensor]:
        """See ``WeightReader.translate``."""
        names = OUTSIDE | BEFORE
        for key in [key for key in weights if key.startswith('blocks.') and key.endswith(tuple(SCALES))]:
            _fold_scale(weights, key)
        if 'patch_embed.proj.weight' in weights:  # without a bias in CLIP's
            patches = weights['patch_embed.proj.weight']
            weights.setdefault('patch_embed.proj.bias', patches.new_zeros(len(patches)))
        positions = weights.get('pos_embed')
        if positions is not None and _is_square(positions.shape[1]):  # of patches alone; one more is no square
            weights['pos_embed'] = torch.cat([torch.zeros_like(positions[:, :1]), positions], dim=1)
        for key in weights:
            if key.startswith('blocks.'):
                _, index, inner = key.split('.', 2)
                inner, kind = inner.rsplit('.', 1)
                if inner in BLOCK:
                    names[key] = f'blocks.{index}.{BLOCK[inner]}.{kind}'
        translated = {PREFIX + own: weights.pop(key) for key, own in names.items() if key in weights}
        fit_space(translated, model)
        return translated


def fit_space(translated: dict[str, Tensor], model: HasParts) -> None:
    """Interpolate, in place, a spatial position embedding that was made for another resolution."""
    if (fits := offered_by(model.parts['visual_encoder'], FitsPositions)) is not None:
        fits.fit_position_embeddings(translated, PREFIX)


def _vit_of(config: dict[str, Any]) -> Any:
    """Build the ViT, without values, that timm's ``config.json`` names; None where timm knows none of that name."""
    import timm  # not where this file is read, see CONTRIBUTING.md

    with torch.device('meta'):
        try:
            vit = timm.create_model(config['architecture'], pretrained=False, **config.get('model_args', {}))
        except (RuntimeError, TypeError, ValueError):
            return None
    return vit if isinstance(vit, timm.models.VisionTransformer) else None


def _is_square(number: int) -> bool:
    return math.isqrt(number) ** 2 == number


def _fold_scale(weights: dict[str, Tensor], key: str) -> None:
    """Take a scale (D,) out of the weights, and scale the output of the layer before it, exactly but for rounding."""
    scale = weights.pop(key)
    _, index, name = key.split('.', 2)
    layer = f'blocks.{index}.{SCALES[name]}'
    for kind in ('weight', 'bias'):
        if (value := weights.get(f'{layer}.{kind}')) is not None:
            weights[f'{layer}.{kind}'] = (scale.double().view(-1, *[1] * (value.ndim - 1)) * value).to(value.dtype)
