"""Readers of questions in their published forms, the dataset, and its pipeline."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from omnivl.datasets import AnnotationError, BrokenVisualError, collate_samples
from omnivl.datasets.annotations import read_answer_list
from omnivl.datasets.transforms import CleanQuestion, PackSample, TokenizeText, clean_question
from omnivl.models import VLDataPreprocessor
from omnivl.registry import ANNOTATIONS, DATASETS, EVALUATIONS

TEN = [*['Yes'] * 6, *['no'] * 3, 'maybe']
QUESTIONS = {
    'info': {},
    'task_type': 'Open-Ended',
    'data_type': 'mscoco',
    'data_subtype': 'val2014',
    'questions': [
        {'image_id': 262148, 'question': 'Where is he looking?', 'question_id': 262148000},
        {'image_id': 42, 'question': 'Is it *red*?', 'question_id': 42001},
    ],
}


def annotation(question_id, image_id, answers, answer_type):
    return {
        'question_type': 'is it',
        'multiple_choice_answer': answers[0],
        'answers': [
            {'answer': answer, 'answer_confidence': 'yes', 'answer_id': number + 1}
            for number, answer in enumerate(answers)
        ],
        'image_id': image_id,
        'answer_type': answer_type,
        'question_id': question_id,
    }


# The official files are not in the same order.
ANNOTATED = {
    'annotations': [annotation(42001, 42, TEN, 'yes/no'), annotation(262148000, 262148, ['down'] * 10, 'other')]
}


@pytest.fixture
def write(tmp_path):
    def _write(content, name):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding='utf-8')
        return str(path)

    return _write


@pytest.fixture
def vqa(write, tmp_path):
    """Builds the reader of VQAv2's files."""

    def _vqa(questions=QUESTIONS, annotations=ANNOTATED, **options):
        files = dict(ann_file=write(questions, 'q.json'))
        if annotations is not None:
            files['answers_file'] = write(annotations, 'a.json')
        return ANNOTATIONS.build(dict(type='VQAv2JSON', visual_root=str(tmp_path), **files, **options))

    return _vqa


def test_vqa_v2(vqa, tmp_path):
    first, second = reader = vqa()
    assert first.visual == f'{tmp_path}/val2014/COCO_val2014_000000262148.jpg'
    assert (first.id, first.question, reader.modality) == ('262148000', 'Where is he looking?', 'image')
    assert first.answers == ['down'] * 10 and (first.answer_type, first.question_type) == ('other', 'is it')
    assert second.answers == TEN and second.answer_type == 'yes/no'


def test_vqa_v2_test_sets_have_no_answers(vqa, tmp_path):
    records = list(vqa(QUESTIONS | {'data_subtype': 'test-dev2015'}, None))
    assert records[1].visual == f'{tmp_path}/test2015/COCO_test2015_000000000042.jpg'
    assert records[1].answers is None
    assert next(iter(vqa(path_template='{subtype}/{image_id:05d}.png'))).visual.endswith('val2014/262148.png')


@pytest.mark.parametrize(
    ('questions', 'annotations', 'message'),
    [
        ([], ANNOTATED, "expected {'questions': .*BLIPQuestionJSON"),
        (
            QUESTIONS,
            {'annotations': ANNOTATED['annotations'][:1]},
            'row 0, .*question_id.*has no answers to question 2621',
        ),
        (QUESTIONS, [], "a.json.*expected {'annotations'"),
        (QUESTIONS, {'annotations': [{'question_id': 1}]}, 'a.json.*row 0.*expected question_id, image_id and answers'),
        (
            QUESTIONS,
            {'annotations': [annotation(42001, 42, TEN, 'other'), annotation(262148000, 7, TEN, 'other')]},
            'image_id.*is 262148, but 7 in .*are the two files of one split',
        ),
        (QUESTIONS | {'questions': QUESTIONS['questions'][:1] * 2}, ANNOTATED, '262148000 is there twice'),
        (QUESTIONS | {'questions': [{'image_id': 1, 'question_id': 1}]}, None, 'row 0.*question.*the field is missing'),
    ],
)
def test_vqa_v2_errors_name_the_place(vqa, questions, annotations, message):
    with pytest.raises(AnnotationError, match=f'(?s){message}'):
        list(vqa(questions, annotations))


def test_vqa_v2_missing_answers_file(vqa):
    reader = vqa()
    reader.answers_file = 'nowhere.json'
    with pytest.raises(
        FileNotFoundError, match=r"VQAv2JSON: the file 'nowhere.json' does not exist; set 'answers_file'"
    ):
        list(reader)
    with pytest.raises(ValueError, match="placeholders are \\['image_id', 'subtype'\\]"):
        vqa(path_template='{number}.jpg')


