"""Weights for CoCa: open_clip's checkpoints, those of LAION among them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from omnivl.errors import OmniVLValueError
from omnivl.models.encoders import CausalTextEncoder, ImageEncoder
from omnivl.models.interfaces import HasParts
from omnivl.models.layers import TransformerLayer
from omnivl.registry import WEIGHT_READERS
from omnivl.weights import WeightReader
from omnivl.weights.files import read_neighbour
from omnivl.weights.keys import SourceTensors
from omnivl.weights.timm import fit_space

from .model import MultimodalDecoder, TaskPoolers

CONFIG = 'open_clip_config.json'
# Theirs -> ours, of layers without their weight and bias; # is the number of a block. An attention's in_proj has become
# query and key_value before, where ours has these two.
# fmt: off
KEYS = {
    'visual.conv1':                                  'visual_encoder.image_tokenizer.proj',
    'visual.class_embedding':                        'visual_encoder.cls_token',
    'visual.positional_embedding':                   'visual_encoder.pos_embed',
    'visual.ln_pre':                                 'visual_encoder.pre_norm',
    'visual.transformer.resblocks.#.ln_1':           'visual_encoder.blocks.#.self_attention.norm',
    'visual.transformer.resblocks.#.attn.in_proj':   'visual_encoder.blocks.#.self_attention.attention.qkv',
    'visual.transformer.resblocks.#.attn.out_proj':  'visual_encoder.blocks.#.self_attention.attention.proj',
    'visual.transformer.resblocks.#.ln_2':           'visual_encoder.blocks.#.feed_forward.norm',
    'visual.transformer.resblocks.#.mlp.c_fc':       'visual_encoder.blocks.#.feed_forward.mlp.fc1',
    'visual.transformer.resblocks.#.mlp.c_proj':     'visual_encoder.blocks.#.feed_forward.mlp.fc2',
    'visual.attn_pool.query':                        'pooler.generative.query',
    'visual.attn_pool.ln_q':                         'pooler.generative.norm_query',
    'visual.attn_pool.ln_k':                         'pooler.generative.norm_tokens',
    'visual.attn_pool.attn.query':                   'pooler.generative.attention.query',
    'visual.attn_pool.attn.key_value':               'pooler.generative.attention.key_value',
    'visual.attn_pool.attn.out_proj':                'pooler.generative.attention.proj',
    'visual.ln_post':                                'pooler.norm',
    'visual.proj':                                   'visual_proj',
    'text.token_embedding':                          'text_encoder.word',
    'text.positional_embedding':                     'text_encoder.position_embed',
    'text.cls_emb':                                  'text_encoder.cls_token',
    'text.transformer.resblocks.#.ln_1':             'text_encoder.layers.#.self_attention.norm',
    'text.transformer.resblocks.#.attn.in_proj':     'text_encoder.layers.#.self_attention.attention.qkv',
    'text.transformer.resblocks.#.attn.out_proj':    'text_encoder.layers.#.self_attention.attention.proj',
    'text.transformer.resblocks.#.ln_2':             'text_encoder.layers.#.feed_forward.norm',
    'text.transformer.resblocks.#.mlp.c_fc':         'text_encoder.layers.#.feed_forward.mlp.fc1',
    'text.transformer.resblocks.#.mlp.c_proj':       'text_encoder.layers.#.feed_forward.mlp.fc2',
    'text.ln_final':                                 'text_encoder.norm',
    'text.text_projection':                          'text_proj',
    'text_decoder.resblocks.#.ln_1':                 'text_decoder.layers.#.self_attention.norm',
    'text_decoder.resblocks.#.attn.in_proj':         'text_decoder.layers.#.self_attention.attention.qkv',
    'text_decoder.resblocks.#.attn.out_proj':        'text_decoder.layers.#.self_attention.attention.proj',
    'text_decoder.resblocks.#.ln_2':                 'text_decoder.layers.#.between.norm',
    'text_decoder.resblocks.#.mlp.c_fc':             'text_decoder.layers.#.between.mlp.fc1',
    'text_decoder.resblocks.#.mlp.c_proj':           'text_decoder.layers.#.between.mlp.fc2',
    'text_decoder.cross_attn.#.ln_1':                'text_decoder.layers.#.cross_attention.norm',
    'text_decoder.cross_attn.#.ln_1_kv':             'text_decoder.layers.#.cross_attention.norm_visual',
    'text_decoder.cross_attn.#.attn.query':          'text_decoder.layers.#.cross_attention.attention.query',
    'text_decoder.cross_attn.#.attn.key_value':      'text_decoder.layers.#.cross_attention.attention.key_value',
    'text_decoder.cross_attn.#.attn.out_proj':       'text_decoder.layers.#.cross_attention.attention.proj',
    'text_decoder.cross_attn.#.ln_2':                'text_decoder.layers.#.feed_forward.norm',
    'text_decoder.cross_attn.#.mlp.c_fc':            'text_decoder.layers.#.feed_forward.mlp.fc1',
    'text_decoder.cross_attn.#.mlp.c_proj':          'text_decoder.layers.#.feed_forward.mlp.fc2',
    'text_decoder.ln_final':                         'text_decoder.norm',
    'text_decoder.text_projection':                  'text_decoder.head',
    'logit_scale':                                   'temperature.value',
}
# fmt: on
# Matrices that stand behind their input there, and before it here, without a bias.
PROJECTIONS = ('visual.proj', 'text.text_projection', 'text_decoder.text_projection')
CROSS = re.compile(r'(visual\.attn_pool|text_decoder\.cross_attn\.\d+)\.attn\.in_proj_bias')
NEEDED = ('visual.attn_pool.', 'text.', 'text_decoder.')
SECOND_POOLER = 'visual.attn_pool_contrastive.query'
# What only the vector of a text needs.
OF_THE_VECTOR = ('text.cls_emb', 'text.ln_final')


@WEIGHT_READERS.register_module(name=['OpenCLIPCoCaReader', 'coca'])
class OpenCLIPCoCaReader(WeightReader):
    """A CoCa of open_clip with one attentional pooler, as ``coca_ViT-B-32`` and ``coca_ViT-L-14`` have it.

    It may lie in ``.safetensors``, in a pickle of tensors or in a checkpoint of open_clip's training, with or without
    ``module.`` before the keys. Parts that the model does not hold stay in the file; positions of another resolution
    are interpolated. The settings of ``open_clip_config.json`` beside it are compared. Arguments as ``WeightReader``.
    """

    config_file = CONFIG
    model_types = ('coca',)
    unused_by_design = ('*attn_mask',)  # older versions stored it

    def knows(self, config: dict[str, Any]) -> bool:
        """See ``WeightReader.knows``."""
        return 'model_cfg' in config

    def pixels(self, path: Path) -> dict[str, list[float]]:
        """See ``WeightReader.pixels``."""
        said = (read_neighbour(path, CONFIG) or {}).get('preprocess_cfg') or {}
        return {name: said[name] for name in ('mean', 'std') if name in said}

    def settings(self, config: dict[str, Any], model: HasParts) -> list[tuple[str, Any, Any]]:
        """See ``WeightReader.settings``."""
        config, parts = config_of(config, CONFIG), model.parts
        vision, text = config['vision_cfg'], config['text_cfg']
        theirs = dict(
            num_heads=vision['width'] // vision.get('head_width', 64),
            pooler_num_heads=vision.get('attn_pooler_heads', 8),
            text_num_heads=text.get('heads', 8),
            decoder_num_heads=config['multimodal_cfg'].get('heads', 8),
            activation='quick_gelu' if config.get('quick_gelu') else 'gelu',
            text_pool='cls' if text.get('correct_cls_mask') else 'cls_shifted',
        )
        ours: dict[str, Any] = {}
        if isinstance(encoder := parts.get('visual_encoder'), ImageEncoder):
            block = cast(TransformerLayer, encoder.blocks[0])
            ours['num_heads'] = block.self_attention.attention.num_heads
            ours['activation'] = cast(Any, block.feed_forward.mlp).activation
        if isinstance(pooler := parts.get('pooler'), TaskPoolers):
            ours['pooler_num_heads'] = pooler.generative.attention.num_heads
        if isinstance(reads := parts.get('text_encoder'), CausalTextEncoder):
            ours['text_num_heads'] = cast(TransformerLayer, reads.layers[0]).self_attention.attention.num_heads
            ours |= {} if reads.pool is None else dict(text_pool=reads.pool)
        if isinstance(decoder := parts.get('text_decoder'), MultimodalDecoder):
            ours['decoder_num_heads'] = cast(TransformerLayer, decoder.layers[0]).cross_attention.attention.num_heads
        return [(name, theirs[name], value) for name, value in ours.items()]

    def translate(self, weights: dict[str, Tensor], model: HasParts) -> dict[str, Tensor]:
        """See ``WeightReader.translate``."""
        for key in list(weights):
            weights[key.removeprefix('module.').removeprefix('_orig_mod.')] = weights.pop(key)
        self._check_kind(weights, model)
        split_attention(weights)
        has_vector = getattr(model.parts.get('text_encoder'), 'pool', None) is not None
        translated = {}
        for key in list(weights):
            name, number, kind = plain_name(key)
            own = KEYS.get(name)
            if own is None or own.split('.')[0] not in model.parts or (name in OF_THE_VECTOR and not has_vector):
                continue
            value = weights.pop(key)
            if name in PROJECTIONS:
                kind, value = '.weight', value.t().contiguous()
            translated[own.replace('#', number) + kind] = value
        fit_shapes(translated)
        fit_space(translated, model)
        return translated

    def expected_unused(self, model: HasParts) -> tuple[str, ...]:
        """See ``WeightReader.expected_unused``."""
        absent = [name for name, own in KEYS.items() if own.split('.')[0] not in model.parts]
        # A name is that of a parameter, or of a layer with a weight and a bias.
        patterns = [pattern for name in (*absent, *OF_THE_VECTOR) for pattern in (name, f'{name}.*', f'{name}_*')]
        return (*self.unused_by_design, *(pattern.replace('#', '*') for pattern in patterns))

    def _check_kind(self, weights: dict[str, Tensor], model: HasParts) -> None:
        """Refuse another model, or another kind of pooler, of which the keys alone would say too little."""
        missing = [name for name in NEEDED if not any(key.startswith(name) for key in weights)]
        if missing:
            raise OmniVLValueError(
                f'{self.file} is no CoCa of open_clip with an attentional pooler: it has no {", ".join(missing)}; its '
                f'keys are {sorted(weights)[:3]} ... (a tower of CLIP goes into an encoder by another reader)'
            )
        theirs = 'single' if SECOND_POOLER not in weights else 'parallel or cascade'
        pooler = model.parts.get('pooler')
        ours = pooler.kind if isinstance(pooler, TaskPoolers) else 'single'
        if (theirs, ours) != ('single', 'single'):
            raise OmniVLValueError(
                f'{self.file} has a pooler of the kind {theirs}, the model one of the kind {ours}: of open_clip the '
                "released kind is read, for which set model.trunk.pooler.kind='single'"
            )


def config_of(content: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Take the model's part out of the content of an ``open_clip_config.json``, named ``source`` in messages."""
    config = content['model_cfg']
    parts = ('vision_cfg', 'text_cfg', 'multimodal_cfg', 'embed_dim')
    if not isinstance(config, dict) or (missing := [name for name in parts if name not in config]):
        said = f'model_cfg has no {", ".join(missing)}' if isinstance(config, dict) else 'model_cfg is no mapping'
        raise OmniVLValueError(f'{source} is of no CoCa of open_clip: {said}')
    return config


