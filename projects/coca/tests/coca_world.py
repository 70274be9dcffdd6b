"""A tiny CoCa, byte pairs of a few words, and what the model computes written down step by step, sample by sample."""

import json

import torch
import torch.nn.functional as F
from tokenizers.pre_tokenizers import ByteLevel

from omnivl.structures import VLBatch
from projects.coca.model import CoCaPretrain

WORDS = ('a', 'red', 'green', 'blue', 'square', 'circle', 'photo', 'of', 'what', 'colour', 'is', 'it')
WIDTH, TEXT_WIDTH, HEADS, PATCH, SIZE, LENGTH, QUERIES = 32, 24, 4, 8, 32, 12, 5


def write_byte_pairs(folder, words=WORDS):
    """Write vocab.json and merges.txt as CLIP's, with all bytes and so many words; return the number of ids."""
    pieces = sorted(ByteLevel.alphabet())
    pieces += [f'{piece}</w>' for piece in pieces]
    merges = []
    for word in words:
        letters = [*word[:-1], f'{word[-1]}</w>']
        while len(letters) > 1:
            merges.append((letters[0], letters[1]))
            letters[:2] = [''.join(letters[:2])]
    merges = list(dict.fromkeys(merges))
    pieces = list(dict.fromkeys([*pieces, *map(''.join, merges), '<|startoftext|>', '<|endoftext|>']))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'vocab.json').write_text(json.dumps({piece: index for index, piece in enumerate(pieces)}))
    (folder / 'merges.txt').write_text('\n'.join(['#version: 0.2', *map(' '.join, merges)]) + '\n')
    return len(pieces)


def trunk_config(folder='nowhere', vocab_size=60, kind='cascade', pool='cls', between=False, **changes):
    """A config of a tiny trunk."""
    return (
        dict(
            type='CoCa',
            tokenizer=dict(type='BytePairTokenizer', vocab_folder=str(folder)),
            visual_encoder=dict(
                type='ImageEncoder',
                image_tokenizer=dict(type='ImageTokenizer', patch_size=PATCH, bias=False),
                **dict(width=WIDTH, depth=2, num_heads=HEADS, image_size=SIZE),
            ),
            pooler=dict(kind=kind, num_queries=QUERIES, num_heads=HEADS),
            text_encoder=dict(
                vocab_size=vocab_size, width=TEXT_WIDTH, depth=2, num_heads=HEADS, max_length=LENGTH, pool=pool
            ),
            text_decoder=dict(vocab_size=vocab_size, depth=2, num_heads=HEADS, between=between),
            embed_dim=16,
        )
        | changes
    )


