"""Broken and missing files: everything about an item follows its replacement, and nothing is swallowed."""

import json
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from omnivl.datasets import (
    BrokenCounter,
    BrokenVisual,
    BrokenVisualError,
    MixedDataset,
    SampleKey,
    SkippedItem,
    collate_samples,
)
from omnivl.datasets.base import MAX_REPLACEMENTS
from omnivl.registry import DATASETS
from omnivl.structures import VLDataSample


def load(results):
    """Stands for a decoder: a file named 'broken' cannot be read."""
    results['rng'].random()
    if Path(results['visual']).name.startswith('broken'):
        raise BrokenVisualError(results['visual'], 'truncated')
    return results


def pack(results):
    meta = {key: results[key] for key in ('sample_id', 'source', 'visual', 'modality', 'text') if key in results}
    sample = VLDataSample(metainfo=meta)
    sample.target_id = results['target_id']
    return {
        'inputs': {'image': torch.from_numpy(results['rng'].integers(0, 256, (1, 3, 2, 2), dtype='uint8'))},
        'pts_seconds': {},
        'data_samples': sample,
    }


@pytest.fixture
def build(tmp_path):
    """A PairDataset of 20 captions; those whose number is in ``broken_numbers`` have a broken file."""

    def _build(broken_numbers=(3, 4), name='coco', **options):
        rows = [
            {'image': f'{"broken" if number in broken_numbers else "good"}{number}.jpg', 'caption': f'number {number}'}
            for number in range(20)
        ]
        (tmp_path / 'list.json').write_text(json.dumps(rows))
        annotations = {
            'type': 'BLIPCaptionJSON',
            'ann_file': str(tmp_path / 'list.json'),
            'visual_root': str(tmp_path),
        }
        options = {'annotations': annotations, 'pipeline': [load, pack], 'name': name, **options}
        return DATASETS.build({'type': 'PairDataset', **options})

    return _build


def test_raise_names_file_dataset_and_item(build):
    with pytest.raises(BrokenVisualError, match=r"broken3\.jpg: truncated \(dataset 'coco', item 3; broken='replace'"):
        build()[3]


def test_raise_comes_through_a_worker_with_its_message(build):
    loader = DataLoader(build(), batch_size=4, num_workers=1, collate_fn=collate_samples)
    with pytest.raises(RuntimeError, match=r"broken3\.jpg: truncated \(dataset 'coco', item 3"):
        list(loader)


def test_caption_id_and_target_follow_the_replacement(build):
    dataset = build(broken='replace')
    for epoch in range(20):
        sample = dataset[SampleKey(3, epoch)]['data_samples']
        number = int(sample.sample_id.split('#')[1])
        info = dataset.get_data_info(number)
        assert number not in (3, 4)
        assert (sample.visual, sample.text, sample.target_id) == (info['visual'], info['text'], info['target_id'])
        assert sample.text == f'number {number}'
        first = sample.broken[0]
        assert (first.source, first.reason) == ('coco', 'truncated') and first.path.endswith('broken3.jpg')
        again = dataset[SampleKey(3, epoch)]
        assert torch.equal(again['inputs']['image'], dataset[SampleKey(3, epoch)]['inputs']['image'])
        assert again['data_samples'].sample_id == sample.sample_id
    chosen = {dataset[SampleKey(3, epoch)]['data_samples'].sample_id for epoch in range(20)}
    assert len(chosen) > 5
    assert 'broken' not in dataset[0]['data_samples']


def test_broken_replacements_are_noted_too_and_there_is_an_end(build):
    dataset = build(broken_numbers=range(4, 20), broken='replace')
    found = [dataset[SampleKey(9, epoch)]['data_samples'] for epoch in range(5)]
    assert all(int(sample.text.split()[1]) < 4 for sample in found)
    assert max(len(sample.broken) for sample in found) > 1
    dataset = build(broken_numbers=range(20), broken='replace')
    with pytest.raises(
        RuntimeError, match=f"'coco': item 3 and all {MAX_REPLACEMENTS} items drawn in its place are broken"
    ):
        dataset[3]


def test_skipped_items_make_the_batch_smaller_and_are_reported(build):
    dataset = build(broken='skip')
    item = dataset[3]
    assert isinstance(item, SkippedItem) and item.broken.path.endswith('broken3.jpg')
    batch = collate_samples([dataset[index] for index in range(2, 6)])
    assert batch['inputs']['image'].shape == (2, 1, 3, 2, 2)
    assert [sample.text for sample in batch['data_samples']] == ['number 2', 'number 5']
    assert [broken.path[-11:] for broken in batch['data_samples'][0].broken] == ['broken3.jpg', 'broken4.jpg']
    with pytest.raises(
        RuntimeError, match=r'all 2 items of a batch are broken or missing: .*broken3\.jpg \(truncated\)'
    ):
        collate_samples([dataset[3], dataset[4]])


