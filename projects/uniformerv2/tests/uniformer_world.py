"""A tiny UniFormerV2, and what it computes written down step by step, without any layer of the library."""

import torch
import torch.nn.functional as F

from omnivl.models import OmniVLClassifier

WIDTH, HEADS, DEPTH, PATCH, SIZE, CLASSES = 24, 3, 3, 8, 32, 5
SCENE = dict(global_layers=(1, 2))
MOTION = dict(global_layers=(0, 2), num_local=2, tokenizer=dict(patch_size=PATCH, time_kernel=3, time_stride=2))
ONE_LOCAL = dict(global_layers=(2,), num_local=1)
FROZEN = dict(global_layers=(1, 2), frozen=True)
KINDS = {'scene': SCENE, 'motion': MOTION, 'one local relation': ONE_LOCAL, 'frozen': FROZEN}


def encoder_config(**changes):
    """A config of the encoder, without dropout."""
    own = dict(width=WIDTH, depth=DEPTH, num_heads=HEADS, image_size=SIZE, num_frames=4, **SCENE)
    own['global_dropout'] = 0.0
    tokenizer = dict(patch_size=PATCH, time_kernel=1)
    return dict(type='UniFormerV2', tokenizer=tokenizer, **own) | changes


def stage_trunk(stem):
    """A config of the trunk that pretraining has, of width 16, for pictures of 32 pixels."""
    text = dict(vocab_size=34, width=16, depth=1, num_heads=2, max_length=8)
    encoder = dict(
        type='UnifiedVisualEncoder',
        image_tokenizer=dict(patch_size=8, stem_channels=stem),
        video_tokenizer=dict(patch_size=8, stem_channels=stem),
        **dict(width=16, depth=2, num_heads=2, image_size=32, num_frames=4),
    )
    return dict(
        type='OmniVL',
        visual_encoder=encoder,
        text_encoder=dict(type='TextEncoder', **text),
        alignment_decoder=dict(type='AlignmentDecoder', **text),
        generation_decoder=dict(type='GenerationDecoder', **text),
        tokenizer=dict(type='WordPieceTokenizer', vocab_file='nowhere'),
    )


def make_classifier(seed=0, shake=True, num_classes=CLASSES, **changes):
    """A classifier with random weights, none of them zero unless ``shake`` is false."""
    torch.manual_seed(seed)
    trunk = dict(type='VisualTrunk', visual_encoder=encoder_config(**changes))
    model = OmniVLClassifier(trunk=trunk, num_classes=num_classes)
    if shake:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
            for name, value in model.named_buffers():
                if name.endswith('running_var'):
                    value.uniform_(0.5, 2.0)
    return model.eval()


def norm(weights, name, values):
    return F.layer_norm(values, (WIDTH,), weights[f'{name}.weight'], weights[f'{name}.bias'], 1e-5)


def linear(weights, name, values):
    return values @ weights[f'{name}.weight'].T + weights[f'{name}.bias']


