"""Readers of sounds and of narrated videos, on a handful of rows in the published form."""

import json

import numpy as np
import pytest

from omnivl.datasets import AnnotationError, MultiLabelDataset
from omnivl.datasets.annotations.narrations import nearest_spans
from omnivl.errors import OmniVLFileNotFoundError, OmniVLValueError
from omnivl.registry import ANNOTATIONS, DATASETS

AUDIOSET = """# Segments csv created Sun Mar  5 10:54:31 2017
# num_ytids=2, num_segs=2, num_unique_labels=3, num_positive_labels=3
# YTID, start_seconds, end_seconds, positive_labels
--PJHxphWEs, 30.000, 40.000, "/m/09x0r,/t/dd00088"
-0p7hKXZ1ww, 0.500, 9.000, "/m/05zppz"
"""
AUDIOSET_CLASSES = """index,mid,display_name
0,/m/09x0r,"Speech"
1,/m/05zppz,"Male speech, man speaking"
2,/t/dd00088,"Gush"
"""
ESC = """filename,fold,target,category,esc10,src_file,take
1-100032-A-0.wav,1,0,dog,True,100032,A
1-100038-A-14.wav,1,14,chirping_birds,False,100038,A
2-100210-A-36.wav,2,36,vacuum_cleaner,False,100210,A
5-100263-A-0.wav,5,0,dog,True,100263,A
"""
VGG = """---g-f_I2yQ,1,people marching,test
--0PQM4-hqg,30,"waterfall, burbling",train
--56QUhyDQM,185,playing tennis,train
"""
NARRATED = {
    'a1': {
        'start': [7.0, 1.0, 9.5, 30.0],
        'end': [9.0, 2.0, 12.0, 40.0],
        'text': ['mix it', 'hello', 'so now', 'done'],
    },
    'b2': {'start': [0.0], 'end': [1.0], 'text': ['alone']},
}


@pytest.fixture
def write(tmp_path):
    def _write(content, name):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return _write


@pytest.fixture
def audioset(write, tmp_path):
    def _build(text=AUDIOSET, classes=AUDIOSET_CLASSES, **options):
        files = dict(ann_file=write(text, 'eval_segments.csv'), classes_file=write(classes, 'class_labels_indices.csv'))
        return ANNOTATIONS.build(dict(type='AudioSetCSV', visual_root=str(tmp_path), **files, **options))

    return _build


def test_audioset(audioset, tmp_path):
    reader = audioset()
    assert reader.classes == ['/m/09x0r', '/m/05zppz', '/t/dd00088'] and reader.modality == 'audio'
    assert reader.class_names == ['Speech', 'Male speech, man speaking', 'Gush']
    first, second = reader
    assert (first.id, first.visual, first.clip) == ('--PJHxphWEs_30.000', f'{tmp_path}/--PJHxphWEs.wav', None)
    assert first.labels == ['/m/09x0r', '/t/dd00088'] and second.labels == ['/m/05zppz'] and first.label is None
    whole = next(iter(audioset(whole=True, modality='video', path_template='{youtube_id}_{start:03d}.mp4')))
    assert (whole.visual, whole.clip) == (f'{tmp_path}/--PJHxphWEs_030.mp4', (30.0, 40.0))


@pytest.mark.parametrize(
    ('row', 'message'),
    [
        ('x, 0, 1, "/m/09x0s"', r"line 4, .*unknown label '/m/09x0s'.*did you mean '/m/09x0r'"),
        ('x, 5, 5, "/m/09x0r"', r'5.0 is not after start_seconds \(5.0\)'),
        ('x, later, 5, "/m/09x0r"', "start_seconds.*expected seconds, got 'later'"),
        ('x, 0, 5, /m/09x0r', 'expected YTID, start, end, "mid,mid"'),
        ('x, 0, 5', 'expected YTID, start, end, "mid,mid"'),
    ],
)
def test_rows_of_audioset_that_cannot_be(audioset, row, message):
    with pytest.raises(AnnotationError, match=message):
        list(audioset('#\n#\n#\n' + row))


def test_classes_of_audioset_that_cannot_be(audioset):
    with pytest.raises(AnnotationError, match=r"line 3, .*expected index 1 and a mid of its own, got '2' and '/m/x'"):
        _ = audioset(classes='index,mid,display_name\n0,/m/y,Y\n2,/m/x,X\n').classes


def test_a_set_of_classes_is_a_row_of_zeros_and_ones(audioset):
    options = dict(type='MultiLabelDataset', pipeline=[lambda info: info], name='audioset')
    dataset = DATASETS.build(dict(annotations=audioset(), templates=['the sound of {}'], **options))
    assert isinstance(dataset, MultiLabelDataset) and dataset.classes[1] == 'Male speech, man speaking'
    first, second = dataset[0], dataset[1]
    assert first['label'] == (1, 0, 1) and second['label'] == (0, 1, 0)
    assert first['text'] in ('the sound of Speech and Gush', 'the sound of Gush and Speech')
    assert second['text'] == 'the sound of Male speech, man speaking'
    with pytest.raises(OmniVLValueError, match='VGGSoundCSV reads one class each; that goes into a LabelDataset'):
        reader = ANNOTATIONS.build(dict(type='VGGSoundCSV', ann_file=vgg_file(audioset), visual_root=''))
        DATASETS.build(dict(annotations=reader, **options))


