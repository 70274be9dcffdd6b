"""A tiny IMP, batches of all modalities, and what router, experts, encoder and losses compute written down as loops."""

import math

import torch
import torch.nn.functional as F

from omnivl.structures import VLBatch
from projects.imp.model import IMPPretrain

WORDS = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'red', 'green', 'blue', 'circle', 'square', 'a', 'of')
WIDTH, HEADS, SIDE, SAMPLES = 16, 2, 16, 96


def write_vocabulary(folder):
    file = folder / 'vocab.txt'
    file.write_text('\n'.join(WORDS) + '\n')
    return file


def trunk_config(vocab_file='nowhere', experts=None, **changes):
    """A config of a tiny trunk: patches of 2 frames of 8 x 8 pixels and of 16 samples; the last layer has experts."""
    sparse = dict(num_sparse=1, qk_norm=True, experts=dict(num_experts=4, group_size=24) | (experts or {}))
    return (
        dict(
            type='IMP',
            encoder=dict(width=WIDTH, depth=2, num_heads=HEADS, mlp_ratio=2.0) | sparse,
            visual_encoder=dict(patch_size=(2, 8, 8), grid=(4, 8, 8), image_size=SIDE),
            text_encoder=dict(vocab_size=20, max_length=12),
            audio_encoder=dict(tokenizer=dict(type='WaveformTokenizer', patch_size=16), grid=(16,)),
            tokenizer=dict(type='WordPieceTokenizer', vocab_file=str(vocab_file)),
            embed_dim=8,
        )
        | changes
    )


def make_model(seed=0, options=None, **changes):
    """A tiny model with random weights, none of them zero."""
    torch.manual_seed(seed)
    model = IMPPretrain(trunk=trunk_config(**changes), **(options or {}))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if 'temperature' not in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def make_batch(count=4, modality='video', frames=4, sound=True, seed=0, **fields):
    """Visuals with sound, of which the second one has none and the third one half, and texts of several lengths."""
    draw = torch.Generator().manual_seed(seed)
    text_mask = torch.arange(6) < torch.randint(3, 7, (count, 1), generator=draw)
    text_mask[0] = True
    inputs = {modality: torch.randn(count, frames, 3, SIDE, SIDE, generator=draw)}
    masks = {}
    if sound:
        heard = torch.full((count, 1), SAMPLES)
        heard[1], heard[2] = 0, SAMPLES // 2
        masks['audio'] = torch.arange(SAMPLES) < heard
        inputs['audio'] = torch.randn(count, SAMPLES, generator=draw) * masks['audio']
    ids = torch.randint(5, 20, (count, 6), generator=draw) * text_mask
    return VLBatch(inputs, masks=masks, text_ids=ids, text_mask=text_mask, **fields)


def part_of(batch, part):
    """Some samples of a batch."""
    return VLBatch(
        {name: values[part] for name, values in batch.inputs.items()},
        masks={name: mask[part] for name, mask in batch.masks.items()},
        text_ids=batch.text_ids[part],
        text_mask=batch.text_mask[part],
        labels=None if batch.labels is None else batch.labels[part],
        task=batch.task,
        losses=batch.losses,
    )


def naive_choice(probabilities, capacity, real=None):
    """Experts of one group choose, one after the other: a list of (gate, token) for each; (n, X), bool (n,)."""
    chosen = []
    for expert in range(probabilities.shape[1]):
        wanted = [
            (probabilities[token, expert].item() if real is None or real[token] else -1.0, token)
            for token in range(len(probabilities))
        ]
        best = sorted(wanted, key=lambda one: -one[0])[:capacity]
        chosen.append([(max(gate, 0.0), token) for gate, token in best])
    return chosen


def naive_experts(layer, tokens, real=None):
    """What ``ExpertFeedForward`` gives: tokens (B, S, D) laid end to end, group by group, expert by expert."""
    flat = tokens.flatten(0, 1)
    seen = None if real is None or not layer.mask_padding else real.flatten()
    limit = tokens.shape[1] if layer.groups == 'sample' else layer.group_size
    count = math.ceil(len(flat) / limit)
    size = math.ceil(len(flat) / count)
    experts = len(layer.inner)
    capacity = min(size, max(1, round(layer.capacity_factor * size / experts)))
    out = torch.zeros_like(flat)
    for start in range(0, count * size, size):
        group = F.pad(flat, (0, 0, 0, size))[start : start + size]
        there = torch.arange(start, start + size) < len(flat)
        own = there if seen is None else there & F.pad(seen, (0, size))[start : start + size]
        probabilities = (group @ layer.router.T).softmax(1)
        for expert, chosen in enumerate(naive_choice(probabilities, capacity, own)):
            for gate, token in chosen:
                if start + token < len(flat):
                    hidden = F.gelu(group[token] @ layer.inner[expert], approximate='tanh')
                    out[start + token] += gate * (hidden @ layer.outer[expert])
    return out.view_as(tokens)


def naive_layer(layer, tokens, real=None):
    """A layer of the encoder, sample by sample, head by head and query by query."""
    block = layer.self_attention
    attention, rows = block.attention, []
    for number, sequence in enumerate(tokens):
        normed = F.layer_norm(sequence, (WIDTH,), block.norm.weight, eps=1e-6)
        query, key, value = (normed @ attention.qkv.weight.T).chunk(3, dim=1)
        looked_at = [i for i in range(len(sequence)) if real is None or real[number, i] or not real[number].any()]
        heads = []
        for head in range(HEADS):
            part = slice(head * WIDTH // HEADS, (head + 1) * WIDTH // HEADS)
            q, k = (norm(one[:, part]) for norm, one in ((attention.norm_query, query), (attention.norm_key, key)))
            read = []
            for one in q:
                scores = torch.stack([one @ k[i] / math.sqrt(WIDTH // HEADS) for i in looked_at]).softmax(0)
                read.append(sum(score * value[i, part] for score, i in zip(scores, looked_at)))
            heads.append(torch.stack(read))
        rows.append(sequence + torch.cat(heads, dim=1) @ attention.proj.weight.T)
    tokens = torch.stack(rows)
    normed = F.layer_norm(tokens, (WIDTH,), layer.feed_forward.norm.weight, eps=1e-6)
    if layer.is_sparse:
        return tokens + naive_experts(layer.feed_forward.experts, normed, real)
    mlp = layer.feed_forward.mlp
    return tokens + F.gelu(normed @ mlp.fc1.weight.T, approximate='tanh') @ mlp.fc2.weight.T


def naive_contrast(pair):
    """InfoNCE both ways over the samples that have both, anchor by anchor."""
    rows = [i for i in range(len(pair.real)) if pair.real[i]]
    total = 0.0
    for anchors, others in ((pair.one, pair.other), (pair.other, pair.one)):
        for i in rows:
            scores = torch.stack([anchors[i] @ others[j] / pair.temperature for j in rows])
            total = total - scores.log_softmax(0)[rows.index(i)]
    return total / (2 * len(rows))
