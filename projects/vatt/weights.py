"""Weights for VATT: the published TensorFlow checkpoints, of pretraining and of finetuning, separate and shared."""

import re
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from omnivl.errors import OmniVLValueError
from omnivl.models.interfaces import HasParts, TakesWeights, offered_by
from omnivl.models.layers import TransformerLayer
from omnivl.registry import WEIGHT_READERS
from omnivl.weights import WeightReader
from omnivl.weights.files import find_file
from omnivl.weights.label_map import select_classes

from .model import VATTT5Encoder
from .tensor_bundle import read_floats

VALUE = '/.ATTRIBUTES/VARIABLE_VALUE'
# Of a training: what the optimizer keeps, counters, and the graph of objects.
OF_TRAINING = re.compile(r'(^|/)(optimizer|save_counter|_CHECKPOINTABLE_OBJECT_GRAPH)(/|$)|/\.OPTIMIZER_SLOT/')
# Where a part begins in the names, after whatever the objects around it are called.
ROOTS = {
    '_base_layer/vid_backbone/_base/': 'visual_encoder',
    '_base_layer/aud_backbone/_base/': 'audio_encoder',
    '_base_layer/txt_backbone/': 'text_encoder',
    '_base_layer/unified_backbone/unified_transformer/': '',
    '_head_layer/_bridge_heads/0/': 'bridge',
    '_ops/': 'head',
    '_base/': 'finetuned',  # a video or an audio encoder
}
ENCODERS = dict(video='visual_encoder', audio='audio_encoder', text='text_encoder')
# Of the shared transformer, each modality's own things have its name in theirs.
OF_MODALITY = re.compile(
    r'(raw_to_embeddings|pre_proj|pos_embedding_lookup|post_proj|agg_token)/(video|audio|text)(.*)'
)
AGG = re.compile(r'(vid|aud|txt)_agg_embedding')
LAYER = re.compile(r'(?:tx|base_lm)/layers/(\d+)/(.+)')
# fmt: off
IN_LAYER = {
    'layer_norm':                    'self_attention.norm',
    'mha/o':                         'self_attention.attention.proj',
    'self_attention/layer_norm':     'self_attention.norm',
    'self_attention/attention/o':    'self_attention.attention.proj',
    'feed_forward/layer_norm':       'feed_forward.norm',
    'feed_forward/mlp/wi':           'feed_forward.mlp.fc1',
    'feed_forward/mlp/wo':           'feed_forward.mlp.fc2',
}
for place in ('mha', 'self_attention/attention'):
    IN_LAYER |= {f'{place}/{one}': f'self_attention.attention.{one}' for one in 'qkv'}
OUTSIDE = {
    'voxel_to_patch':                                     'patches',
    'wave_to_patch':                                      'tokenizer.proj',
    'embedding':                                          'word',
    'pre_proj':                                           'before.0',
    'post_proj':                                          'after.0',
    'pos_embedding_lookup/temporal_position_embeddings':   'positions.pos_embed.0',
    'pos_embedding_lookup/vertical_position_embeddings':   'positions.pos_embed.1',
    'pos_embedding_lookup/horizontal_position_embeddings': 'positions.pos_embed.2',
    'pos_embedding_lookup/layernorm':                     'positions.norm',
    'tx/final_layer_norm':                                'backbone.norm',
    'base_lm/final_layer_norm':                           'backbone.norm',
    'vid_to_hid':                                         'video_to_fine.0',
    'hid_to_va/pre_bn':                                   'video_to_fine.1',
    'hid_to_va/dense':                                    'video_to_fine.3',
    'hid_to_va/bn':                                       'video_to_fine.4',
    'va_to_vat/dense':                                    'fine_to_coarse.1',
    'va_to_vat/bn':                                       'fine_to_coarse.2',
    'aud_to_va':                                          'audio_to_fine',
    'txt_to_vat':                                         'text_to_coarse',
}
LEAVES = dict(
    kernel='weight', bias='bias', gamma='weight', beta='bias', embeddings='weight', weight='weight',
    moving_mean='running_mean', moving_variance='running_var',
)
# fmt: on
BY_MODALITY = dict(video='voxel_to_patch', audio='wave_to_patch', text='embedding')
RAW = 'raw_to_embeddings'
DISTANCES = '0/self_attention/attention/relative_attention_bias/embeddings'