def vgg_file(audioset):
    path = audioset().ann_file.replace('eval_segments', 'vgg')
    with open(path, 'w') as file:
        file.write(VGG)
    return path


def test_esc50(write, tmp_path):
    reader = dict(type='ESC50CSV', ann_file=write(ESC, 'meta/esc50.csv'), visual_root=str(tmp_path))
    train = ANNOTATIONS.build(reader | dict(folds=(1, 2, 3, 4)))
    assert train.classes == ['dog', 'chirping_birds', 'vacuum_cleaner']
    assert train.class_names == ['dog', 'chirping birds', 'vacuum cleaner']
    assert [(one.id, one.label) for one in train][-1] == ('2-100210-A-36.wav', 'vacuum_cleaner')
    (test,) = ANNOTATIONS.build(reader | dict(folds=[5]))
    assert (test.visual, test.label) == (f'{tmp_path}/5-100263-A-0.wav', 'dog')
    ten = ANNOTATIONS.build(reader | dict(esc10=True))
    assert ten.classes == ['dog'] and len(list(ten)) == 2
    with pytest.raises(OmniVLValueError, match=r'folds=\(6,\); allowed are some of \(1, 2, 3, 4, 5\)'):
        ANNOTATIONS.build(reader | dict(folds=(6,)))
    for old, new, message in (
        ('1-100038-A-14.wav,1,14', 'b.wav,one,14', "line 3, .*fold.*expected a number, got 'one'"),
        ('dog,True,100263', 'cat,True,100263', "line 5, .*category.*target 0 was 'dog' before"),
        ('dog,True,100263', 'dog,yes,100263', "esc10.*expected True or False, got 'yes'"),
    ):
        write(ESC.replace(old, new), 'meta/esc50.csv')
        with pytest.raises(AnnotationError, match=message):
            _ = ANNOTATIONS.build(reader).classes


def test_speech_commands(write, tmp_path):
    files = ['yes/0a_nohash_0.wav', 'yes/0b_nohash_0.wav', 'no/0a_nohash_1.wav', 'bed/0c_nohash_0.wav']
    for name in [*files, '_background_noise_/pink.wav']:
        write('', name)
    write('yes/0b_nohash_0.wav\n', 'validation_list.txt')
    write('bed/0c_nohash_0.wav\n', 'testing_list.txt')
    reader = dict(type='SpeechCommandsFolder', visual_root=str(tmp_path))
    train, val, test = (ANNOTATIONS.build(reader | dict(split=split)) for split in ('train', 'val', 'test'))
    assert train.classes == ['bed', 'no', 'yes']
    assert [(one.id, one.label) for one in train] == [(files[2], 'no'), (files[0], 'yes')]
    assert [one.id for one in val] == [files[1]] and [one.visual for one in test] == [f'{tmp_path}/{files[3]}']
    some = ANNOTATIONS.build(reader | dict(split='test', words=['yes', 'no'], others='unknown'))
    assert some.classes == ['yes', 'no', 'unknown'] and [one.label for one in some] == ['unknown']
    assert not list(ANNOTATIONS.build(reader | dict(split='test', words=['yes'])))
    with pytest.raises(AnnotationError, match="there is no folder of the word 'up'"):
        list(ANNOTATIONS.build(reader | dict(split='test', words=['up'])))
    write('yes-0b.wav\n', 'validation_list.txt')
    with pytest.raises(AnnotationError, match=r'validation_list\.txt, line 1: .*expected word/file.wav'):
        list(train)
    (tmp_path / 'testing_list.txt').unlink()
    write('', 'validation_list.txt')
    with pytest.raises(OmniVLFileNotFoundError, match=r'testing_list\.txt'):
        list(train)
    for options, message in (
        (dict(split='dev'), "split='dev'"),
        (dict(split='val', others='x'), "others='x' needs words"),
    ):
        with pytest.raises(OmniVLValueError, match=message):
            ANNOTATIONS.build(reader | options)


