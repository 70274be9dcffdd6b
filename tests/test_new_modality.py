"""A third modality in one new file, which this one stands for: sound, alone and beside the frames of a video.

Everything above the tests is what a project would write; no file of ``omnivl/`` knows of it.
"""

import json
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader

from omnivl.apis.inputs import read_visuals
from omnivl.apis.loading import modality_of
from omnivl.apis.preparation import Preparation
from omnivl.datasets import collate_samples
from omnivl.datasets.transforms import LoadVideo, Packer, PackSample, TokenizeText
from omnivl.models import VLDataPreprocessor
from omnivl.registry import DATASETS, MODELS, NORMALIZERS, PACKERS, PICTURES, TRANSFORMS
from omnivl.structures import MODALITIES, Modality, modality_of_path, register_modality
from omnivl.visualization.pictures import draw_values

sys.path.insert(0, str(Path(__file__).parent / 'datasets' / 'transforms'))
from transform_toys import LetterTokenizer, write_video

RATE = 8000
SOUND = Modality(
    name='sound',
    plural='sounds',
    letter='s',
    suffixes=('.wav',),
    loader='LoadSound',
    tokenizer='SoundTokenizer',
    templates='clip_image',
    kind='waveform',
)


@TRANSFORMS.register_module()
class LoadSound(BaseTransform):
    """Load the ``.wav`` that a sample is, or that lies beside its video; add ``waveform`` and its time stamps."""

    def transform(self, results):
        path = Path(results['visual']).with_suffix('.wav')
        if path.is_file():
            with wave.open(str(path)) as file:
                results['waveform'] = np.frombuffer(file.readframes(file.getnframes()), np.int16)
            results['waveform_pts_seconds'] = np.arange(len(results['waveform'])) / RATE
        return results


@PACKERS.register_module('waveform')
class WaveformPacker(Packer):
    key, pts_key, may_miss = 'waveform', 'waveform_pts_seconds', True

    def pack(self, results):
        return torch.from_numpy(np.array(results.get(self.key, ()), np.int16))

    def collate(self, values):
        mask = [torch.ones(len(value), dtype=torch.bool) for value in values]
        return tuple(nn.utils.rnn.pad_sequence(list(part), batch_first=True) for part in (values, mask))


@NORMALIZERS.register_module('waveform')
class WaveformNormalizer(nn.Module):
    def __init__(self, loudest=2**15):
        super().__init__()
        self.loudest = loudest

    def forward(self, waveform, mask):
        return waveform.float() / self.loudest


@PICTURES.register_module('waveform')
def draw_waveforms(values, height):
    return [Image.new('RGB', (max(len(value), 1), height)) for value in values]


@MODELS.register_module()
class SoundTokenizer(nn.Module):
    """Loudness of windows of 8 values, and which windows hold a sound at all."""

    def forward(self, waveform, mask):
        windows = nn.functional.pad(waveform, (0, -waveform.shape[1] % 8)).unflatten(1, (-1, 8))
        real = nn.functional.pad(mask, (0, -mask.shape[1] % 8)).unflatten(1, (-1, 8)).any(2)
        return windows.square().mean(2, keepdim=True), real


class Listening(nn.Module):
    """A model that sees and hears; what has no sound is only seen."""

    def __init__(self):
        super().__init__()
        self.data_preprocessor = VLDataPreprocessor(normalizers=dict(waveform=dict(loudest=100)))
        self.tokenizer = MODELS.build(dict(type=MODALITIES['sound'].tokenizer))
        self.see, self.hear, self.read = nn.Linear(3, 4), nn.Linear(1, 4), nn.Embedding(256, 4)

    def loss(self, batch):
        tokens, real = self.tokenizer(batch.inputs['sound'], batch.masks['sound'])
        heard = (self.hear(tokens) * real[..., None]).sum(1)
        seen = self.see(batch.frames.mean((1, 3, 4)))
        text = (self.read(batch.text_ids) * batch.text_mask[..., None]).sum(1)
        return dict(loss_listen=(seen + heard - text).square().mean())


