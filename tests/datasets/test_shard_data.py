"""Members of shards in the place of files: the same samples, the same policies, and an order that reads in sequence."""

import json
import pickle
import sys
import zlib
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from shard_toys import number_of, picture, samples, write_set, write_shard
from torch.utils.data import BatchSampler, DataLoader

from omnivl.datasets import LabelDataset, MixedDataset, PairDataset, RetrievalDataset, SampleKey, samplers
from omnivl.datasets.annotations import ShardIndex
from omnivl.datasets.broken import SkippedItem
from omnivl.datasets.errors import BrokenVisualError
from omnivl.datasets.loaders import build_loader
from omnivl.datasets.transforms import LoadVideo
from omnivl.datasets.verification import ReadingPlan, read_all
from omnivl.storage.shard_index import IndexOfShards, join_indices, write_index
from omnivl.storage.tar_shards import read_shard

sys.path.insert(0, str(Path(__file__).parent / 'transforms'))

from transform_toys import build_or_skip, write_video

PIPELINE = [dict(type='LoadImage'), dict(type='PackSample')]


def pairs(index, **options):
    options = dict(pipeline=PIPELINE, name='toy', **options)
    return PairDataset(annotations=dict(type='ShardIndex', ann_file=str(index)), **options)


def write_index_of(folder, *members):
    """Write one shard and its index."""
    shard = write_shard(folder / 'a.tar', list(members))
    write_index(folder / 'part.npz', shard.name, shard.stat().st_size, read_shard(str(shard), checksums=True))
    join_indices(folder / 'index.npz', [folder / 'part.npz'])
    return folder / 'index.npz'


@pytest.mark.parametrize('backend', ['pillow', 'cv2'])
@pytest.mark.parametrize('workers', [0, 2])
def test_samples_are_those_of_the_files(tmp_path, backend, workers):
    folder = tmp_path / 'files'
    folder.mkdir()
    for number in range(6):
        (folder / f'{number}.png').write_bytes(picture(number))
    rows = [dict(image=f'{number}.png', caption=f'number {number}') for number in range(6)]
    (folder / 'list.json').write_text(json.dumps(rows))
    reader = dict(type='BLIPCaptionJSON', ann_file=str(folder / 'list.json'), visual_root=str(folder))
    pipeline = [
        dict(type='LoadImage', backend=backend),
        dict(type='RandomResizedCrop', size=8),
        dict(type='PackSample'),
    ]
    files = PairDataset(annotations=reader, pipeline=pipeline, name='toy')
    shards = ShardIndex(str(write_set(tmp_path / 'shards', [4, 2])))
    shards = PairDataset(annotations=shards, pipeline=pipeline, name='toy')
    loaded = [list(DataLoader(one, batch_size=None, num_workers=workers)) for one in (files, shards)]
    for one, other in zip(*loaded, strict=True):
        assert np.array_equal(one['inputs']['image'], other['inputs']['image'])
        assert one['data_samples'].target_id == other['data_samples'].target_id
    assert shards.get_data_info(5)['sample_id'] == '00001/000000005#5'


@pytest.mark.parametrize('decoder', ['pyav', 'torchcodec', 'decord', 'opencv'])
def test_frames_are_those_of_the_file(tmp_path, decoder):
    build_or_skip(decoder)
    write_video(tmp_path / 'a.mp4', num_frames=12)
    index = write_index_of(
        tmp_path, ('x.mp4', (tmp_path / 'a.mp4').read_bytes()), ('x.txt', b'noise'), ('y.png', picture(1))
    )
    (record,) = ShardIndex(str(index), modality='video')
    load = LoadVideo(4, decoder=decoder)
    results = load(dict(visual=record.visual, clip=(0.25, 1.0)))
    expected = load(dict(visual=str(tmp_path / 'a.mp4'), clip=(0.25, 1.0)))
    assert np.array_equal(results['frames'], expected['frames']) and results['visual'] == record.visual


def spoil_missing(path, visual):
    path.unlink()


def spoil_cut(path, visual):
    path.write_bytes(path.read_bytes()[: visual.offset + 9])


def spoil_damaged(path, visual):
    data = bytearray(path.read_bytes())
    data[visual.offset + visual.length - 20] ^= 8
    path.write_bytes(data)


