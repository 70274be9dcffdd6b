"""omnivl shards and omnivl pack: what they write, what they report, and that they go on where they were."""

import json

import pytest
from shard_toys import number_of, picture, samples, write_set, write_shard

from omnivl.commands.main import main
from omnivl.commands.pack import writing
from omnivl.commands.shards import indexing
from omnivl.datasets import LabelDataset, PairDataset, RetrievalDataset
from omnivl.datasets.annotations import RecordList, ShardIndex
from omnivl.datasets.annotations.base import Record
from omnivl.datasets.annotations.record_list import write_records
from omnivl.storage.shard_index import IndexOfShards

LOAD = [dict(type='LoadImage')]


def call(*words):
    """Run a command; its exit code."""
    try:
        main([str(word) for word in words])
    except SystemExit as end:
        return end.code
    return 0


@pytest.mark.parametrize('workers', [0, 2])
def test_the_index_of_a_folder(tmp_path, workers, capsys):
    expected = list(IndexOfShards(write_set(tmp_path, [3, 2, 4])))
    (tmp_path / 'index.npz').unlink()
    assert call('shards', tmp_path, '--workers', workers, '--checksums') == 0
    assert list(IndexOfShards(tmp_path / 'index.npz')) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == [*(f'0000{n}.tar' for n in range(3)), 'index.npz']
    told = capsys.readouterr().out
    assert f"use: annotations=dict(type='ShardIndex', ann_file='{tmp_path}/index.npz')" in told
    assert call('shards', tmp_path / '{00000..00001}.tar', '--workers', 0, '--out', tmp_path / 'o' / 'some.npz') == 0
    assert f"ann_file='{tmp_path}/o/some.npz', visual_root='{tmp_path}')" in capsys.readouterr().out
    some = IndexOfShards(tmp_path / 'o' / 'some.npz')
    assert [one.visual._replace(crc32=None) for one in expected[:5]] == [one.visual for one in some]


def test_what_is_wrong_with_shards_is_counted_and_listed(tmp_path, capsys):
    write_set(tmp_path, [3, 2])
    path = tmp_path / '00001.tar'
    path.write_bytes(path.read_bytes()[:2000])
    assert call('shards', tmp_path / '{00000..00002}.tar', '--workers', 0) == 1
    told = capsys.readouterr().out
    listed = (tmp_path / 'index.bad.txt').read_text().splitlines()
    assert [line.partition(':')[0] for line in listed] == ['00001.tar', '00002.tar']
    assert listed[1] == '00002.tar: it is not there' and all(line in told for line in listed)
    assert '2 of 3 shards are not whole' in told and '4 samples in 3 shards' in told
    write_set(tmp_path, [3, 2])
    assert call('shards', tmp_path, '--workers', 0) == 0 and not (tmp_path / 'index.bad.txt').exists()


def test_an_interrupted_index_goes_on(tmp_path, monkeypatch, capsys):
    write_set(tmp_path, [1] * 4)
    (tmp_path / 'index.npz').unlink()
    read, seen = indexing.read_shard, []

    def interrupted(path, checksums):
        seen.append(path)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return read(path, checksums)

    monkeypatch.setattr(indexing, 'read_shard', interrupted)
    assert call('shards', tmp_path, '--workers', 0) == 130
    assert 'interrupted; the same command goes on from here' in capsys.readouterr().err
    write_shard(tmp_path / '00000.tar', samples(10, 2))  # has changed since
    assert call('shards', tmp_path, '--workers', 0) == 0
    assert [path[-9:-4] for path in seen[3:]] == ['00000', '00002', '00003']
    assert len(IndexOfShards(tmp_path / 'index.npz')) == 5


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['nothing'], 'there is no tar file in nothing'),
        (['s3://b/1.tar', 'a/1.tar'], 'shards on the disk and URLs cannot be in one index'),
        (['s3://b/1.tar', 's3://c/1.tar'], 'the URLs have no common beginning'),
        (['s3://b/1.tar'], 'an index of URLs needs --out'),
        (['a/1.tar', '--workers', '-1'], '--workers must not be negative, got -1'),
    ],
)
def test_what_cannot_be_indexed_is_told(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'nothing').mkdir()
    assert call('shards', *words) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def place(tmp_path):
    """A config of a set of pictures, with several captions, a missing file and all fields of a record."""
    rows = []
    for number in range(11):
        (tmp_path / f'{number}.png').write_bytes(picture(number))
        rows += [
            Record(f'a{number}', f'{number}.png', [f'one\n{number}']),
            Record(f'b{number}', f'{number}.png', ['two']),
        ]
    rows.append(Record('gone', 'gone.png', ['nothing']))
    write_records(tmp_path / 'list.jsonl', [('image', row) for row in rows])
    reader = dict(type='RecordList', ann_file=str(tmp_path / 'list.jsonl'), visual_root=str(tmp_path))
    dataset = dict(type='PairDataset', name='toy', annotations=reader, pipeline=LOAD)
    (tmp_path / 'config.json').write_text(json.dumps(dict(train_dataloader=dict(image=dict(dataset=dataset)))))
    return tmp_path


