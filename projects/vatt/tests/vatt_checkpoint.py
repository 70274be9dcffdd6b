"""Weights of our models under the names and in the shapes of the published checkpoints, made by hand."""

import struct

import numpy as np

from projects.vatt.tensor_bundle import masked_crc32c

VALUE = '/.ATTRIBUTES/VARIABLE_VALUE'
TOP = 'model/layer_with_weights-0/'
SHORT = dict(visual='vid', audio='aud', text='txt')
MODALITY = dict(visual='video', audio='audio', text='text')


def kernel(values):
    """Turn our weight, output first, to theirs."""
    return values.permute(2, 3, 4, 1, 0) if values.ndim == 5 else values.T if values.ndim == 2 else values


def layers(state, prefix, attention, root):
    """The transformer under their names; T5's queries are as large as without a scale."""
    found, number = {}, 0
    t5 = f'{prefix}layers.0.self_attention.attention.qkv.bias' not in state
    while f'{prefix}layers.{number}.self_attention.norm.weight' in state:
        own, theirs = f'{prefix}layers.{number}.', f'{root}/layers/{number}/'
        norm = f'{theirs}self_attention/layer_norm' if t5 else f'{theirs}layer_norm'
        found |= norm_of(state, f'{own}self_attention.norm', norm)
        for kind in ('weight', 'bias') if not t5 else ('weight',):
            parts = state[f'{own}self_attention.attention.qkv.{kind}'].chunk(3)
            for name, part in zip('qkv', parts):
                leaf = f'{theirs}{attention}/{name}/' + ('kernel' if kind == 'weight' else 'bias')
                found[leaf] = kernel(part / 8**0.5 if t5 and name == 'q' else part)
        found |= linear(state, f'{own}self_attention.attention.proj', f'{theirs}{attention}/o')
        found |= norm_of(state, f'{own}feed_forward.norm', f'{theirs}feed_forward/layer_norm')
        found |= linear(state, f'{own}feed_forward.mlp.fc1', f'{theirs}feed_forward/mlp/wi')
        found |= linear(state, f'{own}feed_forward.mlp.fc2', f'{theirs}feed_forward/mlp/wo')
        number += 1
    return found | norm_of(state, f'{prefix}norm', f'{root}/final_layer_norm')


def linear(state, own, theirs):
    found = {f'{theirs}/kernel': kernel(state[f'{own}.weight'])}
    return found | ({f'{theirs}/bias': state[f'{own}.bias']} if f'{own}.bias' in state else {})


def norm_of(state, own, theirs):
    if f'{own}.bias' not in state:
        return {f'{theirs}/weight': state[f'{own}.weight']}
    found = {f'{theirs}/gamma': state[f'{own}.weight'], f'{theirs}/beta': state[f'{own}.bias']}
    if f'{own}.running_mean' in state:
        found |= {f'{theirs}/moving_mean': state[f'{own}.running_mean']}
        found |= {f'{theirs}/moving_variance': state[f'{own}.running_var']}
    return found


def positions(state, own, theirs):
    axes = ('temporal', 'vertical', 'horizontal')
    tables = {
        f'{theirs}/{axis}_position_embeddings/embeddings': state[key]
        for number, axis in enumerate(axes)
        if (key := f'{own}.pos_embed.{number}') in state
    }
    return tables | norm_of(state, f'{own}.norm', f'{theirs}/layernorm')


def bridge(state):
    names = {
        'video_to_fine.0': 'vid_to_hid', 'video_to_fine.3': 'hid_to_va/dense', 'fine_to_coarse.1': 'va_to_vat/dense',
        'audio_to_fine': 'aud_to_va', 'text_to_coarse': 'txt_to_vat',
    }  # fmt: skip
    norms = {
        'video_to_fine.1': 'hid_to_va/pre_bn', 'video_to_fine.4': 'hid_to_va/bn', 'fine_to_coarse.2': 'va_to_vat/bn'
    }  # fmt: skip
    root, found = '_head_layer/_bridge_heads/0/', {}
    for own, theirs in names.items():
        found |= linear(state, f'bridge.{own}', root + theirs)
    for own, theirs in norms.items():
        found |= norm_of(state, f'bridge.{own}', root + theirs)
    return found


def separate(state):
    """A pretraining in which each modality has its own transformer."""
    found = bridge(state)
    for name, patches in (('visual', 'voxel_to_patch'), ('audio', 'wave_to_patch')):
        own, root = f'{name}_encoder.', f'_base_layer/{SHORT[name]}_backbone/_base/'
        found |= patches_of(state, name, f'{root}{patches}')
        found[f'{root}agg_embedding'] = state[f'{own}agg_token']
        found |= positions(state, f'{own}positions', f'{root}pos_embedding_lookup')
        found |= layers(state, f'{own}backbone.', 'mha', f'{root}tx')
    root = '_base_layer/txt_backbone/'
    found[f'{root}embedding/embeddings'] = state['text_encoder.word.weight']
    found[f'{root}agg_embedding'] = state['text_encoder.agg_token']
    found |= linear(state, 'text_encoder.before.0', f'{root}pre_proj')
    found |= layers(state, 'text_encoder.backbone.', 'self_attention/attention', f'{root}base_lm')
    distances = 'base_lm/layers/0/self_attention/attention/relative_attention_bias/embeddings'
    return found | {f'{root}{distances}': state['text_encoder.distance.weight']}