@WEIGHT_READERS.register_module(name=['VATTReader', 'vatt'])
class VATTReader(WeightReader):
    """A published checkpoint of VATT (google-research, vatt).

    It is the ``.index`` file of a TensorFlow checkpoint, with its data beside it; TensorFlow is not needed. What of it
    the model does not hold stays in the file; positions of another grid are interpolated. Of a pretraining with a
    shared transformer, that goes into the first encoder of the model, and into all where they share it. Arguments as
    ``WeightReader``.
    """

    left_by_design = ('head.*', '*num_batches_tracked')  # a head for another number of classes; PyTorch's counter

    def read_file(self) -> tuple[dict[str, Tensor], Path]:
        """See ``WeightReader.read_file``."""
        path = find_file(self.file)
        if path.suffix != '.index':
            raise OmniVLValueError(
                f'{self.file} is not the .index file of a TensorFlow checkpoint, as ckpt-500000.index is'
            )
        found = {
            name.removesuffix(VALUE): torch.from_numpy(np.array(values))
            for name, values in read_floats(path).items()
            if not OF_TRAINING.search(name)
        }
        return found, path

    def translate(self, weights: dict[str, Tensor], model: HasParts) -> dict[str, Tensor]:
        """See ``WeightReader.translate``."""
        translated: dict[str, Tensor] = {}
        for name in list(weights):
            found = own_name(name, model)
            if found is not None and found.split('.')[0] in model.parts:
                value = weights.pop(name)
                translated[found] = value if 'pos_embed' in found or name.endswith('embeddings') else as_ours(value)
        fuse_attention(translated)
        if isinstance(text := model.parts.get('text_encoder'), VATTT5Encoder):
            attention = cast(TransformerLayer, text.backbone.layers[0]).self_attention.attention
            for key in [key for key in translated if key.startswith('text_encoder.') and key.endswith('.qkv.weight')]:
                translated[key][: text.width] *= attention.head_width**0.5  # T5 does not divide its scores
        select_classes(translated, model, None)
        if (fits := offered_by(model, TakesWeights)) is not None:
            fits.adapt_state_dict(translated)
        return translated

    def expected_unused(self, model: HasParts) -> tuple[str, ...]:
        """See ``WeightReader.expected_unused``."""
        absent = [root for root, part in ROOTS.items() if part and part != 'finetuned' and part not in model.parts]
        short = dict(visual_encoder='vid', audio_encoder='aud', text_encoder='txt')
        patterns = [f'*{root}*' for root in absent]
        for modality, part in ENCODERS.items():
            if part not in model.parts:
                patterns += [f'*unified_transformer/*/{modality}/*', f'*unified_transformer/{short[part]}_agg_*']
        return tuple(patterns)


def own_name(name: str, model: HasParts) -> str | None:
    """Give our name for one of theirs; None if there is none. Queries, keys and values are not yet one."""
    root = next((root for root in ROOTS if root in name), None)
    if root is None:
        return None
    part, path = ROOTS[root], name[name.index(root) + len(root) :]
    if part == 'head':
        module, _, leaf = path.partition('/')
        return f'head.{LEAVES[leaf]}' if module == 'cls' and leaf in LEAVES else None
    if part == 'finetuned':
        part = next((encoder for encoder in ENCODERS.values() if encoder in model.parts), '')
    if part == '':
        part, path = of_shared(path, model)
    if path in ('agg_embedding', 'agg_token_embd'):
        return f'{part}.agg_token'
    if path.endswith(DISTANCES):
        return f'{part}.distance.weight'
    module, _, leaf = path.rpartition('/')
    layer = LAYER.fullmatch(module)
    own = OUTSIDE.get(module) if layer is None else IN_LAYER.get(layer[2])
    if own is None or leaf not in LEAVES:
        return None
    if layer is not None:
        return f'{part}.backbone.layers.{layer[1]}.{own}.{LEAVES[leaf]}'
    return f'{part}.{own}' if 'pos_embed' in own else f'{part}.{own}.{LEAVES[leaf]}'


def of_shared(path: str, model: HasParts) -> tuple[str, str]:
    """Tell the encoder of a name inside of the shared transformer, and its name in one that is not shared."""
    if (agg := AGG.fullmatch(path)) is not None:
        return ENCODERS[dict(vid='video', aud='audio', txt='text')[agg[1]]], 'agg_embedding'
    if (own := OF_MODALITY.fullmatch(path)) is not None:
        what = BY_MODALITY[own[2]] if own[1] == RAW else 'agg_embedding' if own[1] == 'agg_token' else own[1]
        return ENCODERS[own[2]], what + own[3]
    return next((encoder for encoder in ENCODERS.values() if encoder in model.parts), ''), path


def as_ours(value: Tensor) -> Tensor:
    """Turn a kernel, whose input is before its output, around: of a linear layer, a waveform's or a clip's patches."""
    if value.ndim == 5:
        return value.permute(4, 3, 0, 1, 2)  # (t, h, w, 3, D) to (D, 3, t, h, w)
    return value.flatten(0, 1).T if value.ndim == 3 else value.T if value.ndim == 2 else value


def fuse_attention(translated: dict[str, Tensor]) -> None:
    """Join, in place, queries, keys and values to one projection."""
    for key in [key for key in translated if '.attention.q.' in key]:
        parts = [translated.pop(key.replace('.q.', f'.{one}.')) for one in 'qkv']
        translated[key.replace('.q.', '.qkv.')] = torch.cat(parts)
