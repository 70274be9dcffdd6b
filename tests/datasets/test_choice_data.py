"""Multiple choice and the positives of retrieval: readers, datasets and what the pipeline makes of their items."""

import json

import numpy as np
import pytest

from omnivl.datasets import AnnotationError, SampleKey, caption_target_id
from omnivl.datasets.target_ids import visual_target_id
from omnivl.registry import ANNOTATIONS, DATASETS


@pytest.fixture
def build(tmp_path):
    """Writes an annotation file and builds a reader of it; the visual root is tmp_path."""

    def _build(reader, content, name='ann.json', **options):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding='utf-8')
        return ANNOTATIONS.build(dict(type=reader, ann_file=str(path), visual_root=str(tmp_path), **options))

    return _build


CHOICES = ['a man sings', 'a dog runs', 'a car', 'a cat', 'nothing']


def test_multiple_choice_in_both_published_forms(build, tmp_path):
    rows = [{'video': f'video{7010 + n}.mp4', 'caption': CHOICES, 'answer': n} for n in (0, 4)]
    reader = build('MultipleChoiceList', rows, 'msrvtt_mc_test.json')
    vindlu = list(reader)
    lines = ''.join(
        json.dumps({'qid': n, 'clip_name': f'video{7010 + n}', 'options': CHOICES, 'answer': n}) + '\n' for n in (0, 4)
    )
    fields = dict(visual_field='clip_name', choices_field='options', path_template='{visual}.mp4')
    clipbert = list(build('MultipleChoiceList', lines, 'msrvtt_mc_test.jsonl', **fields))
    for records in (vindlu, clipbert):
        assert [(r.visual, r.choices, r.answer_index) for r in records] == [
            (f'{tmp_path}/video{7010 + n}.mp4', CHOICES, n) for n in (0, 4)
        ]
    assert [r.id for r in vindlu] == ['0', '1'] and [r.id for r in clipbert] == ['0', '4']
    assert vindlu[0].text == [] and reader.modality == 'video'


@pytest.mark.parametrize(
    ('row', 'message'),
    [
        ({'caption': CHOICES, 'answer': 0}, r"field 'video': the field is missing"),
        ({'video': 'a.mp4', 'caption': 'a', 'answer': 0}, r"field 'caption': expected list \(not empty\), got 'a'"),
        ({'video': 'a.mp4', 'caption': ['a'], 'answer': 0}, r"field 'caption': 1 texts are no choice; give at least 2"),
        ({'video': 'a.mp4', 'caption': ['a', ''], 'answer': 0}, r"field 'caption': the caption is empty"),
        ({'video': 'a.mp4', 'caption': CHOICES}, r"field 'answer': the field is missing"),
        ({'video': 'a.mp4', 'caption': CHOICES, 'answer': 5}, r"'answer': 5 is no place among 5 texts; places count"),
        ({'video': 'a.mp4', 'caption': CHOICES, 'answer': -1}, r"'answer': -1 is no place among 5 texts"),
        (
            {'video': 'a.mp4', 'caption': CHOICES, 'answer': 'a car'},
            r"'answer': expected int \(not empty\), got 'a car'",
        ),
    ],
)
def test_multiple_choice_errors(build, row, message):
    fine = {'video': 'a.mp4', 'caption': CHOICES, 'answer': 0}
    with pytest.raises(AnnotationError, match='row 1, .*' + message):
        list(build('MultipleChoiceList', [fine, row]))


def test_multiple_choice_options(build):
    with pytest.raises(ValueError, match=r"MultipleChoiceList: modality='text'; allowed are"):
        build('MultipleChoiceList', [], modality='text')
    with pytest.raises(ValueError, match=r"MultipleChoiceList: path_template='\{id\}' cannot be filled"):
        build('MultipleChoiceList', [], path_template='{id}')
    with pytest.raises(AnnotationError, match=r'a file with one row per line must end in \.jsonl'):
        list(build('MultipleChoiceList', '{}\n{}\n'))


class Letters:
    """A tokenizer of letters."""

    def encode(self, text, max_length):
        return np.array([ord(letter) for letter in text][:max_length], dtype=np.int64)


def blank(results):
    """In the place of a decoder: one black frame."""
    return results | {'frames': np.zeros((1, 4, 4, 3), np.uint8)}