def attend(query, key, value):
    """Attention of one sequence, float (L, D) and (S, D), head by head."""
    heads = []
    for q, k, v in zip(*(tensor.chunk(HEADS, dim=1) for tensor in (query, key, value))):
        heads.append((q @ k.T / (WIDTH // HEADS) ** 0.5).softmax(dim=1) @ v)
    return torch.cat(heads, dim=1)


def mlp(weights, name, values):
    hidden = linear(weights, f'{name}.mlp.fc1', norm(weights, f'{name}.norm', values))
    return linear(weights, f'{name}.mlp.fc2', hidden * torch.sigmoid(1.702 * hidden))


def relation(weights, name, patches):
    """Local relation of the patches of one clip, float (T, P, D), with the running statistics."""
    scale = weights[f'{name}.norm.weight'] / (weights[f'{name}.norm.running_var'] + 1e-5).sqrt()
    normed = (patches - weights[f'{name}.norm.running_mean']) * scale + weights[f'{name}.norm.bias']
    hidden = linear(weights, f'{name}.down', normed)
    kernel, nothing = weights[f'{name}.over_time.weight'][:, 0, :, 0], torch.zeros_like(hidden[0])
    frames = [nothing, *hidden, nothing]
    mixed = [sum(kernel[:, tap] * frames[at + tap] for tap in range(3)) for at in range(len(hidden))]
    return linear(weights, f'{name}.up', torch.stack(mixed) + weights[f'{name}.over_time.bias'])


def look(weights, name, query, tokens):
    """A global block for one clip: query float (1, D), tokens float (T, 1 + P, D)."""
    side = int((tokens.shape[1] - 1) ** 0.5)
    cube = tokens[:, 1:].permute(2, 0, 1).reshape(1, WIDTH, len(tokens), side, side)
    kernel, bias = weights[f'{name}.position.weight'], weights[f'{name}.position.bias']
    where = F.conv3d(cube, kernel, bias, padding=1, groups=WIDTH)[0].flatten(2).permute(1, 2, 0)
    seen = torch.cat([tokens[:, :1], tokens[:, 1:] + where], dim=1).flatten(0, 1)
    at = f'{name}.attention'
    seen = norm(weights, f'{at}.norm_visual', seen)
    key, value = linear(weights, f'{at}.attention.key_value', seen).chunk(2, dim=1)
    asked = linear(weights, f'{at}.attention.query', norm(weights, f'{at}.norm', query))
    query = query + linear(weights, f'{at}.attention.proj', attend(asked, key, value))
    return query + mlp(weights, f'{name}.feed_forward', query)


def naive_vector(model, clip):
    """The vector of one clip, float (T, 3, H, W) to (D,)."""
    encoder, weights = model.trunk.visual_encoder, model.trunk.visual_encoder.state_dict()
    stride = encoder.tokenizer.time_stride
    kernel = weights['tokenizer.proj.weight']
    cubes = F.conv3d(clip.transpose(0, 1)[None], kernel, None, (stride, PATCH, PATCH), (kernel.shape[2] // 2, 0, 0))
    patches = cubes[0].flatten(2).permute(1, 2, 0)  # (T', P, D)
    tokens = torch.cat([weights['cls_token'].expand(len(patches), 1, -1), patches], dim=1) + weights['pos_embed']
    tokens = norm(weights, 'pre_norm', tokens)
    query = weights['query'][0]
    for index, block in enumerate(encoder.blocks):
        name = f'blocks.{index}'
        for part in ('attention', 'feed_forward'):
            number = ('attention', 'feed_forward').index(part)
            if number < len(block.relations):
                related = relation(weights, f'{name}.relations.{number}', tokens[:, 1:])
                tokens = torch.cat([tokens[:, :1], tokens[:, 1:] + related], dim=1)
            if part == 'attention':
                read = norm(weights, f'{name}.attention.norm', tokens)
                frames = [
                    attend(*linear(weights, f'{name}.attention.attention.qkv', one).chunk(3, dim=1)) for one in read
                ]
                tokens = tokens + linear(weights, f'{name}.attention.attention.proj', torch.stack(frames))
            else:
                tokens = tokens + mlp(weights, f'{name}.feed_forward', tokens)
        if index in encoder.global_layers:
            query = look(weights, f'global_blocks.{encoder.global_layers.index(index)}', query, tokens)
    if 'gate' in weights:
        share = torch.sigmoid(weights['gate'])
        query = (1 - share) * query + share * tokens[:, 0].mean(dim=0)
    return norm(weights, 'norm', query)[0]


# Ours -> that of the published checkpoints, one after the other.
PUBLISHED = (
    ('tokenizer.proj', 'conv1'),
    ('cls_token', 'class_embedding'),
    ('pos_embed', 'positional_embedding'),
    ('pre_norm', 'ln_pre'),
    ('global_blocks.{}.position', 'transformer.dpe.{}'),
    ('global_blocks.{}.attention.attention.proj', 'transformer.dec.{}.attn.out_proj'),
    ('global_blocks.{}.attention.norm_visual', 'transformer.dec.{}.ln_3'),
    ('global_blocks.{}.attention.norm', 'transformer.dec.{}.ln_1'),
    ('global_blocks.{}.feed_forward.norm', 'transformer.dec.{}.ln_2'),
    ('global_blocks.{}.feed_forward.mlp.fc1', 'transformer.dec.{}.mlp.c_fc'),
    ('global_blocks.{}.feed_forward.mlp.fc2', 'transformer.dec.{}.mlp.c_proj'),
    ('blocks.{}.attention.attention.qkv.weight', 'transformer.resblocks.{}.attn.in_proj_weight'),
    ('blocks.{}.attention.attention.qkv.bias', 'transformer.resblocks.{}.attn.in_proj_bias'),
    ('blocks.{}.attention.attention.proj', 'transformer.resblocks.{}.attn.out_proj'),
    ('blocks.{}.attention.norm', 'transformer.resblocks.{}.ln_1'),
    ('blocks.{}.feed_forward.norm', 'transformer.resblocks.{}.ln_2'),
    ('blocks.{}.feed_forward.mlp.fc1', 'transformer.resblocks.{}.mlp.c_fc'),
    ('blocks.{}.feed_forward.mlp.fc2', 'transformer.resblocks.{}.mlp.c_proj'),
    ('blocks.{}.relations.0.norm', 'transformer.resblocks.{}.lmhra1.pos_embed.0'),
    ('blocks.{}.relations.0.down', 'transformer.resblocks.{}.lmhra1.pos_embed.1'),
    ('blocks.{}.relations.0.over_time', 'transformer.resblocks.{}.lmhra1.pos_embed.2'),
    ('blocks.{}.relations.0.up', 'transformer.resblocks.{}.lmhra1.pos_embed.3'),
    ('blocks.{}.relations.1.norm', 'transformer.resblocks.{}.lmhra2.pos_embed.0'),
    ('blocks.{}.relations.1.down', 'transformer.resblocks.{}.lmhra2.pos_embed.1'),
    ('blocks.{}.relations.1.over_time', 'transformer.resblocks.{}.lmhra2.pos_embed.2'),
    ('blocks.{}.relations.1.up', 'transformer.resblocks.{}.lmhra2.pos_embed.3'),
    ('query', 'transformer.temporal_cls_token'),
    ('gate', 'transformer.balance'),
)


def published_weights(model, dialect='opengvlab'):
    """The weights of a classifier under the keys of OpenGVLab or mmaction2."""
    own = {key.removeprefix('trunk.visual_encoder.'): value.clone() for key, value in model.state_dict().items()}
    for index in range(len(model.trunk.visual_encoder.global_layers)):
        for kind in ('weight', 'bias'):
            parts = [
                own.pop(f'global_blocks.{index}.attention.attention.{part}.{kind}') for part in ('query', 'key_value')
            ]
            own[f'global_blocks.{index}.attention.attention.in.{kind}'] = torch.cat(parts)
    last, head = ('transformer.proj.0', 'transformer.proj.2') if dialect == 'opengvlab' else ('transformer.norm', None)
    names = [*PUBLISHED, ('norm', last), ('head', head or 'fc_cls')]
    names += [
        (f'global_blocks.{{}}.attention.attention.in.{kind}', f'transformer.dec.{{}}.attn.in_proj_{kind}')
        for kind in ('weight', 'bias')
    ]
    found = {}
    for key, value in own.items():
        number = next((part for part in key.split('.') if part.isdigit()), '')
        theirs, rest = next(
            (theirs.format(number), key.removeprefix(ours.format(number)))
            for ours, theirs in names
            if key == ours.format(number) or key.startswith(ours.format(number) + '.')
        )
        if '.pos_embed.' in theirs and rest == '.weight' and value.ndim > 1:
            value = value[..., None] if value.ndim == 4 else value[:, :, None, None, None]
        if key in ('cls_token', 'pos_embed'):
            value = value.squeeze(0).squeeze(0) if key == 'cls_token' else value[0]
        prefix = 'cls_head.' if theirs == 'fc_cls' else 'backbone.'
        found[prefix + theirs + rest] = value
    return found