@pytest.mark.parametrize('workers', [0, 1])
@pytest.mark.parametrize('policy', ['skip', 'replace'])
def test_counts_reach_the_main_process_per_source(build, policy, workers):
    mixed = MixedDataset([build(broken=policy), build(broken=policy, name='flickr', broken_numbers=[5])])
    counter = BrokenCounter.from_dataset(mixed)
    new = []
    for batch in DataLoader(mixed, batch_size=8, num_workers=workers, collate_fn=collate_samples):
        new += counter.update(batch['data_samples'])
    replaced_by_broken = len(new) - 3
    assert replaced_by_broken == 0 if policy == 'skip' else replaced_by_broken >= 0
    assert {broken.source for broken in new} == {'coco', 'flickr'}
    assert counter.seen == ({'coco': 18, 'flickr': 19} if policy == 'skip' else {'coco': 20, 'flickr': 20})
    assert counter.broken['coco'] >= 2 and counter.broken['flickr'] >= 1
    assert counter.summary().startswith(
        f'coco {counter.broken["coco"]} of {counter.seen["coco"]} (broken file {counter.broken["coco"]}), flickr '
    )


def sample(source, broken=()):
    element = VLDataSample(metainfo={'source': source})
    if broken:
        element.set_metainfo({'broken': [BrokenVisual(source, path, 'missing') for path in broken]})
    return element


def test_a_run_stops_when_more_than_the_share_is_broken():
    counter = BrokenCounter({'coco': 0.01, 'flickr': 0.5}, grace=100)
    counter.check()
    counter.update([sample('coco', ['a.jpg'])] + [sample('flickr', [f'{number}.jpg']) for number in range(50)])
    counter.check()  # one of the first hundred, and half of the first hundred, are within their shares
    counter.update([sample('coco') for _ in range(98)] + [sample('coco', ['b.jpg'])])
    with pytest.raises(
        RuntimeError,
        match=r"'coco': 2 broken or missing files among 100 samples \(broken file 2\), more than "
        r'max_broken_share=0.01; the last one was b\.jpg \(missing\)\. Is visual_root right\?',
    ):
        counter.check()
    counter.update([sample('coco') for _ in range(100)])
    counter.check()
    assert BrokenCounter({}).summary() == ''
    unlimited = BrokenCounter({})
    unlimited.update([sample('x', ['a'])])
    unlimited.check()


def test_a_transform_that_returns_none_is_an_error_of_its_own(build):
    with pytest.raises(TypeError, match='function returned None; broken files raise BrokenVisualError'):
        build(pipeline=[lambda results: None])[0]


def test_items_that_are_not_packed_carry_the_report_too(build):
    item = build(broken='replace', pipeline=[load])[3]
    assert item['broken'][0].path.endswith('broken3.jpg')


def test_any_error_of_a_transform_on_one_sample_goes_through_the_policy(build):
    errors = {
        3: RuntimeError('no resize\nsecond line'),
        4: MemoryError(),
        7: UnicodeEncodeError('utf-8', '\ud83d', 0, 1, 'x'),
    }

    def fail(results):
        number = int(results['text'].split()[1])
        if number in errors:
            raise errors[number]
        return results

    dataset = build(broken_numbers=(), broken='replace', pipeline=[load, fail, pack])
    for number, error in errors.items():
        found = dataset[number]['data_samples'].broken[0]
        assert found.path.endswith(f'good{number}.jpg') and found.kind == type(error).__name__
        assert found.reason.startswith(f'{type(error).__name__} in function: ') and '\n' not in found.reason
    counter = BrokenCounter({'coco': 1.0})
    counter.update(dataset[number]['data_samples'] for number in range(20))
    assert {kind for _, kind in counter.kinds} == {'RuntimeError', 'MemoryError', 'UnicodeEncodeError'}
    assert 'RuntimeError' in counter.summary()
    with pytest.raises(BrokenVisualError, match=r'good3\.jpg: RuntimeError in function: no resize \(dataset'):
        build(broken_numbers=(), pipeline=[load, fail, pack])[3]


@pytest.mark.parametrize('error', [AttributeError, NameError, ImportError, NotImplementedError, AssertionError])
def test_errors_of_the_code_are_not_taken_for_broken_files(build, error):
    def fail(results):
        raise error('a slip')

    with pytest.raises(error, match='a slip'):
        build(broken='replace', pipeline=[fail])[0]


def test_an_error_of_every_sample_stops_the_run(build):
    def fail(results):
        raise TypeError('a slip')

    with pytest.raises(
        RuntimeError, match=r'all 20 items drawn in its place are broken .*TypeError in function: a slip'
    ):
        build(broken='replace', pipeline=[fail])[0]