@pytest.fixture
def choice_dataset(build):
    rows = [
        {'video': 'video1.mp4', 'caption': [f'{text.upper()}!' for text in CHOICES], 'answer': 0},
        {'video': 'video1.mp4', 'caption': CHOICES[:2], 'answer': 1},
    ]
    pipeline = [
        blank,
        dict(type='CleanCaption', max_words=2),
        dict(type='TokenizeText', tokenizer=Letters(), max_length=40),
        dict(type='PackSample'),
    ]
    reader = build('MultipleChoiceList', rows)
    return DATASETS.build(dict(type='ChoiceDataset', annotations=reader, pipeline=pipeline, name='mc'))


def test_choice_items_have_a_text_per_choice_and_the_place_of_the_true_one(choice_dataset, tmp_path):
    info = choice_dataset.get_data_info(1)
    assert info == {
        'visual': f'{tmp_path}/video1.mp4',
        'modality': 'video',
        'clip': None,
        'sample_id': '1',
        'source': 'mc',
        'captions': CHOICES[:2],
        'answer_index': 1,
    }
    samples = [choice_dataset[index]['data_samples'] for index in range(2)]
    assert [sample.sample_id for sample in samples] == ['0', '1'], 'two questions about one video'
    assert samples[0].captions == ['a man', 'a dog', 'a car', 'a cat', 'nothing'] and samples[0].answer_index == 0
    assert [''.join(map(chr, ids)) for ids in samples[0].caption_ids] == samples[0].captions
    assert samples[1].answer_index == 1 and len(samples[1].caption_ids) == 2


def test_choice_items_are_the_same_in_every_epoch(choice_dataset):
    generators = [choice_dataset._generator(0, epoch, 0).random() for epoch in (0, 3)]
    assert generators[0] == generators[1]
    assert choice_dataset[SampleKey(0, 3)]['data_samples'].captions == choice_dataset[0]['data_samples'].captions


def test_choices_need_records_with_choices(build):
    captions = build('BLIPCaptionJSON', [{'image': 'a.jpg', 'caption': 'a'}])
    with pytest.raises(ValueError, match=r"ChoiceDataset 'mc': record 'a\.jpg' has no choices.*MultipleChoiceList"):
        DATASETS.build(dict(type='ChoiceDataset', annotations=captions, pipeline=[], name='mc'))


def pairs(reader, **options):
    return DATASETS.build(dict(type='PairDataset', annotations=reader, pipeline=[], name='pairs', **options))


def test_positives_are_pairs_with_the_same_words_or_of_the_same_visual(build, tmp_path):
    rows = [{'image': 'a.jpg', 'caption': ['A dog.', 'a cat']}, {'image': 'b.jpg', 'caption': 'a dog'}]
    reader = build('BLIPCaptionJSON', rows)
    ids = {
        positives: [info['target_id'] for info in map(pairs(reader, positives=positives).get_data_info, range(3))]
        for positives in ('caption', 'visual')
    }
    assert ids['caption'] == [caption_target_id(text) for text in ('a dog', 'a cat', 'a dog')]
    first, second, third = ids['visual']
    assert first == second == visual_target_id(f'{tmp_path}/a.jpg') and first != third
    assert not set(ids['caption']) & set(ids['visual'])
    with pytest.raises(ValueError, match=r"PairDataset 'pairs': positives='image'; allowed are .*'caption', 'visual'"):
        pairs(reader, positives='image')


def test_parts_of_one_video_are_different_visuals():
    ids = {visual_target_id('a.mp4', clip) for clip in (None, (0.0, 2.0), (2.0, 4.0), (0.0, 4.0))}
    assert len(ids) == 4 and all(0 <= number < 2**63 for number in ids)
    assert visual_target_id('a.mp4', (0.0, 2.0)) == visual_target_id('a.mp4', (0.0, 2.0))


def test_one_caption_of_several_videos_is_a_caption_of_each(build):
    rows = [
        {'video': ['1.webm', '2.webm'], 'caption': 'holding something'},
        {'video': ['3.webm'], 'caption': 'moving something'},
    ]
    reader = build('BLIPCaptionJSON', rows, visual_field='video', modality='video')
    dataset = DATASETS.build(dict(type='RetrievalDataset', annotations=reader, pipeline=[], name='ssv2'))
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    assert [info['captions'] for info in infos] == [['holding something']] * 2 + [['moving something']]
    assert len({info['sample_id'] for info in infos}) == 3