@pytest.mark.parametrize(
    ('spoil', 'reason'),
    [
        (spoil_missing, r'there is no shard .*00001\.tar \(No such file or directory\)'),
        (spoil_cut, r'00001\.tar was cut short: 000000002\.png ends at byte \d+, the shard before'),
        (spoil_damaged, r'000000002\.png of .*00001\.tar was damaged, or changed since its index was made \(CRC-32\)'),
    ],
)
def test_a_spoilt_shard_goes_through_the_policy(tmp_path, spoil, reason):
    index = write_set(tmp_path, [2, 1, 3])
    spoil(tmp_path / '00001.tar', IndexOfShards(index)[2].visual)
    with pytest.raises(BrokenVisualError, match=reason) as caught:
        pairs(index)[2]
    assert caught.value.path.startswith('tar://000000002.png?')
    skipped = pairs(index, broken='skip')[2]
    assert isinstance(skipped, SkippedItem) and skipped.broken.kind == 'ShardError'
    replaced = pairs(index, broken='replace')[2]
    number = number_of(replaced)
    # The shard has no other sample, so the next shard was taken.
    assert number in (3, 4, 5) and replaced['data_samples'].broken[0].path == caught.value.path
    assert [number_of(pairs(index)[other]) for other in (0, 1, 3, 4, 5)] == [0, 1, 3, 4, 5]
    # Listed as a bad file it is left out, as any path is.
    (tmp_path / 'bad.txt').write_text(f'# toy: gone\n{caught.value.path}\n')
    assert len(pairs(index, bad_files=str(tmp_path / 'bad.txt'))) == 5


def test_every_member_can_be_verified(tmp_path):
    write_video(tmp_path / 'a.mp4')
    clip = (tmp_path / 'a.mp4').read_bytes()
    index = write_index_of(tmp_path, ('x.mp4', clip), ('x.txt', b'a'), ('y.mp4', clip[:-999]), ('y.txt', b'b'))
    reader = ShardIndex(str(index), modality='video')
    dataset = PairDataset(annotations=reader, pipeline=[dict(type='LoadVideo', num_frames=2)], name='clips')
    plan = ReadingPlan([dataset])
    found = {visual.path[:11]: reason for visual, reason in read_all(plan.loaders, plan.visuals(np.empty(0)), 0)}
    assert found['tar://x.mp4'] is None and 'cut short' in found['tar://y.mp4']


def test_labels_are_classes_or_their_indices(tmp_path):
    index = write_index_of(
        tmp_path,
        *[('a.png', picture(1)), ('a.cls', b'1'), ('b.png', picture(2)), ('b.json', b'{"label": "cat"}')],
        *[('c.png', picture(3)), ('c.cls', b'dog')],
    )
    (tmp_path / 'classes.txt').write_text('cat\ndog\n')
    (tmp_path / 'words.txt').write_text('a cat\na dog\n')
    options = dict(classes_file=str(tmp_path / 'classes.txt'), class_names_file=str(tmp_path / 'words.txt'))
    reader = ShardIndex(str(index), **options)
    labels = LabelDataset(annotations=reader, pipeline=PIPELINE[:1], name='toy')
    assert [labels[number]['label'] for number in range(3)] == [1, 0, 1] and labels.classes == ['a cat', 'a dog']
    (tmp_path / 'classes.txt').write_text('cat\n')
    with pytest.raises(ValueError, match=r'words\.txt has 2 names, .*classes\.txt 1'):
        LabelDataset(annotations=ShardIndex(str(index), **options), pipeline=[], name='toy')
    with pytest.raises(ValueError, match=r"a/a.*field 'label': unknown label '1'; allowed are 'cat'"):
        list(ShardIndex(str(index), classes_file=str(tmp_path / 'classes.txt')))


def test_a_sample_without_a_caption_is_an_error_or_left_out(tmp_path):
    index = write_index_of(tmp_path, ('a.png', picture(1)), ('b.png', picture(2)), ('b.txt', b'one\n\ntwo\n'))
    with pytest.raises(ValueError, match=r"index\.npz, a\.png of a\.tar, field 'text': the caption is empty"):
        list(ShardIndex(str(index)))
    reader = ShardIndex(str(index), empty='drop')
    assert [record.text for record in reader] == [['one', 'two']] and reader.dropped == 1
    (item,) = RetrievalDataset(annotations=reader, pipeline=PIPELINE[:1], name='toy')
    assert item['captions'] == ['one', 'two']


def test_what_is_no_index_is_told(tmp_path):
    (tmp_path / 'index.npz').write_bytes(b'PK')
    with pytest.raises(ValueError, match=r'index\.npz: .*index\.npz is no whole file of arrays .*: make it anew'):
        list(ShardIndex(str(tmp_path / 'index.npz')))
    index = write_index_of(tmp_path, ('a.png', b''), ('a.json', b'{"records": [{"colour": "red"}]}'))
    with pytest.raises(ValueError, match="field 'records': expected objects with fields of"):
        list(ShardIndex(str(index)))


