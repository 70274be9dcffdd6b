"""A tiny CoCa of open_clip: random tensors under its keys, what it computes of them, and the folder it is pushed as."""

import json

import torch
import torch.nn.functional as F
from coca_world import write_byte_pairs
from safetensors.torch import save_file

VISUAL, WIDTH, HEADS, POOLER_HEADS, PATCH, SIZE, LENGTH, QUERIES, DEPTH = 32, 24, 4, 2, 8, 32, 24, 5, 2
KINDS = ('weight', 'bias')
MEAN, STD = [0.5, 0.45, 0.4], [0.25, 0.3, 0.35]


def model_config(vocab_size, visual=VISUAL, **text):
    vision = dict(width=visual, layers=DEPTH, head_width=visual // HEADS, patch_size=PATCH, image_size=SIZE)
    words = dict(context_length=LENGTH, vocab_size=vocab_size, width=WIDTH, heads=HEADS, layers=DEPTH)
    pooler = dict(attentional_pool=True, attn_pooler_heads=POOLER_HEADS, attn_pooler_queries=QUERIES)
    return dict(
        embed_dim=WIDTH,
        vision_cfg=dict(vision, output_tokens=True, **pooler),
        text_cfg=dict(words, embed_cls=True, output_tokens=True, **text),
        multimodal_cfg=dict(words, attn_pooler_heads=3),
        custom_text=True,
    )


def random_weights(vocab_size, visual=VISUAL, seed=0):
    """A state dict; poolers of another width than the tokens keep their three matrices apart."""
    draw = torch.Generator().manual_seed(seed)
    shapes = {'logit_scale': (), 'text.text_projection': (WIDTH, WIDTH), 'visual.proj': (WIDTH, WIDTH)}
    shapes |= {'visual.class_embedding': (visual,), 'visual.positional_embedding': (1 + (SIZE // PATCH) ** 2, visual)}
    shapes |= {'visual.conv1.weight': (visual, 3, PATCH, PATCH), 'visual.attn_pool.query': (QUERIES, WIDTH)}
    shapes |= {'text.cls_emb': (WIDTH,), 'text.positional_embedding': (LENGTH + 1, WIDTH)}
    shapes |= {'text.token_embedding.weight': (vocab_size, WIDTH), 'text_decoder.text_projection': (WIDTH, vocab_size)}
    norms = {'visual.ln_pre': visual, 'visual.ln_post': WIDTH, 'text.ln_final': WIDTH, 'text_decoder.ln_final': WIDTH}
    norms |= {'visual.attn_pool.ln_q': WIDTH, 'visual.attn_pool.ln_k': visual}
    attentions = {'visual.attn_pool.attn': (WIDTH, visual)}
    stacks = {'visual.transformer.resblocks': visual, 'text.transformer.resblocks': WIDTH}
    stacks |= {'text_decoder.resblocks': WIDTH, 'text_decoder.cross_attn': WIDTH}
    for stack, width in stacks.items():
        for at in (f'{stack}.{index}' for index in range(DEPTH)):
            norms |= {f'{at}.ln_1': width, f'{at}.ln_2': width}
            norms |= {f'{at}.ln_1_kv': width} if 'cross' in at else {}
            attentions[f'{at}.attn'] = (width, width)
            shapes |= {f'{at}.mlp.c_fc.weight': (4 * width, width), f'{at}.mlp.c_fc.bias': (4 * width,)}
            shapes |= {f'{at}.mlp.c_proj.weight': (width, 4 * width), f'{at}.mlp.c_proj.bias': (width,)}
    for at, (width, seen) in attentions.items():
        fused = {'in_proj_weight': (3 * width, width)}
        apart = {'q_proj_weight': (width, width), 'k_proj_weight': (width, seen), 'v_proj_weight': (width, seen)}
        ends = {'in_proj_bias': (3 * width,), 'out_proj.weight': (width, width), 'out_proj.bias': (width,)}
        shapes |= {f'{at}.{name}': shape for name, shape in ((fused if width == seen else apart) | ends).items()}
    for at, width in norms.items():
        shapes |= {f'{at}.weight': (width,), f'{at}.bias': (width,)}
    return {name: 0.3 * torch.randn(shape, generator=draw) for name, shape in shapes.items()}


def norm(weights, name, values):
    return F.layer_norm(values, values.shape[-1:], weights[f'{name}.weight'], weights[f'{name}.bias'])


def attend(weights, name, query, seen, heads, mask=None):
    matrices = [weights.get(f'{name}.{kind}_proj_weight') for kind in 'qkv']
    if f'{name}.in_proj_weight' in weights:
        matrices = weights[f'{name}.in_proj_weight'].chunk(3)
    biases = weights[f'{name}.in_proj_bias'].chunk(3)
    parts = [F.linear(tokens, *both) for tokens, *both in zip((query, seen, seen), matrices, biases)]
    parts = [part.unflatten(-1, (heads, -1)).transpose(-3, -2) for part in parts]
    out = F.scaled_dot_product_attention(*parts, attn_mask=mask).transpose(-3, -2).flatten(-2)
    return F.linear(out, weights[f'{name}.out_proj.weight'], weights[f'{name}.out_proj.bias'])


def block(weights, name, tokens, seen=None, mask=None):
    query = norm(weights, f'{name}.ln_1', tokens)
    seen = query if seen is None else norm(weights, f'{name}.ln_1_kv', seen)
    tokens = tokens + attend(weights, f'{name}.attn', query, seen, HEADS, mask)
    hidden = F.linear(norm(weights, f'{name}.ln_2', tokens), *(weights[f'{name}.mlp.c_fc.{k}'] for k in KINDS))
    return tokens + F.linear(F.gelu(hidden), *(weights[f'{name}.mlp.c_proj.{k}'] for k in KINDS))


def encode_image(weights, pixels):
    """Map float (B, 3, H, W) to unit vectors (B, E) and tokens (B, n - 1, D)."""
    patches = F.conv2d(pixels, weights['visual.conv1.weight'], stride=PATCH).flatten(2).transpose(1, 2)
    first = weights['visual.class_embedding'].expand(len(pixels), 1, -1)
    tokens = torch.cat([first, patches], dim=1) + weights['visual.positional_embedding']
    tokens = norm(weights, 'visual.ln_pre', tokens)
    for index in range(DEPTH):
        tokens = block(weights, f'visual.transformer.resblocks.{index}', tokens)
    query = norm(weights, 'visual.attn_pool.ln_q', weights['visual.attn_pool.query']).expand(len(pixels), -1, -1)
    seen = norm(weights, 'visual.attn_pool.ln_k', tokens)
    pooled = norm(weights, 'visual.ln_post', attend(weights, 'visual.attn_pool.attn', query, seen, POOLER_HEADS))
    return F.normalize(pooled[:, 0] @ weights['visual.proj'], dim=-1), pooled[:, 1:]


def encode_text(weights, ids, shifted=True):
    """Map texts padded to all positions, int64 (B, L), to unit vectors (B, E) and tokens (B, L, D)."""
    tokens = torch.cat(
        [weights['text.token_embedding.weight'][ids], weights['text.cls_emb'].expand(len(ids), 1, -1)], 1
    )
    tokens = tokens + weights['text.positional_embedding']
    real = F.pad(ids != 0, (1, 0) if shifted else (0, 1), value=True)
    mask = torch.ones(LENGTH + 1, LENGTH + 1, dtype=torch.bool).tril() & real[:, None]
    for index in range(DEPTH):
        tokens = block(weights, f'text.transformer.resblocks.{index}', tokens, mask=mask[:, None])
    vector = norm(weights, 'text.ln_final', tokens[:, -1]) @ weights['text.text_projection']
    return F.normalize(vector, dim=-1), tokens[:, :-1]


def decode(weights, tokens, image_tokens):
    """Map the tokens of texts (B, L, D) and of images (B, n, D) to logits (B, L, V)."""
    mask = torch.ones(2 * [tokens.shape[1]], dtype=torch.bool).tril()
    for index in range(DEPTH):
        tokens = block(weights, f'text_decoder.resblocks.{index}', tokens, mask=mask)
        tokens = block(weights, f'text_decoder.cross_attn.{index}', tokens, image_tokens)
    return norm(weights, 'text_decoder.ln_final', tokens) @ weights['text_decoder.text_projection']


def caption(weights, pixels, start, end, length):
    """Write a caption of one image, float (3, H, W), greedily: ids without both ends, at most ``length``."""
    _, image_tokens = encode_image(weights, pixels[None])
    ids = [start]
    while len(ids) <= length:
        padded = torch.tensor([ids + [0] * (LENGTH - len(ids))])
        logits = decode(weights, encode_text(weights, padded)[1], image_tokens)
        ids.append(int(logits[0, len(ids) - 1].argmax()))
        if ids[-1] == end:
            return ids[1:-1]
    return ids[1:]


def write_folder(folder, seed=0, weights_file='open_clip_model.safetensors', **changes):
    """Write what open_clip pushes to the hub; return the weights and the number of ids of the tokenizer."""
    vocab_size = write_byte_pairs(folder)
    weights = random_weights(vocab_size, seed=seed)
    pixels = dict(mean=MEAN, std=STD, interpolation='bicubic', resize_mode='shortest')
    content = dict(model_cfg=model_config(vocab_size), preprocess_cfg=pixels) | changes
    (folder / 'open_clip_config.json').write_text(json.dumps(content))
    if weights_file.endswith('.safetensors'):
        save_file(weights, folder / weights_file)
    else:
        torch.save(weights, folder / weights_file)
    return weights, vocab_size