def test_packed_samples_are_those_of_the_files(place, capsys):
    packed = place / 'out' / 'toy'
    assert call('pack', place / 'config.json', '--out', place / 'out', '--samples', 4, '--workers', 2) == 1
    assert (
        'gone.png: there is no such file' in (packed / 'index.bad.txt').read_text()
        or 'gone.png' in capsys.readouterr().out
    )
    files = PairDataset(annotations=RecordList(str(place / 'list.jsonl'), str(place)), pipeline=LOAD, name='toy')
    shards = PairDataset(annotations=ShardIndex(str(packed / 'index.npz')), pipeline=LOAD, name='toy')
    assert len(shards) == 22 and len(shards.group_ends) == 3
    found = {
        (number_of(item), item['text'], item['sample_id'].partition('#')[0])
        for item in map(shards.__getitem__, range(22))
    }
    wanted = {
        (number_of(item), item['text'], item['sample_id'].partition('#')[0])
        for item in map(files.__getitem__, range(22))
    }
    assert found == wanted
    order = [number_of(shards[number]) for number in range(0, 22, 2)]
    assert sorted(order) == list(range(11)) and order != sorted(order)
    assert len(RetrievalDataset(annotations=ShardIndex(str(packed / 'index.npz')), pipeline=LOAD, name='toy')) == 11
    # Shards can be packed again, into larger ones.
    config = json.loads((place / 'config.json').read_text())
    config['train_dataloader']['image']['dataset']['annotations'] = dict(
        type='ShardIndex', ann_file=str(packed / 'index.npz')
    )
    (place / 'again.json').write_text(json.dumps(config))
    assert call('pack', place / 'again.json', '--out', place / 'two', '--samples', 11, '--workers', 0) == 0
    again = PairDataset(annotations=ShardIndex(str(place / 'two/toy/index.npz')), pipeline=LOAD, name='toy')
    assert {(number_of(again[number]), again[number]['text']) for number in range(22)} == {one[:2] for one in found}


def test_all_fields_of_a_record_come_back(place):
    record = Record(
        'x', '1.png', ['a cat'], 'cat', (0.5, 2.0), 'what?', ['cat', 'cat'], 'what', 'other', ['a', 'b'], 1, 'near'
    )
    write_records(place / 'list.jsonl', [('image', record), ('image', Record('y', '2.png'))])
    assert call('pack', place / 'config.json', '--out', place / 'out', '--workers', 0) == 0
    found = {one.id: one for one in ShardIndex(str(place / 'out/toy/index.npz'))}
    assert found['x'] == Record(
        **{**{name: getattr(record, name) for name in record.__slots__}, 'visual': found['x'].visual}
    )
    assert found['y'] == Record('y', found['y'].visual)


def test_classes_come_along(tmp_path):
    for folder, numbers in (('n1', (1, 2)), ('n2', (3,))):
        (tmp_path / 'images' / folder).mkdir(parents=True)
        for number in numbers:
            (tmp_path / 'images' / folder / f'{number}.png').write_bytes(picture(number))
    (tmp_path / 'words.json').write_text(json.dumps(dict(n1='big cat', n2='dog')))
    reader = dict(
        type='ImageNetFolder', visual_root=str(tmp_path / 'images'), class_names_file=str(tmp_path / 'words.json')
    )
    dataset = dict(type='LabelDataset', name='toy', annotations=reader, pipeline=LOAD)
    (tmp_path / 'config.json').write_text(json.dumps(dict(val_dataloader=dict(image=dict(dataset=dataset)))))
    assert call('pack', tmp_path / 'config.json', '--roles', 'val', '--out', tmp_path, '--workers', 0) == 0
    files = {f'{name}_file': str(tmp_path / 'toy' / f'{name}.txt') for name in ('classes', 'class_names')}
    labels = LabelDataset(annotations=ShardIndex(str(tmp_path / 'toy/index.npz'), **files), pipeline=LOAD, name='toy')
    assert {(number_of(item), item['label']) for item in map(labels.__getitem__, range(3))} == {(1, 0), (2, 0), (3, 1)}
    assert labels.classes == ['big cat', 'dog']


def test_interrupted_packing_goes_on_with_the_same_options_only(place, monkeypatch, capsys):
    written = []
    write = writing._write_shard

    def interrupted(*arguments):
        written.append(arguments[-2])
        if len(written) == 2:
            raise KeyboardInterrupt
        return write(*arguments)

    monkeypatch.setattr(writing, '_write_shard', interrupted)
    words = ['pack', place / 'config.json', '--out', place / 'out', '--workers', 0]
    assert call(*words, '--samples', 4) == 130
    assert call(*words, '--samples', 5) == 2
    assert 'holds shards that were begun of other data or with other options' in capsys.readouterr().err
    assert call(*words, '--samples', 4) == 1 and written == [0, 1, 1, 2]
    assert len(IndexOfShards(place / 'out/toy/index.npz')) == 11


def test_options_of_packing(place, capsys):
    assert call('pack', place / 'config.json', '--out', place, '--names', 'none') == 2
    assert "the config has no 'none' for ['train'], it has toy" in capsys.readouterr().err
    for option, value in (('--samples', 0), ('--seed', -1), ('--workers', -1)):
        assert call('pack', place / 'config.json', '--out', place, option, value) == 2
        assert f'{option} must' in capsys.readouterr().err