@pytest.fixture
def ranks(monkeypatch):
    def make(dataset, world_size, **options):
        found = []
        for rank in range(world_size):
            monkeypatch.setattr(samplers, 'get_dist_info', lambda rank=rank: (rank, world_size))
            found.append(samplers.EpochSampler(dataset, **options))
        return found

    return make


@pytest.fixture
def mixture(tmp_path):
    """Two sources of shards and one of files."""
    (tmp_path / 'list.json').write_text(json.dumps([dict(image=f'{n}.png', caption=str(n)) for n in range(7)]))
    files = dict(type='BLIPCaptionJSON', ann_file=str(tmp_path / 'list.json'), visual_root=str(tmp_path))
    first = ShardIndex(str(write_set(tmp_path / 'a', [5] * 12)))
    second = ShardIndex(str(write_set(tmp_path / 'b', [3] * 7)))
    return MixedDataset(
        [
            PairDataset(annotations=reader, pipeline=PIPELINE, name=name)
            for name, reader in (('a', first), ('b', second), ('files', files))
        ]
    )


def test_a_window_reads_a_few_shards_at_a_time(mixture, ranks):
    assert mixture.group_ends.tolist() == [*range(5, 61, 5), *range(63, 82, 3), 88]
    (sampler,) = ranks(mixture, 1, batch_size=1, window=2)
    orders = [sampler.epoch_order(epoch) for epoch in range(3)]
    for order in orders:
        assert sorted(order) == list(range(88))
        for source, shard in ((order[order < 60], 5), (order[(order >= 60) & (order < 81)] - 60, 3)):
            shards = source // shard
            for number in range(0, len(shards), 2 * shard):
                assert len(set(shards[number : number + 2 * shard])) <= 2
            assert (np.diff(source) != 1).sum() > len(source) / 3  # and inside a window they are mixed
        # The sources are mixed too.
        assert 20 < np.mean(np.flatnonzero(order >= 81)) < 70
    assert not np.array_equal(orders[0], orders[1])
    assert np.array_equal(orders[1], ranks(mixture, 3, batch_size=1, window=2)[2].epoch_order(1))