def test_blip_lists(write, tmp_path):
    rows = [
        {'question_id': 5, 'question': 'what?', 'answer': TEN, 'image': 'val2014/a.jpg', 'dataset': 'vqa'},
        {'image': 'image/1.jpg', 'question': 'who?', 'answer': 'a man', 'dataset': 'vg'},
        {'question_id': 6, 'question': 'where?', 'image': 'test2015/b.jpg', 'dataset': 'vqa'},
    ]
    config = dict(type='BLIPQuestionJSON', ann_file=write(rows, 'l.json'), visual_root=str(tmp_path))
    vqa, genome, test = ANNOTATIONS.build(config)
    assert (vqa.id, vqa.answers, vqa.visual) == ('5', TEN, f'{tmp_path}/val2014/a.jpg')
    assert (genome.id, genome.answers) == ('1', ['a man'])
    assert test.answers is None
    write([rows[0] | {'answer': [1, 2]}], 'l.json')
    with pytest.raises(AnnotationError, match=r'row 0.*answer.*expected an answer or a list of answers'):
        list(ANNOTATIONS.build(config))


@pytest.mark.parametrize(
    ('name', 'row', 'options', 'expected'),
    [
        ('v.json', {'video': 'video6513.mp4', 'question_id': 3}, {}, ('video6513.mp4', '3')),
        ('v.jsonl', {'video_id': 'video6513', 'answer_type': 'what'},
         {'video_field': 'video_id', 'path_template': '{video}.mp4'}, ('video6513.mp4', '0')),
        ('v.jsonl', {'video_id': '-7KMZQEsJW4_205_208'},
         {'video_field': 'video_id', 'path_template': '{video}.avi'}, ('-7KMZQEsJW4_205_208.avi', '0')),
        ('v.json', {'video_id': 6513, 'id': 9, 'category_id': 14},
         {'video_field': 'video_id', 'path_template': 'video{video}.mp4'}, ('video6513.mp4', '9')),
    ],
)  # fmt: skip
def test_video_questions(write, tmp_path, name, row, options, expected):
    row |= {'question': 'what is he doing?', 'answer': 'singing'}
    path = write(json.dumps(row) + '\n' if name.endswith('l') else [row], name)
    (record,) = reader = ANNOTATIONS.build(
        dict(type='VideoQAList', ann_file=path, visual_root=str(tmp_path), **options)
    )
    name = 'line 1' if name.endswith('l') else expected[1]
    assert (record.visual, record.id, reader.modality) == (f'{tmp_path}/{expected[0]}', name, 'video')
    assert record.answers == ['singing'] and record.answer_type == row.get('answer_type')


def test_names_of_msvd(write, tmp_path):
    names = write('-4wsuPCjDBc_5_15 vid1\n-7KMZQEsJW4_205_208 vid2\n', 'youtube_mapping.txt')
    options = dict(visual_root=str(tmp_path), video_field='video_id', path_template='{video}.avi', names_file=names)
    rows = [{'video_id': 2, 'question': 'who?', 'answer': 'someone', 'id': 0}]
    reader = ANNOTATIONS.build(dict(type='VideoQAList', ann_file=write(rows, 'v.json'), **options))
    assert next(iter(reader)).visual == f'{tmp_path}/-7KMZQEsJW4_205_208.avi'
    write([rows[0] | {'video_id': 3}], 'v.json')
    with pytest.raises(AnnotationError, match=r'video_id.*has no line for video 3'):
        list(reader)
    write('name only\n', 'youtube_mapping.txt')
    with pytest.raises(AnnotationError, match="expected 'NAME vid7', got 'name only'"):
        list(reader)


def test_a_broken_line_is_named(write, tmp_path):
    path = write('{"video": "a", "question": "b", "answer": "c"}\n{oops\n', 'v.jsonl')
    with pytest.raises(AnnotationError, match=r'line 2.*not valid JSON'):
        list(ANNOTATIONS.build(dict(type='VideoQAList', ann_file=path, visual_root=str(tmp_path))))


def test_answer_lists(write):
    assert read_answer_list(write(['b', 'a'], 'l.json')) == ['b', 'a']
    assert read_answer_list(write({'b': 1, 'a': 0}, 'l.json')) == ['a', 'b']
    with pytest.raises(AnnotationError, match="the answer 'a' is there twice"):
        read_answer_list(write(['a', 'b', 'a'], 'l.json'))
    with pytest.raises(AnnotationError, match='expected a list of answers, got 3'):
        read_answer_list(write('3', 'l.json'))


@pytest.mark.parametrize(
    ('question', 'expected'),
    [('Is it *red*?', 'is it red?'), ('What: (this) #1 or "that".', 'what this 1 or that'), ('a.b', 'ab'), ('!', '')],
)
def test_question_rule(question, expected):
    """Marks vanish without leaving a space, unlike in captions; the question mark stays."""
    assert clean_question(question) == expected
    assert clean_question(expected) == expected
    assert clean_question('a b c', 2) == 'a b'


def test_questions_are_cleaned_and_answers_are_not(tmp_path):
    assert CleanQuestion(2)({'question': 'A. b c', 'answers': ['D.']}) == {'question': 'a b', 'answers': ['D.']}
    with pytest.raises(BrokenVisualError, match=r"a\.jpg: its question '\.' is empty after cleaning"):
        CleanQuestion()({'question': '.', 'visual': 'a.jpg'})
    with pytest.raises(ValueError, match='max_words must be a positive int or None, got 0'):
        CleanQuestion(0)
    with pytest.raises(KeyError, match="CleanQuestion needs 'question', which the dataset provides"):
        CleanQuestion()({'text': 'a'})