def shaken(model, seed=0):
    """A model with random weights, none of them zero."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if 'temperature' not in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def make_model(seed=0, model=CoCaPretrain, options=None, **changes):
    """A tiny model with random weights, without dropout."""
    torch.manual_seed(seed)
    return shaken(model(trunk=trunk_config(**changes), **(options or {})), seed).eval()


def make_batch(count=4, modality='image', frames=1, vocab_size=60, seed=0):
    """Visuals with texts of several lengths, the first of them 7 tokens."""
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(3, 7, (count, 1), generator=draw)
    lengths[0] = 7
    mask = torch.arange(7) < lengths
    ids = torch.randint(1, vocab_size - 2, (count, 7), generator=draw)
    ids[:, 0] = vocab_size - 2
    ids.scatter_(1, lengths - 1, vocab_size - 1)
    pixels = torch.randn(count, frames, 3, SIZE, SIZE, generator=draw)
    return VLBatch({modality: pixels}, text_ids=ids * mask, text_mask=mask, target_ids=torch.arange(count))


class Naive:
    """What the trunk computes, from its weights alone, for one image and one text without padding."""

    def __init__(self, trunk):
        self.weights = dict(trunk.state_dict())
        self.kind, self.shifted = trunk.pooler.kind, trunk.text_encoder.pool == 'cls_shifted'
        self.between = 'text_decoder.layers.0.between.norm.weight' in self.weights

    def norm(self, name, values, eps=1e-5):
        weight, bias = self.weights[f'{name}.weight'], self.weights[f'{name}.bias']
        centred = values - values.mean(-1, keepdim=True)
        return centred / (centred.pow(2).mean(-1, keepdim=True) + eps).sqrt() * weight + bias

    def linear(self, name, values):
        result = values @ self.weights[f'{name}.weight'].T
        return result + self.weights[f'{name}.bias'] if f'{name}.bias' in self.weights else result

    def attend(self, query, key, value, seen=None):
        """Attention of one sequence, query by query and head by head; ``seen[i]`` lists what query i may look at."""
        width = query.shape[1] // HEADS
        rows = []
        for number, one in enumerate(query):
            index = list(range(len(key))) if seen is None else seen[number]
            heads = []
            for head in range(HEADS):
                part = slice(head * width, (head + 1) * width)
                scores = torch.stack([(one[part] * key[i][part]).sum() / width**0.5 for i in index]).softmax(0)
                heads.append(sum(score * value[i][part] for score, i in zip(scores, index)))
            rows.append(torch.cat(heads))
        return torch.stack(rows)

    def self_attention(self, name, tokens, seen, eps=1e-5):
        query, key, value = self.linear(f'{name}.attention.qkv', self.norm(f'{name}.norm', tokens, eps)).chunk(3, dim=1)
        return tokens + self.linear(f'{name}.attention.proj', self.attend(query, key, value, seen))

    def looked_up(self, name, query, tokens):
        key, value = self.linear(f'{name}.key_value', tokens).chunk(2, dim=1)
        return self.linear(f'{name}.proj', self.attend(self.linear(f'{name}.query', query), key, value))

    def mlp(self, name, tokens, eps=1e-5):
        hidden = F.gelu(self.linear(f'{name}.mlp.fc1', self.norm(f'{name}.norm', tokens, eps)))
        return tokens + self.linear(f'{name}.mlp.fc2', hidden)

    def pooled(self, name, tokens):
        query = self.norm(f'{name}.norm_query', self.weights[f'{name}.query'])
        return self.looked_up(f'{name}.attention', query, self.norm(f'{name}.norm_tokens', tokens))

    def image(self, pixels):
        """Map float (3, H, W) to tokens (n, D) for the decoder and the unit vector (E,)."""
        name = 'visual_encoder'
        kernel = self.weights[f'{name}.image_tokenizer.proj.weight']
        rows = [pixels[:, y : y + PATCH, x : x + PATCH] for y in range(0, SIZE, PATCH) for x in range(0, SIZE, PATCH)]
        tokens = torch.stack([(kernel * row).sum((1, 2, 3)) for row in rows])
        tokens = torch.cat([self.weights[f'{name}.cls_token'][0], tokens]) + self.weights[f'{name}.pos_embed'][0]
        for layer in range(2):
            tokens = self.self_attention(f'{name}.blocks.{layer}.self_attention', tokens, None, 1e-6)
            tokens = self.mlp(f'{name}.blocks.{layer}.feed_forward', tokens, 1e-6)
        tokens = self.norm(f'{name}.norm', tokens, 1e-6)
        made = self.pooled('pooler.generative', tokens)
        if self.kind == 'single':
            made = self.norm('pooler.norm', made)
            made, vector = made[1:], made[0]
        else:
            (vector,) = self.pooled('pooler.contrastive', made if self.kind == 'cascade' else tokens)
        return made, F.normalize(self.linear('visual_proj', vector), dim=0)

    def text(self, ids):
        """Map a list of ids to the tokens (L, D) of the unimodal half and the unit vector (E,)."""
        name, length = 'text_encoder', len(ids)
        if self.shifted and length < LENGTH:
            ids = [*ids, 0]  # the padding that [CLS] sees
        tokens = self.weights[f'{name}.word.weight'][ids] + self.weights[f'{name}.position_embed'][: len(ids)]
        tokens = torch.cat([tokens, self.weights[f'{name}.cls_token'][None]])
        seen = [list(range(i + 1)) for i in range(len(tokens))]
        if self.shifted and length < LENGTH:
            seen[-1] = seen[-1][:-1]
        for layer in range(2):
            tokens = self.self_attention(f'{name}.layers.{layer}.self_attention', tokens, seen)
            tokens = self.mlp(f'{name}.layers.{layer}.feed_forward', tokens)
        vector = self.linear('text_proj', self.norm(f'{name}.norm', tokens[-1]))
        return tokens[:length], F.normalize(vector, dim=0)

    def logits(self, tokens, image_tokens):
        """Map tokens of the unimodal half (L, D) and of the image (n, D) to logits (L, V)."""
        seen = [list(range(i + 1)) for i in range(len(tokens))]
        for layer in range(2):
            name = f'text_decoder.layers.{layer}'
            tokens = self.self_attention(f'{name}.self_attention', tokens, seen)
            tokens = self.mlp(f'{name}.between', tokens) if self.between else tokens
            query = self.norm(f'{name}.cross_attention.norm', tokens)
            looked = self.norm(f'{name}.cross_attention.norm_visual', image_tokens)
            tokens = tokens + self.looked_up(f'{name}.cross_attention.attention', query, looked)
            tokens = self.mlp(f'{name}.feed_forward', tokens)
        return self.linear('text_decoder.head', self.norm('text_decoder.norm', tokens))

    def losses(self, batch, temperature=0.07):
        """Compute both losses of a batch of images without weights, pair by pair and token by token."""
        images, texts, surprises = [], [], []
        for pixels, row, real in zip(batch.frames[:, 0], batch.text_ids, batch.text_mask):
            ids = row[real].tolist()
            image_tokens, image = self.image(pixels)
            tokens, text = self.text(ids)
            images.append(image)
            texts.append(text)
            logits = self.logits(tokens, image_tokens)
            surprises += [-logits[place].log_softmax(0)[ids[place + 1]] for place in range(len(ids) - 1)]
        contrast = []
        for number in range(len(images)):
            for one, others in ((images[number], texts), (texts[number], images)):
                scores = torch.stack([one @ other / temperature for other in others])
                contrast.append(-scores.log_softmax(0)[number] / 2)
        return sum(contrast) / len(images), sum(surprises) / len(surprises)