@pytest.fixture(scope='module', autouse=True)
def registered():
    register_modality(SOUND)
    yield
    del MODALITIES['sound']


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """Three videos, the first two with a sound of 20 and of 12 values."""
    root = tmp_path_factory.mktemp('sounds')
    for number, length in enumerate((20, 12, 0)):
        write_video(root / f'{number}.mp4', num_frames=10)
        if length:
            with wave.open(str(root / f'{number}.wav'), 'wb') as file:
                file.setparams((1, 2, RATE, length, 'NONE', ''))
                file.writeframes(np.arange(1, length + 1, dtype=np.int16).tobytes())
    return root


def build(root, names, modality, pipeline):
    rows = [{'path': name, 'caption': f'a {number}', 'image_id': number} for number, name in enumerate(names)]
    path = root / f'{modality}.json'
    path.write_text(json.dumps(rows))
    reader = dict(type='BLIPCaptionJSON', ann_file=str(path), visual_root=str(root))
    reader |= dict(visual_field='path', modality=modality)
    return DATASETS.build(dict(type='PairDataset', annotations=reader, pipeline=pipeline, name=modality))


@pytest.mark.parametrize('workers', [0, 1])
def test_a_video_with_its_sound_and_text(root, workers):
    pipeline = [LoadVideo(4), LoadSound(), TokenizeText(LetterTokenizer(), 9), PackSample(beside=['sound'])]
    dataset = build(root, ['0.mp4', '1.mp4', '2.mp4'], 'video', pipeline)
    (data,) = DataLoader(dataset, batch_size=3, collate_fn=collate_samples, num_workers=workers)
    assert data['inputs']['video'].dtype == torch.uint8 and data['inputs']['sound'].dtype == torch.int16
    torch.manual_seed(0)
    model = Listening()
    batch = model.data_preprocessor(data | dict(task='listen', losses=('listen',)))['batch']
    assert (batch.modality, batch.task, batch.losses, len(batch)) == ('video', 'listen', ('listen',), 3)
    assert batch.frames.shape == (3, 4, 3, 48, 64) and list(batch.masks) == ['sound']
    assert batch.masks['sound'].sum(1).tolist() == [20, 12, 0]
    assert (
        torch.equal(batch.inputs['sound'][1, :12], torch.arange(1, 13) / 100)
        and not batch.inputs['sound'][1, 12:].any()
    )
    assert torch.allclose(batch.pts_seconds['video'], torch.tensor([1, 3, 6, 8]) / 25)
    sounds = batch.pts_seconds['sound']
    assert torch.allclose(sounds[0], torch.arange(20) / RATE) and sounds[1:].isnan().sum(1).tolist() == [8, 20]
    model.loss(batch)['loss_listen'].backward()
    assert all(parameter.grad.isfinite().all() and parameter.grad.any() for parameter in model.parameters())


def test_sounds_alone(root):
    dataset = build(root, ['0.wav', '1.wav'], 'sound', [LoadSound(), TokenizeText(LetterTokenizer(), 9), PackSample()])
    batch = VLDataPreprocessor()(collate_samples([dataset[0], dataset[1]]))['batch']
    assert list(batch.inputs) == ['sound'] and batch.inputs['sound'].shape == (2, 20) and len(batch) == 2
    mixed = [dataset[0], build(root, ['0.mp4'], 'video', [LoadVideo(4), PackSample()])[0]]
    with pytest.raises(ValueError, match=r"samples of a batch are of one modality .*\[\('sound',\), \('video',\)\]"):
        collate_samples(mixed)


def test_files_are_found_prepared_and_shown(root):
    assert modality_of_path('speech.wav') == 'sound'
    visuals, _ = read_visuals(root)
    assert sorted({visual.modality for visual in visuals}) == ['sound', 'video']
    pipeline = [LoadSound(), PackSample()]
    assert modality_of(pipeline) == 'sound'
    sound = next(visual for visual in visuals if visual.name.endswith('1.wav'))
    item = Preparation(dict(sound=pipeline), size=(32, 32))(sound)
    (picture,) = draw_values([item['inputs']['sound']], 'sound', height=5)
    assert picture.size == (12, 5)
