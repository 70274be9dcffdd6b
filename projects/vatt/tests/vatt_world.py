"""Tiny VATTs, and what they compute written down step by step, sample by sample and query by query."""

import torch
import torch.nn.functional as F

from omnivl.structures import VLBatch
from projects.vatt.data import WordTokenizer
from projects.vatt.model import VATTPretrain

WIDTH, HEADS, LENGTH, SIZE, FRAMES, SAMPLES, WORDS = 24, 4, 6, 32, 8, 40, 50
BACKBONE = dict(width=WIDTH, depth=2, num_heads=HEADS, mlp_ratio=2.0)


def trunk_config(shared=False, drop_token=0.5, **changes):
    """A config of a tiny trunk: video of 2 x 2 x 2 patches, sound of 5, texts of up to 6 words."""
    own = {} if shared else dict(backbone=BACKBONE)
    ends = dict(projected=16) if shared else {}
    common = dict(drop_token=drop_token, **ends)
    if shared:
        text = dict(type='VATTTextEncoder', vocab_size=WORDS, max_length=LENGTH, embed_width=12, **ends)
    else:
        text = dict(type='VATTT5Encoder', vocab_size=WORDS, width=16, depth=2, num_heads=2, max_length=LENGTH)
        text |= dict(embed_width=12, num_buckets=8, farthest=6)
    return (
        dict(
            type='VATT',
            tokenizer=dict(type=WordTokenizer, vocab_file='nowhere'),
            visual_encoder=dict(
                type='VATTVideoEncoder', image_size=SIZE, num_frames=FRAMES, **common, backbone=BACKBONE
            ),
            audio_encoder=dict(
                type='VATTAudioEncoder',
                grid=(5,),
                tokenizer=dict(type='WaveformTokenizer', patch_size=8),
                **common,
                **own,
            ),
            text_encoder=text,
            bridge=dict(fine_width=10, coarse_width=8),
            shared=shared,
        )
        | changes
    )


