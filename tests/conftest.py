"""What every test may use: one thread, the tiny model, a vocabulary, random batches."""

import gc
import os
import random
import sys
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')  # inherited by the processes that tests start

import pytest
import torch

from omnivl.registry import MODELS
from omnivl.structures import VLBatch

torch.set_num_threads(1)

WORDS = 27  # beside the five special tokens of the file; [DEC] and [ENC] make 34
VOCAB_SIZE = 34


def pytest_collection_finish():
    """Let the collector of garbage pass by all that was imported: half a second each time that it is asked for."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items):
    """Begin with the files that have slow tests, and skip what needs a GPU where there is none, with the reason."""
    slow = {item.path for item in items if item.get_closest_marker('slow')}
    items.sort(key=lambda item: item.path not in slow)
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker('gpu'):
            item.add_marker(pytest.mark.skip(reason='needs a CUDA device, torch.cuda.is_available() is False'))


@pytest.fixture(scope='session')
def vocab_file(tmp_path_factory):
    path = tmp_path_factory.mktemp('vocab') / 'vocab.txt'
    path.write_text('\n'.join(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *(f'w{i}' for i in range(WORDS))]))
    return path


@pytest.fixture
def each_flip():
    """A function that goes through single bits of some files: each is changed in one of them, and put back."""

    def flips(files, number=60, seed=0):
        draw = random.Random(seed)
        contents = {file: file.read_bytes() for file in files if file.stat().st_size}
        for _ in range(number):
            file, content = draw.choice(list(contents.items()))
            bit = draw.randrange(8 * len(content))
            changed = bytearray(content)
            changed[bit // 8] ^= 1 << bit % 8
            file.write_bytes(changed)
            yield f'bit {bit} of {file.name}'
            file.write_bytes(content)

    return flips


@pytest.fixture
def tiny_trunk(vocab_file):
    """A function that makes the config of a trunk of width 16, depth 2, for 32-pixel pictures."""

    def make(stem_channels=(), time_stride=1, encoder=None, depth=2, **options):
        text = dict(vocab_size=VOCAB_SIZE, width=16, depth=depth, num_heads=2, max_length=24, dropout=0.0)
        return dict(
            type='OmniVL',
            visual_encoder=dict(
                type='UnifiedVisualEncoder',
                image_tokenizer=dict(type='ImageTokenizer', patch_size=8, stem_channels=stem_channels),
                video_tokenizer=dict(
                    type='VideoTokenizer', patch_size=8, stem_channels=stem_channels, time_stride=time_stride
                ),
                **(dict(width=16, depth=depth, num_heads=2, image_size=32, num_frames=4) | (encoder or {})),
            ),
            text_encoder=dict(type='TextEncoder', **text),
            alignment_decoder=dict(type='AlignmentDecoder', **text),
            generation_decoder=dict(type='GenerationDecoder', **text),
            tokenizer=dict(type='WordPieceTokenizer', vocab_file=str(vocab_file)),
            embed_dim=8,
            **options,
        )

    return make


@pytest.fixture
def tiny_config(tiny_trunk):
    """A function that makes the config of a task on the tiny trunk; ``trunk`` holds options of the latter."""

    def make(type='OmniVLPretrain', trunk=None, **options):
        defaults = {}
        if type == 'OmniVLPretrain':
            losses = [dict(type='UniVLCLoss'), dict(type='MatchingLoss'), dict(type='LanguageLoss')]
            defaults = dict(losses=losses, queue_length=12)
        return dict(type=type, trunk=tiny_trunk(**(trunk or {})), **(defaults | options))

    return make


@pytest.fixture
def tiny_model(tiny_config):
    """A function that builds the tiny model, seeded; the video path is shaken loose from its zero start on request."""

    def make(seed=0, shake=False, **options):
        torch.manual_seed(seed)
        model = MODELS.build(tiny_config(**options))
        if shake:
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(0.1 * torch.randn_like(parameter))
        return model

    return make


@pytest.fixture
def random_batch():
    """A function that makes a batch with texts of different lengths."""

    def make(size=4, modality='image', frames=None, seed=0, targets=None):
        generator = torch.Generator().manual_seed(seed)
        time = frames or (1 if modality == 'image' else 4)
        lengths = [4 + i % 4 for i in range(size)]
        text_ids = torch.zeros(size, max(lengths), dtype=torch.int64)
        for row, length in zip(text_ids, lengths):
            row[:length] = torch.randint(5, 5 + WORDS, (length,), generator=generator)
            row[0], row[length - 1] = 2, 3
        return VLBatch(
            {modality: torch.randn(size, time, 3, 32, 32, generator=generator)},
            text_ids=text_ids,
            text_mask=text_ids != 0,
            target_ids=torch.arange(size) if targets is None else torch.tensor(targets),
        )

    return make


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """An empty hub on loopback, with an empty cache, that the client takes for the one hub."""
    from huggingface_hub import constants

    sys.path.insert(0, str(Path(__file__).parent / 'weights'))
    from hub_server import Hub, serve

    found = Hub()
    server = serve(found)
    monkeypatch.setattr(constants, 'ENDPOINT', server.url)
    monkeypatch.setattr(
        constants, 'HUGGINGFACE_CO_URL_TEMPLATE', server.url + '/{repo_id}/resolve/{revision}/{filename}'
    )
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path / 'hub_cache'))
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', False)
    monkeypatch.setattr(constants, 'HF_HUB_DISABLE_XET', True)
    monkeypatch.setenv('HF_TOKEN', 'hf_of_the_test')
    yield found
    server.shutdown()
    server.server_close()