class Words:
    """One id per word; remembers what it was given."""

    def __init__(self):
        self.texts = []

    def encode(self, text, max_length):
        self.texts.append(text)
        return np.array([2, *range(5, 5 + len(text.split())), 3])


def test_ids_of_question_and_answers():
    words = Words()
    results = TokenizeText(words, 10)({'question': 'is it?', 'distinct_answers': ['yes', 'of course']})
    assert words.texts == ['is it?', 'yes', 'of course'] and [len(ids) for ids in results['answer_ids']] == [3, 4]
    assert len(results['text_ids']) == 4


def frames(results):
    results['frames'] = np.zeros((1, 4, 4, 3), np.uint8)
    return results


def test_dataset_and_batch(vqa, tmp_path):
    """Distinct answers weigh what their share of the ten is; the batch says whose they are."""
    pipeline = [frames, CleanQuestion(), TokenizeText(Words(), 10), PackSample()]
    config = dict(type='QADataset', pipeline=pipeline, name='vqa')
    dataset = DATASETS.build(config | dict(annotations=vqa()))
    info = dataset.get_data_info(1)
    assert info['distinct_answers'] == ['Yes', 'no', 'maybe'] and info['answer_weights'] == [0.6, 0.3, 0.1]
    assert info['answers'] == TEN and info['question_id'] == 42001 and info['sample_id'] == '42001'
    items = [dataset[0], dataset[1]]
    sample = items[1]['data_samples']
    assert sample.question == 'is it red?' and sample.answer_type == 'yes/no' and len(sample.answer_ids) == 3
    batch = VLDataPreprocessor()(
        dict(inputs={'image': torch.zeros(2, 1, 3, 4, 4)}, data_samples=[item['data_samples'] for item in items])
    )['batch']
    assert batch.answer_owner.tolist() == [0, 1, 1, 1]
    assert batch.answer_weights.tolist() == pytest.approx([1.0, 0.6, 0.3, 0.1])
    assert batch.answer_ids.shape == (4, 3) and batch.answer_mask.all()
    lighter = DATASETS.build(config | dict(annotations=vqa(), answer_weight=0.2))
    assert lighter.get_data_info(1)['answer_weights'] == pytest.approx([0.12, 0.06, 0.02])
    test = DATASETS.build(config | dict(annotations=vqa(QUESTIONS, None)))[0]['data_samples']
    assert 'answers' not in test and 'answer_ids' not in test and test.question_id == 262148000


def test_dataset_messages(vqa, write, tmp_path):
    with pytest.raises(ValueError, match="QADataset 'x': answer_weight=0; it must be above 0"):
        DATASETS.build(dict(type='QADataset', annotations=vqa(), pipeline=[], name='x', answer_weight=0))
    captions = write([{'image': 'a.jpg', 'caption': 'a'}], 'c.json')
    reader = dict(type='BLIPCaptionJSON', ann_file=captions, visual_root=str(tmp_path))
    with pytest.raises(
        ValueError, match=r"QADataset 'x': record 'a.jpg' has no question; captions go into a PairDataset"
    ):
        DATASETS.build(dict(type='QADataset', annotations=reader, pipeline=[], name='x'))


def test_from_files_to_a_loss_and_figures(vqa, tmp_path, vocab_file, tiny_model):
    """Two steps of training and an evaluation on VQAv2's files with real pictures."""
    for folder, number in (('val2014', 262148), ('val2014', 42)):
        (tmp_path / folder).mkdir(exist_ok=True)
        picture = Image.fromarray(np.full((40, 50, 3), number % 255, np.uint8))
        picture.save(tmp_path / folder / f'COCO_{folder}_{number:012d}.jpg')
    tokenizer = dict(type='WordPieceTokenizer', vocab_file=str(vocab_file))
    pipeline = [
        dict(type='LoadImage'),
        dict(type='Resize', size=32),
        dict(type='CleanQuestion'),
        dict(type='TokenizeText', tokenizer=tokenizer, max_length=20),
        dict(type='PackSample'),
    ]
    dataset = DATASETS.build(dict(type='QADataset', annotations=vqa(), pipeline=pipeline, name='vqa'))
    data = collate_samples([dataset[0], dataset[1]])
    model = tiny_model(type='OmniVLQA')
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    losses = []
    for _ in range(2):
        batch = model.data_preprocessor(data, True)
        losses.append(model(**batch, mode='loss')['loss_answer'])
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[1] < losses[0]
    evaluation = EVALUATIONS.build(dict(type='QAEvaluation', protocol='vqav2', answer_list=['yes', 'no', 'down']))
    result = evaluation.run(model, [data])
    assert set(result.metrics) == {'accuracy', 'accuracy_other', 'accuracy_yes_no'}
    assert [row['question_id'] for row in result.predictions] == [42001, 262148000]