def plain_name(key: str) -> tuple[str, str, str]:
    """Take a key of theirs apart: its name in ``KEYS``, the number of its block, and ``.weight``, ``.bias`` or nothing.

    The number of what is in no block is empty.
    """
    name, _, kind = key.replace('in_proj_', 'in_proj.').rpartition('.')
    name, kind = (name, f'.{kind}') if kind in ('weight', 'bias') else (key, '')
    number = re.search(r'\.(\d+)\.', name)
    return re.sub(r'\.\d+\.', '.#.', name), number[1] if number else '', kind


def split_attention(weights: dict[str, Tensor]) -> None:
    """Split, in place, queries from keys and values in all cross-attentions, whichever way they are stored."""
    for key in [key for key in weights if CROSS.fullmatch(key)]:
        at = key.removesuffix('in_proj_bias')
        source = SourceTensors(weights, None, at, 'CoCa of open_clip')
        bias = source.pop('in_proj_bias')
        width = len(bias) // 3
        if f'{at}in_proj_weight' in weights:
            query, key_value = source.pop('in_proj_weight').tensor_split([width])
        else:  # of tokens of another width than the queries
            query = source.pop('q_proj_weight')
            key_value = torch.cat([source.pop('k_proj_weight'), source.pop('v_proj_weight')])
        weights |= {f'{at}query.weight': query, f'{at}key_value.weight': key_value}
        weights |= {f'{at}query.bias': bias[:width], f'{at}key_value.bias': bias[width:]}


def fit_shapes(translated: dict[str, Tensor]) -> None:
    """Give, in place, tensors under our keys the form that they have here."""
    image, text = 'visual_encoder.', 'text_encoder.'
    if f'{image}cls_token' in translated and f'{image}pos_embed' in translated:
        translated[f'{image}cls_token'] = translated[f'{image}cls_token'].view(1, 1, -1)
        translated[f'{image}pos_embed'] = translated[f'{image}pos_embed'][None]
    if (positions := translated.get(f'{text}position_embed')) is not None:
        # Their [CLS] stands behind the longest text: its position never changes, and is a part of it here.
        translated[f'{text}position_embed'] = positions[:-1]
        if f'{text}cls_token' in translated:
            translated[f'{text}cls_token'] = translated[f'{text}cls_token'] + positions[-1]
    if (scale := translated.get('temperature.value')) is not None:
        translated['temperature.value'] = torch.exp(-scale.reshape(()))