def test_vggsound(write, tmp_path):
    reader = dict(type='VGGSoundCSV', ann_file=write(VGG, 'vggsound.csv'), visual_root=str(tmp_path))
    (test,) = ANNOTATIONS.build(reader | dict(split='test'))
    assert (test.visual, test.label) == (f'{tmp_path}/---g-f_I2yQ_000001.mp4', 'people marching')
    sounds = ANNOTATIONS.build(
        reader | dict(split='train', modality='audio', path_template='{youtube_id}_{start}.flac')
    )
    assert sounds.modality == 'audio' and sounds.classes == ['people marching', 'playing tennis', 'waterfall, burbling']
    assert [one.id for one in sounds] == ['--0PQM4-hqg_30', '--56QUhyDQM_185']
    for row, message in (
        ('x,1,dog', 'expected YouTube ID,start,label,split'),
        ('x,1.5,dog,test', "start.*expected whole seconds, got '1.5'"),
        ('x,1,dog,val', "split.*expected one of .*got 'val'"),
    ):
        write(row, 'vggsound.csv')
        with pytest.raises(AnnotationError, match=message):
            list(ANNOTATIONS.build(reader))


def test_narrations(write, tmp_path):
    reader = dict(type='NarratedVideos', ann_file=write(NARRATED, 'caption.json'), visual_root=str(tmp_path))
    records = list(ANNOTATIONS.build(reader | dict(candidates=3)))
    assert [one.id for one in records] == ['a1_0', 'a1_1', 'a1_2', 'a1_3', 'b2_0']
    # Sorted by time; its own first, then by nearness. Short ones are lengthened to five seconds, not below zero.
    assert (records[0].text, records[0].clip) == (['hello', 'mix it', 'so now'], (0.0, 5.0))
    assert (records[1].text, records[1].clip) == (['mix it', 'hello', 'so now'], (5.5, 10.5))
    assert (records[3].text, records[3].clip) == (['done', 'so now', 'mix it'], (30.0, 40.0))
    assert records[4].text == ['alone'] and records[4].visual == f'{tmp_path}/b2.mp4'
    assert [one.text for one in ANNOTATIONS.build(reader)][1] == ['mix it']


def test_narrations_in_tables(write, tmp_path):
    videos = write('video_id,category_1,rank\na1,Food,1\n', 'HowTo100M_v1.csv')
    write('start,end,text\n7.0,9.0,mix it\n1.0,2.0,"hello, you"\n', 'captions/a1.csv')
    reader = dict(type='NarratedVideos', ann_file=videos, visual_root=str(tmp_path))
    reader |= dict(captions_root=str(tmp_path / 'captions'), candidates=4, path_template='{stem}.webm')
    first, second = ANNOTATIONS.build(reader)
    assert first.text == ['hello, you', 'mix it'] and second.text == ['mix it', 'hello, you']
    assert first.visual == f'{tmp_path}/a1.webm'
    write('video_id\nzz\n', 'HowTo100M_v1.csv')
    with pytest.raises(AnnotationError, match=r'line 2, .*its narration .*zz.csv does not exist'):
        list(ANNOTATIONS.build(reader))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([], r'expected \{video: \{start, end, text\}\}, got \[\]'),
        ({'a': {'start': [1], 'end': [2]}}, 'text.*the field is missing'),
        ({'a': {'start': [1, 2], 'end': [2], 'text': ['x']}}, 'must be of one length, got 2 start, 1 end, 1 text'),
        (
            {'a': {'start': [3], 'end': [2], 'text': ['x']}},
            r'a, narration 0.*expected 0 <= start <= end, got 3.0 and 2.0',
        ),
        ({'a': {'start': ['x'], 'end': [2], 'text': ['x']}}, "expected seconds, got 'x' and 2"),
        ({'a': {'start': [1], 'end': [2], 'text': ['']}}, "the caption is empty; empty='drop'"),
    ],
)
def test_narrations_that_cannot_be(write, content, message):
    with pytest.raises(AnnotationError, match=message):
        list(ANNOTATIONS.build(dict(type='NarratedVideos', ann_file=write(content, 'c.json'), visual_root='')))


def test_options_of_narrations_that_cannot_be():
    for options, message in (
        (dict(ann_file='x.csv'), 'a table of videos needs captions_root'),
        (dict(ann_file='x.json', captions_root='y'), r"got ann_file='x.json' and captions_root='y'"),
        (dict(ann_file='x.json', candidates=0), 'candidates must be at least 1'),
    ):
        with pytest.raises(OmniVLValueError, match=message):
            ANNOTATIONS.build(dict(type='NarratedVideos', visual_root='', **options))


def test_nearest_spans_are_those_that_take_least_time():
    rng = np.random.default_rng(0)
    for _ in range(20):
        starts = np.sort(rng.uniform(0, 60, 8))
        spans = [(start, start + 2.0, '') for start in starts.tolist()]
        number, count = int(rng.integers(8)), int(rng.integers(1, 5))
        first, last = nearest_spans(spans, number, count)
        assert first <= number < last and last - first == count
        if count == 2:  # the nearer neighbour, by hand
            sides = [place for place in (number - 1, number + 1) if 0 <= place < 8]
            nearest = min(sides, key=lambda place: abs(starts[place] - starts[number]))
            assert set(range(first, last)) == {number, nearest}
    assert nearest_spans(spans, 3, 99) == (0, 8)
