"""Which tensors of BLIP each of ours is: one table for both directions."""

from collections.abc import Iterator
from typing import NamedTuple

from .timm import BLOCK, OUTSIDE


class KeyMapping(NamedTuple):
    """One tensor of ours and those of BLIP that it is made of, one below the other.

    Attributes:
        ours: Key of our state dict.
        theirs: Keys of BLIP's, joined along the first dimension.
    """

    ours: str
    theirs: tuple[str, ...]


# Hugging Face's names of a block of the vision tower; the original repository has timm's.
HF_BLOCK = {
    'layer_norm1': 'norm_space',
    'self_attn.qkv': 'attention_space.qkv',
    'self_attn.projection': 'attention_space.proj',
    'layer_norm2': 'norm_mlp',
    'mlp.fc1': 'mlp.fc1',
    'mlp.fc2': 'mlp.fc2',
}
HF_OUTSIDE = {
    'embeddings.class_embedding': 'cls_token',
    'embeddings.position_embedding': 'pos_embed',
    'embeddings.patch_embedding.weight': 'image_tokenizer.proj.weight',
    'embeddings.patch_embedding.bias': 'image_tokenizer.proj.bias',
    'post_layernorm.weight': 'norm.weight',
    'post_layernorm.bias': 'norm.bias',
}
SELF_ATTENTION = {
    'self_attention.attention.qkv': ('attention.self.query', 'attention.self.key', 'attention.self.value'),
    'self_attention.attention.proj': ('attention.output.dense',),
    'self_attention.norm': ('attention.output.LayerNorm',),
}
CROSS_ATTENTION = {
    'cross_attention.attention.query': ('crossattention.self.query',),
    'cross_attention.attention.key_value': ('crossattention.self.key', 'crossattention.self.value'),
    'cross_attention.attention.proj': ('crossattention.output.dense',),
    'cross_attention.norm': ('crossattention.output.LayerNorm',),
}
FEED_FORWARD = {
    'feed_forward.mlp.fc1': ('intermediate.dense',),
    'feed_forward.mlp.fc2': ('output.dense',),
    'feed_forward.norm': ('output.LayerNorm',),
}
EMBEDDINGS = {
    'embeddings.word.weight': 'embeddings.word_embeddings.weight',
    'embeddings.position.weight': 'embeddings.position_embeddings.weight',
    'embeddings.norm.weight': 'embeddings.LayerNorm.weight',
    'embeddings.norm.bias': 'embeddings.LayerNorm.bias',
}
HEAD = {
    'head.transform.weight': 'transform.dense.weight',
    'head.transform.bias': 'transform.dense.bias',
    'head.norm.weight': 'transform.LayerNorm.weight',
    'head.norm.bias': 'transform.LayerNorm.bias',
    'head.bias': 'bias',
}
KINDS = ('weight', 'bias')


def visual_mappings(depth: int, original: bool = False) -> Iterator[KeyMapping]:
    """Map the vision tower of ``depth`` blocks, from Hugging Face's names or those of the original repository."""
    prefix, layers = ('visual_encoder.', 'blocks') if original else ('vision_model.', 'encoder.layers')
    for theirs, ours in (OUTSIDE if original else HF_OUTSIDE).items():
        yield KeyMapping(f'visual_encoder.{ours}', (prefix + theirs,))
    for index in range(depth):
        for theirs, ours in (BLOCK if original else HF_BLOCK).items():
            for kind in KINDS:
                yield KeyMapping(
                    f'visual_encoder.blocks.{index}.{ours}.{kind}', (f'{prefix}{layers}.{index}.{theirs}.{kind}',)
                )


def text_mappings(ours: str, theirs: str, depth: int, cross: bool) -> Iterator[KeyMapping]:
    """Map a BERT of ``depth`` layers, embeddings first: our text model ``ours`` to keys that begin with ``theirs``.

    ``cross`` says whether our text model has cross-attention.
    """
    for own, name in EMBEDDINGS.items():
        yield KeyMapping(f'{ours}.{own}', (theirs + name,))
    parts = SELF_ATTENTION | (CROSS_ATTENTION if cross else {}) | FEED_FORWARD
    for index in range(depth):
        for own, names in parts.items():
            for kind in KINDS:
                yield KeyMapping(
                    f'{ours}.layers.{index}.{own}.{kind}',
                    tuple(f'{theirs}encoder.layer.{index}.{name}.{kind}' for name in names),
                )


def head_mappings() -> Iterator[KeyMapping]:
    """Map the language head."""
    for ours, theirs in HEAD.items():
        yield KeyMapping(f'generation_decoder.{ours}', (f'text_decoder.cls.predictions.{theirs}',))


def projection_mappings() -> Iterator[KeyMapping]:
    """Map the projections to the shared space and the matching head."""
    for ours, theirs in (('visual_proj', 'vision_proj'), ('text_proj', 'text_proj'), ('matching_head', 'itm_head')):
        for kind in KINDS:
            yield KeyMapping(f'{ours}.{kind}', (f'{theirs}.{kind}',))
