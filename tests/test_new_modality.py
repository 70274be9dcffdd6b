"""A further modality in one new file, which this one stands for: scans of a laser, alone and beside frames of a video.

Everything above the tests is what a project would write; no file of ``omnivl/`` knows of it.
"""

import json
import sys
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
SCAN = Modality(
    name='scan',
    plural='scans',
    letter='s',
    suffixes=('.ranges',),
    loader='LoadScan',
    tokenizer='ScanTokenizer',
    templates='clip_image',
    kind='ranges',
)


@TRANSFORMS.register_module()
class LoadScan(BaseTransform):
    """Load the ``.ranges`` that a sample is, or that lies beside its video; add ``ranges`` and their time stamps."""

    def transform(self, results):
        path = Path(results['visual']).with_suffix('.ranges')
        if path.is_file():
            results['ranges'] = np.fromfile(path, np.int16)
            results['ranges_pts_seconds'] = np.arange(len(results['ranges'])) / RATE
        return results


@PACKERS.register_module('ranges')
class RangePacker(Packer):
    key, pts_key, may_miss = 'ranges', 'ranges_pts_seconds', True

    def pack(self, results):
        return torch.from_numpy(np.array(results.get(self.key, ()), np.int16))

    def collate(self, values):
        mask = [torch.ones(len(value), dtype=torch.bool) for value in values]
        return tuple(nn.utils.rnn.pad_sequence(list(part), batch_first=True) for part in (values, mask))


@NORMALIZERS.register_module('ranges')
class RangeNormalizer(nn.Module):
    def __init__(self, farthest=2**15):
        super().__init__()
        self.farthest = farthest

    def forward(self, ranges, mask):
        return ranges.float() / self.farthest


@PICTURES.register_module('ranges')
def draw_ranges(values, height):
    return [Image.new('RGB', (max(len(value), 1), height)) for value in values]


@MODELS.register_module()
class ScanTokenizer(nn.Module):
    """Mean square of windows of 8 values, and which windows hold a value at all."""

    def forward(self, ranges, mask):
        windows = nn.functional.pad(ranges, (0, -ranges.shape[1] % 8)).unflatten(1, (-1, 8))
        real = nn.functional.pad(mask, (0, -mask.shape[1] % 8)).unflatten(1, (-1, 8)).any(2)
        return windows.square().mean(2, keepdim=True), real


class Measuring(nn.Module):
    """A model that sees and measures; what has no scan is only seen."""

    def __init__(self):
        super().__init__()
        self.data_preprocessor = VLDataPreprocessor(normalizers=dict(ranges=dict(farthest=100)))
        self.tokenizer = MODELS.build(dict(type=MODALITIES['scan'].tokenizer))
        self.see, self.measure, self.read = nn.Linear(3, 4), nn.Linear(1, 4), nn.Embedding(256, 4)

    def loss(self, batch):
        tokens, real = self.tokenizer(batch.inputs['scan'], batch.masks['scan'])
        measured = (self.measure(tokens) * real[..., None]).sum(1)
        seen = self.see(batch.frames.mean((1, 3, 4)))
        text = (self.read(batch.text_ids) * batch.text_mask[..., None]).sum(1)
        return dict(loss_measure=(seen + measured - text).square().mean())


@pytest.fixture(scope='module', autouse=True)
def registered():
    register_modality(SCAN)
    yield
    del MODALITIES['scan']


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """Three videos, the first two with a scan of 20 and of 12 values."""
    root = tmp_path_factory.mktemp('scans')
    for number, length in enumerate((20, 12, 0)):
        write_video(root / f'{number}.mp4', num_frames=10)
        if length:
            np.arange(1, length + 1, dtype=np.int16).tofile(root / f'{number}.ranges')
    return root


def build(root, names, modality, pipeline):
    rows = [{'path': name, 'caption': f'a {number}', 'image_id': number} for number, name in enumerate(names)]
    path = root / f'{modality}.json'
    path.write_text(json.dumps(rows))
    reader = dict(type='BLIPCaptionJSON', ann_file=str(path), visual_root=str(root))
    reader |= dict(visual_field='path', modality=modality)
    return DATASETS.build(dict(type='PairDataset', annotations=reader, pipeline=pipeline, name=modality))


@pytest.mark.parametrize('workers', [0, 1])
def test_a_video_with_its_scan_and_text(root, workers):
    pipeline = [LoadVideo(4), LoadScan(), TokenizeText(LetterTokenizer(), 9), PackSample(beside=['scan'])]
    dataset = build(root, ['0.mp4', '1.mp4', '2.mp4'], 'video', pipeline)
    (data,) = DataLoader(dataset, batch_size=3, collate_fn=collate_samples, num_workers=workers)
    assert data['inputs']['video'].dtype == torch.uint8 and data['inputs']['scan'].dtype == torch.int16
    torch.manual_seed(0)
    model = Measuring()
    batch = model.data_preprocessor(data | dict(task='measure', losses=('measure',)))['batch']
    assert (batch.modality, batch.task, batch.losses, len(batch)) == ('video', 'measure', ('measure',), 3)
    assert batch.frames.shape == (3, 4, 3, 48, 64) and list(batch.masks) == ['scan']
    assert batch.masks['scan'].sum(1).tolist() == [20, 12, 0]
    assert (
        torch.equal(batch.inputs['scan'][1, :12], torch.arange(1, 13) / 100) and not batch.inputs['scan'][1, 12:].any()
    )
    assert torch.allclose(batch.pts_seconds['video'], torch.tensor([1, 3, 6, 8]) / 25)
    scans = batch.pts_seconds['scan']
    assert torch.allclose(scans[0], torch.arange(20) / RATE) and scans[1:].isnan().sum(1).tolist() == [8, 20]
    model.loss(batch)['loss_measure'].backward()
    assert all(parameter.grad.isfinite().all() and parameter.grad.any() for parameter in model.parameters())


def test_scans_alone(root):
    dataset = build(
        root, ['0.ranges', '1.ranges'], 'scan', [LoadScan(), TokenizeText(LetterTokenizer(), 9), PackSample()]
    )
    batch = VLDataPreprocessor()(collate_samples([dataset[0], dataset[1]]))['batch']
    assert list(batch.inputs) == ['scan'] and batch.inputs['scan'].shape == (2, 20) and len(batch) == 2
    mixed = [dataset[0], build(root, ['0.mp4'], 'video', [LoadVideo(4), PackSample()])[0]]
    with pytest.raises(ValueError, match=r"samples of a batch are of one modality .*\[\('scan',\), \('video',\)\]"):
        collate_samples(mixed)


def test_files_are_found_prepared_and_shown(root):
    assert modality_of_path('tower.ranges') == 'scan'
    visuals, _ = read_visuals(root)
    assert sorted({visual.modality for visual in visuals}) == ['scan', 'video']
    pipeline = [LoadScan(), PackSample()]
    assert modality_of(pipeline) == 'scan'
    scan = next(visual for visual in visuals if visual.name.endswith('1.ranges'))
    item = Preparation(dict(scan=pipeline), size=(32, 32))(scan)
    (picture,) = draw_values([item['inputs']['scan']], 'scan', height=5)
    assert picture.size == (12, 5)