def patches_of(state, name, theirs):
    if name == 'audio':
        weight = state['audio_encoder.tokenizer.proj.weight']  # theirs is a convolution of one channel
        return {f'{theirs}/kernel': weight.T[:, None], f'{theirs}/bias': state['audio_encoder.tokenizer.proj.bias']}
    return linear(state, 'visual_encoder.patches', theirs)


def unified(state):
    """A pretraining with one transformer for all."""
    root = '_base_layer/unified_backbone/unified_transformer/'
    found = bridge(state) | layers(state, 'visual_encoder.backbone.', 'mha', f'{root}tx')
    for name, modality in MODALITY.items():
        own = f'{name}_encoder.'
        found[f'{root}{SHORT[name]}_agg_embedding'] = state[f'{own}agg_token']
        found |= linear(state, f'{own}before.0', f'{root}pre_proj/{modality}')
        found |= linear(state, f'{own}after.0', f'{root}post_proj/{modality}')
        found |= positions(state, f'{own}positions', f'{root}pos_embedding_lookup/{modality}')
        if name != 'text':
            found |= patches_of(state, name, f'{root}raw_to_embeddings/{modality}')
    return found | {f'{root}raw_to_embeddings/text/embeddings': state['text_encoder.word.weight']}


def finetuned(state):
    """A video classifier."""
    state = {key.removeprefix('trunk.'): value for key, value in state.items()}
    found = patches_of(state, 'visual', '_base/voxel_to_patch') | linear(state, 'head', '_ops/cls')
    found['_base/agg_embedding'] = state['visual_encoder.agg_token']
    found |= positions(state, 'visual_encoder.positions', '_base/pos_embedding_lookup')
    return found | layers(state, 'visual_encoder.backbone.', 'mha', '_base/tx')


def varint(value):
    """Seven bits a byte, the lowest first."""
    found = b''
    while value > 0x7F:
        found, value = found + bytes([value & 0x7F | 0x80]), value >> 7
    return found + bytes([value])


def field(number, value):
    """A field of a message: a number, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def block(entries):
    """A block of a table, in which every second key leans on the one before."""
    found, before = b'', b''
    for number, (key, value) in enumerate(entries):
        shared = 0
        while number % 2 and key[: shared + 1] == before[: shared + 1] and shared < len(before):
            shared += 1
        found += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    return found + struct.pack('<II', 0, 1)


def with_checksum(part):
    return part + b'\0' + struct.pack('<I', masked_crc32c(part + b'\0'))


def write_bundle(prefix, arrays):
    """Write an index and its data as TensorFlow does, in blocks of seven entries; return the path of the index."""
    data, entries = b'', [(b'', field(1, 1))]
    for name, array in sorted(arrays.items()):
        kind = dict(f=1, i=9)[array.dtype.kind]
        shape = b''.join(field(2, field(1, size)) for size in array.shape)
        place = field(4, len(data)) + field(5, array.nbytes) + b'\x35abcd'  # and a checksum of a fixed width
        entries.append((name.encode(), field(1, kind) + field(2, shape) + place))
        data += array.tobytes()
    content, index = b'', []
    for first in range(0, len(entries), 7):
        part = block(entries[first : first + 7])
        index.append((entries[first : first + 7][-1][0], varint(len(content)) + varint(len(part))))
        content += with_checksum(part)
    listed = block(index)
    places = varint(0) + varint(0) + varint(len(content)) + varint(len(listed))
    content += with_checksum(listed) + places.ljust(40, b'\0') + struct.pack('<Q', 0xDB4775248B80FB57)
    prefix.with_name(f'{prefix.name}.index').write_bytes(content)
    prefix.with_name(f'{prefix.name}.data-00000-of-00001').write_bytes(data)
    return f'{prefix}.index'


def write(prefix, found):
    """Write a checkpoint with what a training has beside."""
    arrays = {f'{TOP}{name}{VALUE}': np.ascontiguousarray(value) for name, value in found.items()}
    slot = next(iter(found))
    arrays[f'{TOP}{slot}/.OPTIMIZER_SLOT/optimizer/m{VALUE}'] = np.zeros(3, np.float32)
    arrays |= {f'optimizer/iter{VALUE}': np.array(7), f'save_counter{VALUE}': np.array(1)}
    arrays[f'optimizer/beta_1{VALUE}'] = np.array(0.9, np.float32)
    return write_bundle(prefix, arrays)