def make_model(seed=0, options=None, **changes):
    """A tiny model with random weights, none of them zero, and running statistics that are no one's."""
    torch.manual_seed(seed)
    model = VATTPretrain(trunk=trunk_config(**changes), **(options or {}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for name, buffer in model.named_buffers():
            if 'running' in name:
                buffer.add_(torch.rand_like(buffer))
    return model.eval()


def without_dropout(model):
    """The same model in training, with batch statistics and without a draw."""
    model.train()
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
        if hasattr(part, 'drop_token'):
            part.drop_token = 0.0
        if hasattr(part, 'dropout') and isinstance(part.dropout, float):
            part.dropout = 0.0
    return model


def make_batch(count=4, candidates=3, seed=0):
    """Clips, sounds of several lengths of which the last is silent, and texts of which some are missing."""
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, LENGTH + 1, (count * candidates, 1), generator=draw)
    lengths[1] = 0
    lengths[-candidates:] = 0
    mask = torch.arange(LENGTH) < lengths
    ids = torch.randint(1, WORDS, (count * candidates, LENGTH), generator=draw) * mask
    sounding = torch.arange(SAMPLES) < torch.randint(9, SAMPLES + 1, (count, 1), generator=draw)
    sounding[-1] = False
    waveform = torch.rand(count, SAMPLES, generator=draw) * 2 - 1
    frames = torch.randn(count, FRAMES, 3, SIZE, SIZE, generator=draw)
    inputs, masks = dict(video=frames, audio=waveform * sounding), dict(audio=sounding)
    return VLBatch(inputs, masks=masks, text_ids=ids, text_mask=mask)


class Naive:
    """What the trunk computes in evaluation, from its weights alone, for one sample without padding."""

    def __init__(self, trunk):
        self.weights = dict(trunk.state_dict())
        self.shared = trunk.shared

    def norm(self, name, values, eps=1e-6):
        weight, bias = self.weights[f'{name}.weight'], self.weights.get(f'{name}.bias')
        if bias is None:  # T5's
            return values / (values.pow(2).mean(-1, keepdim=True) + eps).sqrt() * weight
        centred = values - values.mean(-1, keepdim=True)
        return centred / (centred.pow(2).mean(-1, keepdim=True) + eps).sqrt() * weight + bias

    def linear(self, name, values):
        result = values @ self.weights[f'{name}.weight'].T
        return result + self.weights[f'{name}.bias'] if f'{name}.bias' in self.weights else result

    def projected(self, name, tokens):
        return F.gelu(self.linear(f'{name}.0', tokens)) if f'{name}.0.weight' in self.weights else tokens

    def attend(self, name, tokens, heads, bias):
        query, key, value = self.linear(f'{name}.qkv', tokens).chunk(3, dim=1)
        width, rows = query.shape[1] // heads, []
        for i, one in enumerate(query):
            parts = []
            for head in range(heads):
                part = slice(head * width, (head + 1) * width)
                scores = [one[part] @ other[part] / width**0.5 for other in key]
                scores = torch.stack([score + bias(head, i, j) for j, score in enumerate(scores)]).softmax(0)
                parts.append(sum(score * other[part] for score, other in zip(scores, value)))
            rows.append(torch.cat(parts))
        return self.linear(f'{name}.proj', torch.stack(rows))

    def transform(self, name, tokens, heads=HEADS, bias=lambda head, i, j: 0.0):
        for layer in range(2):
            own = f'{name}.layers.{layer}'
            tokens = tokens + self.attend(
                f'{own}.self_attention.attention', self.norm(f'{own}.self_attention.norm', tokens), heads, bias
            )
            hidden = F.gelu(self.linear(f'{own}.feed_forward.mlp.fc1', self.norm(f'{own}.feed_forward.norm', tokens)))
            tokens = tokens + self.linear(f'{own}.feed_forward.mlp.fc2', hidden)
        return self.norm(f'{name}.norm', tokens)

    def through(self, name, patches, places):
        """Lead patches with their places on the axes through an encoder; the vector of the aggregation token."""
        tables = (
            [self.weights[f'{name}.positions.pos_embed.{axis}'] for axis in range(len(places[0]))] if places else []
        )
        tokens = [self.weights[f'{name}.agg_token']]
        for patch, place in zip(patches, places):
            position = sum(table[index] for table, index in zip(tables, place))
            tokens.append(self.projected(f'{name}.before', patch) + self.norm(f'{name}.positions.norm', position))
        return self.projected(f'{name}.after', self.transform(f'{name}.backbone', torch.stack(tokens)))[0]

    def video(self, frames):
        """Map float (T, 3, H, W) to the vector of the clip."""
        kernel, bias = (self.weights[f'visual_encoder.patches.{kind}'] for kind in ('weight', 'bias'))
        patches, places = [], []
        for time in range(FRAMES // 4):
            for row in range(SIZE // 16):
                for column in range(SIZE // 16):
                    part = frames[4 * time :][:4, :, 16 * row :, 16 * column :][:, :, :16, :16].transpose(0, 1)
                    patches.append((kernel * part).sum((1, 2, 3, 4)) + bias)
                    places.append((time, row, column))
        return self.through('visual_encoder', patches, places)

    def sound(self, samples):
        """Map the real samples of a sound, float (n,), to its vector."""
        padded = F.pad(samples, (0, -len(samples) % 8))
        patches = [self.linear('audio_encoder.tokenizer.proj', padded[i : i + 8]) for i in range(0, len(padded), 8)]
        return self.through('audio_encoder', patches, [(i,) for i in range(len(patches))])

    def text(self, ids):
        """Map a list of words to the vector of the text."""
        words = [self.weights['text_encoder.word.weight'][index] for index in ids]
        if self.shared:
            return self.through('text_encoder', words, [(i,) for i in range(len(words))])
        tokens = self.projected('text_encoder.before', torch.stack([self.weights['text_encoder.agg_token'], *words]))

        def bias(head, i, j):
            """Of 8 buckets, the farthest at 6: distances 0, 1, then two that grow, of either direction."""
            distance = abs(i - j)
            place = distance if distance < 2 else 2 if distance < 2 * 3**0.5 else 3
            return self.weights['text_encoder.distance.weight'][place + (4 if j > i else 0), head]

        return self.transform('text_encoder.backbone', tokens, 2, bias)[0]

    def normed(self, name, values):
        mean, variance = (self.weights[f'{name}.running_{kind}'] for kind in ('mean', 'var'))
        return (values - mean) / (variance + 1e-5).sqrt() * self.weights[f'{name}.weight'] + self.weights[
            f'{name}.bias'
        ]

    def fine(self, vector):
        name = 'bridge.video_to_fine'
        hidden = self.normed(f'{name}.1', self.linear(f'{name}.0', vector)).relu()
        return self.normed(f'{name}.4', self.linear(f'{name}.3', hidden))

    def coarse(self, fine):
        return self.normed('bridge.fine_to_coarse.2', self.linear('bridge.fine_to_coarse.1', fine.relu()))


def naive_nce(videos, counterparts, temperature=0.07):
    """The loss pair by pair: vectors of videos, and for each a list of those of its counterparts, maybe empty."""
    unit = [F.normalize(video, dim=0) for video in videos]
    others = [[F.normalize(one, dim=0) for one in row] for row in counterparts]
    losses = []
    for i, row in enumerate(others):
        if not row:
            continue
        similar = [torch.exp(unit[i] @ one / temperature) for one in row]
        every = [torch.exp(unit[i] @ one / temperature) for other in others for one in other]
        every += [torch.exp(video @ one / temperature) for video in unit for one in row]
        losses.append(torch.log(sum(every)) - torch.log(sum(similar)))
    return sum(losses) / len(losses)