def test_weights_hold_with_a_window(mixture, ranks):
    (sampler,) = ranks(mixture, 1, batch_size=4, window=3, weights=dict(a=1, b=2, files=1))
    order = sampler.epoch_order(0)
    counts = [(order < 60).sum(), ((order >= 60) & (order < 81)).sum(), (order >= 81).sum()]
    assert counts == [22, 44, 22]
    assert set(np.bincount(order[(order >= 60) & (order < 81)] - 60)) == {2, 3}  # none again before all others
    assert set(np.bincount(order[order >= 81] - 81)) == {3, 4}
    assert len(set(order[order < 60] // 5)) <= 6  # of a source that is drawn from less, some shards


@pytest.mark.parametrize('window', [None, 2])
def test_global_batches_are_those_of_any_number_of_processes(mixture, ranks, window):
    reference = None
    for world_size in (1, 2, 3, 4):
        dealt = []
        for sampler in ranks(mixture, world_size, batch_size=12 // world_size, window=window):
            sampler.set_position(1, 2)
            dealt.append(list(BatchSampler(sampler, sampler.batch_size, drop_last=True)))
        whole = [list(chain(*parts)) for parts in zip(*dealt)]
        reference = reference or whole
        assert whole == reference and len(whole) == 88 // 12 - 2


def test_what_a_window_needs(mixture, ranks):
    with pytest.raises(ValueError, match='window=0 must be at least 1, and needs shuffle=True'):
        ranks(mixture, 1, batch_size=1, window=0)
    with pytest.raises(ValueError, match='ahead=1 must not be negative, and needs window'):
        ranks(mixture, 1, batch_size=1, ahead=1)
    with pytest.raises(ValueError, match='window needs a dataset of shards, got list'):
        ranks([1, 2], 1, batch_size=1, window=2)


def test_a_loader_of_shards_with_a_window(tmp_path):
    init_default_scope('omnivl')
    index = write_set(tmp_path, [4, 4, 4])
    loader = dict(
        batch_size=3,
        num_workers=2,
        sampler=dict(type='EpochSampler', window=1),
        dataset=dict(
            type='PairDataset', name='toy', pipeline=PIPELINE, annotations=dict(type='ShardIndex', ann_file=str(index))
        ),
    )
    built = build_loader(loader, 'train_dataloader.image', 0, training=True)
    numbers = [number_of(dict(inputs=dict(image=image))) for batch in built for image in batch['inputs']['image']]
    assert sorted(numbers) == list(range(12))
    assert all(len({number // 4 for number in numbers[start : start + 4]}) == 1 for start in (0, 4, 8))


def cached(tmp_path):
    return sorted((tmp_path / 'cache' / 'rows').glob('*.npz'))


def test_rows_are_kept_in_one_file_until_something_changes(tmp_path, monkeypatch):
    monkeypatch.setenv('OMNIVL_CACHE', str(tmp_path / 'cache'))
    index = write_set(tmp_path, [2, 3])
    plain = pairs(index, map_rows=False)
    assert cached(tmp_path) == []
    first = pairs(index, map_rows=True)
    (path,) = cached(tmp_path)
    monkeypatch.setattr(ShardIndex, 'read', None)  # not read again
    second = pairs(index, map_rows=True)
    for one in (first, second, pickle.loads(pickle.dumps(second))):
        assert [one.rows[number] for number in range(5)] == [plain.rows[number] for number in range(5)]
        assert one.group_ends.tolist() == plain.group_ends.tolist() == [2, 5]
        assert isinstance(one.rows._strings.content, np.memmap)
    assert len(pickle.dumps(second.rows)) < 500 < len(pickle.dumps(plain.rows))
    monkeypatch.undo()
    monkeypatch.setenv('OMNIVL_CACHE', str(tmp_path / 'cache'))
    assert len(pairs(index, map_rows=True, max_items=3)) == 3 and len(cached(tmp_path)) == 2
    write_set(tmp_path, [2, 2])
    assert len(pairs(index, map_rows=True)) == 4 and len(cached(tmp_path)) == 3
    # One that is damaged is made anew.
    newest = next(one for one in cached(tmp_path) if one != path and len(one.read_bytes()))
    for one in cached(tmp_path):
        one.write_bytes(one.read_bytes()[:100])
    assert len(pairs(index, map_rows=True)) == 4 and newest.is_file()


def test_facts_of_reading_are_kept_beside_the_rows(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('OMNIVL_CACHE', str(tmp_path / 'cache'))
    (tmp_path / 'list.json').write_text(json.dumps([dict(image='a.png', caption=text) for text in ('a', '', 'b')]))
    reader = dict(type='BLIPCaptionJSON', ann_file=str(tmp_path / 'list.json'), visual_root=str(tmp_path), empty='drop')
    logs = []
    monkeypatch.setattr('omnivl.datasets.base.print_log', lambda message, logger: logs.append(message))
    for _ in range(2):
        PairDataset(annotations=reader, pipeline=[], name='toy', map_rows=True)
    assert len(cached(tmp_path)) == 1 and logs[0] == logs[1] and logs[0].endswith('1 empty captions dropped')


def test_what_is_read_from_folders_is_not_mapped(tmp_path, monkeypatch):
    monkeypatch.setenv('OMNIVL_CACHE', str(tmp_path / 'cache'))
    (tmp_path / 'images' / 'cat').mkdir(parents=True)
    (tmp_path / 'images' / 'cat' / 'a.png').write_bytes(picture(1))
    reader = dict(type='ImageNetFolder', visual_root=str(tmp_path / 'images'))
    dataset = LabelDataset(annotations=reader, pipeline=[], name='toy', map_rows=True)
    assert len(dataset) == 1 and cached(tmp_path) == []


def test_a_file_of_rows_runs_nothing(tmp_path):
    from omnivl.datasets.storage import CompactRows

    CompactRows([print]).save(tmp_path / 'rows.npz', {})
    with pytest.raises(pickle.UnpicklingError, match=r'a row holds a builtins\.print; rows are made of plain values'):
        CompactRows.map(tmp_path / 'rows.npz')[0][0]


def test_checksums_are_those_of_the_members(tmp_path):
    index = IndexOfShards(write_set(tmp_path, [1]))
    assert index[0].visual.crc32 == zlib.crc32(picture(0))
    assert IndexOfShards(write_set(tmp_path, [1], checksums=False))[0].visual.crc32 is None
    assert [name for name, _ in samples(0, 1)] == ['000000000.png', '000000000.txt', '000000000.json']


def test_a_replacement_is_of_the_same_shard_and_a_mended_shard_is_read_again(tmp_path):
    index = write_set(tmp_path, [6, 6, 6])
    path, visual = tmp_path / '00001.tar', IndexOfShards(index)[8].visual
    whole = path.read_bytes()
    spoil_damaged(path, visual)
    dataset = pairs(index, broken='replace')
    others = {number_of(dataset[SampleKey(8, epoch)]) for epoch in range(30)}
    assert others == {6, 7, 9, 10, 11}
    path.unlink()
    assert {number_of(dataset[SampleKey(8, epoch)]) for epoch in range(40)} == {12, 13, 14, 15, 16, 17}
    path.write_bytes(whole)
    assert number_of(dataset[8]) == 8
