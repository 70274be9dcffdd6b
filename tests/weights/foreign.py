"""Other libraries' models, randomly initialised, shaken and saved to disk; and ours at the same size."""

import torch
from transformers import (
    BlipConfig,
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    BlipForQuestionAnswering,
)

from omnivl.registry import MODELS

BLIP = dict(retrieval=BlipForImageTextRetrieval, caption=BlipForConditionalGeneration, vqa=BlipForQuestionAnswering)
SMALL = dict(width=16, depth=2, heads=2, image=32, patch=8, vocab=34, length=24, embed=8)
BASE = dict(width=768, depth=12, heads=12, image=224, patch=16, vocab=30524, length=512, embed=256)
CLS, SEP, DEC, ENC = 2, 3, 32, 33  # in the vocabulary of the tests


def shaken(module, seed, size=0.1):
    """The same module in evaluation mode, with noise on every parameter: a swapped or forgotten bias must show."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def blip(kind, seed, size=None, noise=0.1, norm_eps=1e-5):
    torch.manual_seed(seed)
    size = size or SMALL
    special = dict(bos_token_id=size['vocab'] - 2, sep_token_id=SEP, eos_token_id=SEP, pad_token_id=0)
    shared = dict(
        hidden_size=size['width'],
        intermediate_size=4 * size['width'],
        num_hidden_layers=size['depth'],
        num_attention_heads=size['heads'],
    )
    config = BlipConfig(
        text_config=dict(
            **shared,
            vocab_size=size['vocab'],
            encoder_hidden_size=size['width'],
            max_position_embeddings=size['length'],
            **special,
        ),
        vision_config=dict(**shared, image_size=size['image'], patch_size=size['patch'], layer_norm_eps=norm_eps),
        image_text_hidden_size=size['embed'],
    )
    return shaken(BLIP[kind](config), seed, noise)


def omnivl_config(
    vocab_file,
    size=None,
    encoder=None,
    tokenizer=None,
    share='blip',
    matching_token='[ENC]',
    type='TrunkModel',
    **options,
):
    """Config of a task (without one, of a trunk) at that size."""
    size = size or SMALL
    shared = dict(width=size['width'], depth=size['depth'], num_heads=size['heads'])
    text = dict(vocab_size=size['vocab'], max_length=size['length'], dropout=0.0, **shared)
    trunk = dict(
        type='OmniVL',
        visual_encoder=dict(
            type='UnifiedVisualEncoder',
            image_tokenizer=dict(type='ImageTokenizer', patch_size=size['patch']),
            video_tokenizer=dict(type='VideoTokenizer', patch_size=size['patch']),
            **(dict(image_size=size['image'], **shared) | (encoder or {})),
        ),
        text_encoder=dict(type='TextEncoder', **text),
        alignment_decoder=dict(type='AlignmentDecoder', **text),
        generation_decoder=dict(type='GenerationDecoder', **text),
        tokenizer=tokenizer or dict(type='WordPieceTokenizer', vocab_file=str(vocab_file)),
        embed_dim=size['embed'],
        share=share,
        matching_token=matching_token,
    )
    return dict(type=type, trunk=trunk, **options)


def omnivl(vocab_file, seed=99, **options):
    torch.manual_seed(seed)
    return shaken(MODELS.build(omnivl_config(vocab_file, **options)), seed)


def images(seed, count=3, side=32):
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def texts(seed, lengths=(9, 6, 4), words=27):
    """Padded ids, [CLS] first and [SEP] last, and their mask."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.zeros(len(lengths), max(lengths), dtype=torch.int64)
    for row, length in zip(ids, lengths):
        row[:length] = torch.randint(5, 5 + words, (length,), generator=generator)
        row[0], row[length - 1] = CLS, SEP
    return ids, ids != 0


def original_layout(*models, tied_output=False):
    """The state dict of the BLIP repository with the weights of Hugging Face's models."""
    plain = {}
    for model in models:
        plain |= model.state_dict()
    renamed = {}
    for key, value in plain.items():
        if key.startswith('text_decoder.cls.predictions.decoder.') and not tied_output:
            continue
        for old, new in (
            ('vision_model.embeddings.class_embedding', 'visual_encoder.cls_token'),
            ('vision_model.embeddings.position_embedding', 'visual_encoder.pos_embed'),
            ('vision_model.embeddings.patch_embedding', 'visual_encoder.patch_embed.proj'),
            ('vision_model.post_layernorm', 'visual_encoder.norm'),
            ('vision_model.encoder.layers', 'visual_encoder.blocks'),
            ('.layer_norm1', '.norm1'),
            ('.layer_norm2', '.norm2'),
            ('.self_attn.projection', '.attn.proj'),
            ('.self_attn.qkv', '.attn.qkv'),
        ):
            key = key.replace(old, new)
        renamed[key] = value.clone()
    return renamed
