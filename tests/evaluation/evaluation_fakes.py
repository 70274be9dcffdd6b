"""A model that offers Encodes, Contrasts and Matches with every answer looked up in tables, and loaders for it.

A visual is one pixel that holds its number; a text is the word 'w<number>'. The tables say what is similar and what
matches, so that the figures can be worked out by hand.
"""

from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from omnivl.structures import VisualFeatures, VLBatch, VLDataSample

PAD, UNK, CLS, SEP, FIRST = 0, 1, 2, 3, 5


class FakeTokenizer:
    pad_id, cls_id, sep_id, decoder_id = PAD, CLS, SEP, 4

    def encode(self, text, max_length):
        words = [FIRST + int(word[1:]) if word[1:].isdecimal() else UNK for word in text.split()]
        return np.array([CLS, *words[: max_length - 2], SEP])

    def decode(self, ids):
        return ' '.join(f'w{token - FIRST}' for token in ids if token >= FIRST)


class FakeModel(nn.Module):
    """``visual_features`` (visuals, E), ``text_features`` (words, E) and ``match`` (visuals, words) are the tables."""

    def __init__(self, visual_features, text_features, match=None):
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))
        self.frozen = nn.Dropout().eval()
        self.visual_features = nn.functional.normalize(torch.as_tensor(visual_features, dtype=torch.float32), dim=1)
        self.text_features = nn.functional.normalize(torch.as_tensor(text_features, dtype=torch.float32), dim=1)
        self.match = torch.zeros(len(visual_features), len(text_features)) if match is None else torch.as_tensor(match)
        self.tokenizer = FakeTokenizer()
        self.scored, self.with_key_values, self.modes = [], [], set()

    def data_preprocessor(self, data, training):
        assert not training
        samples = data['data_samples']
        views = samples[0].get('num_views', 1)
        batch = VLBatch({name: values.float() for name, values in data['inputs'].items()}, num_views=views)
        return {'batch': batch, 'data_samples': samples}

    def temperature_value(self):
        return 0.5

    def encode(self, batch):
        self.modes.add((self.training, torch.is_grad_enabled()))
        numbers = batch.frames[:, 0, 0, 0, 0]
        return VisualFeatures(numbers[:, None, None], numbers[:, None])

    def project_visual(self, pooled, modality=None):
        return self.visual_features[pooled[:, 0].long()]

    def embed_text(self, text_ids, text_mask):
        assert text_mask.any(0).all(), 'padded further than the longest text'
        summed = [self.text_features[row[mask][1:-1] - FIRST].sum(0) for row, mask in zip(text_ids, text_mask)]
        return nn.functional.normalize(torch.stack(summed), dim=1)

    def matching_key_values(self, visual_tokens):
        assert visual_tokens.dtype == torch.float32
        numbers = visual_tokens[:, 0, 0].long()
        self.with_key_values += numbers.tolist()
        return [(numbers, numbers)]  # of one layer

    def match_logits(self, text_ids, text_mask, key_values, visual_index=None):
        ((numbers, _),) = key_values
        if visual_index is None:
            assert len(numbers) == 1
            visual_index = torch.zeros(len(text_ids), dtype=torch.int64)
        visuals, words = numbers[visual_index], text_ids[:, 1] - FIRST
        self.scored += list(zip(visuals.tolist(), words.tolist()))
        return torch.stack([torch.full((len(words),), 0.25), self.match[visuals, words].float()], dim=1)


def sample(number, words, modality='image', source='fake', **fields):
    """Visual ``number`` with captions of one word each, given by number."""
    captions = [word if isinstance(word, str) else f'w{word}' for word in words]
    packed = VLDataSample(
        metainfo={
            'sample_id': str(number), 'source': source, 'visual': f'{number}.jpg', 'modality': modality,
            'captions': captions,
        }
    )  # fmt: skip
    packed.caption_ids = [FakeTokenizer().encode(caption, 20) for caption in captions]
    for key, value in fields.items():
        setattr(packed, key, value)
    return packed


def loader(samples, batch_size=3, rank=0, world_size=1):
    """Batches of the samples of one rank."""
    mine = samples[rank::world_size]
    return [
        {
            'inputs': {
                part[0].modality: torch.tensor([int(s.sample_id) for s in part])
                .view(-1, 1, 1, 1, 1)
                .expand(-1, 2, 3, 4, 6)
            },
            'data_samples': part,
        }
        for part in (mine[start : start + batch_size] for start in range(0, len(mine), batch_size))
    ]


class Loader(list):
    """A list of batches with a dataset that has classes."""

    def __init__(self, batches, classes):
        super().__init__(batches)
        self.dataset = SimpleNamespace(classes=classes, tokenize=lambda text: FakeTokenizer().encode(text, 40))
