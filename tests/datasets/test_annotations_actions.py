"""Readers of action recognition sets, on a handful of rows in the published form."""

import json

import pytest

from omnivl.datasets import AnnotationError
from omnivl.registry import ANNOTATIONS, DATASETS

SSV2 = [
    {
        'id': '78687',
        'label': 'holding potato next to vicks vaporub bottle',
        'template': 'Holding [something] next to [something]',
        'placeholders': ['potato', 'vicks vaporub bottle'],
    },
    {
        'id': '42326',
        'label': 'tearing a leaf',
        'template': 'Tearing [something that tears]',
        'placeholders': ['a leaf'],
    },
]
SSV2_LABELS = {'Tearing something that tears': '10', 'Holding something next to something': '2'}
SSV2_LABELS |= {f'Class {index}': str(index) for index in (0, 1, 3, 4, 5, 6, 7, 8, 9)}


@pytest.fixture
def write(tmp_path):
    def _write(content, name):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return _write


@pytest.fixture
def ssv2(write, tmp_path):
    def _build(rows=SSV2, labels=SSV2_LABELS, **options):
        files = dict(ann_file=write(rows, 'train.json'), labels_file=write(labels, 'labels.json'))
        return ANNOTATIONS.build(dict(type='SomethingSomethingJSON', visual_root=str(tmp_path), **{**files, **options}))

    return _build


def test_something_something(ssv2, tmp_path):
    reader = ssv2()
    # By index, not by the text of the index ('10' < '2').
    assert reader.classes[2] == 'Holding something next to something'
    assert reader.classes[10] == 'Tearing something that tears'
    assert reader.class_names[10] == 'tearing something that tears'
    first, second = reader
    assert (first.id, first.visual, reader.modality) == ('78687', f'{tmp_path}/78687.webm', 'video')
    assert first.label == 'Holding something next to something' and first.clip is None
    assert second.label == 'Tearing something that tears'
    assert next(iter(ssv2(path_template='{id}.mp4'))).visual == f'{tmp_path}/78687.mp4'


@pytest.mark.parametrize(
    ('rows', 'labels', 'message'),
    [
        ([{'id': '1'}], SSV2_LABELS, r"row 0, field 'template'.*as in the published test file; test on the validation"),
        ([SSV2[0] | {'template': 'Holding [x]'}], SSV2_LABELS, r"row 0, field 'template': unknown label 'Holding x'"),
        ([{'template': 'a'}], SSV2_LABELS, r"row 0, field 'id': the field is missing"),
        (SSV2, {'a': '0', 'b': '2'}, r'labels\.json.*expected a JSON object \{class: index\}'),
        (SSV2, {'a': 'x'}, r'labels\.json.*expected a JSON object \{class: index\}'),
        (SSV2, {}, r'labels\.json.*expected a JSON object \{class: index\}'),
        (SSV2, ['a'], r'labels\.json.*expected a JSON object \{class: index\}'),
        ('a.webm 0\n', SSV2_LABELS, r'expected a JSON list.*are read by MMActionList'),
    ],
)
def test_something_something_errors(ssv2, rows, labels, message):
    with pytest.raises(AnnotationError, match=message):
        list(ssv2(rows, labels))


def test_something_something_arguments(ssv2):
    with pytest.raises(FileNotFoundError, match="set 'labels_file' in the config"):
        list(ssv2(labels_file='nowhere.json'))
    with pytest.raises(ValueError, match=r"placeholders are \['id'\]"):
        ssv2(path_template='{video}.webm')


UCF_CLASSES = '1 ApplyEyeMakeup\n2 HandstandPushups\n3 YoYo\n'
# The folder and the file differ in the official list.
UCF_TRAIN = 'ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\nHandstandPushups/v_HandStandPushups_g01_c01.avi 2\n'
UCF_TEST = 'YoYo/v_YoYo_g01_c01.avi\nApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi\n'


@pytest.fixture
def ucf(write, tmp_path):
    def _build(lines, classes=UCF_CLASSES, **options):
        files = dict(ann_file=write(lines, 'list01.txt'), classes_file=write(classes, 'classInd.txt'))
        return ANNOTATIONS.build(dict(type='UCF101List', visual_root=str(tmp_path), **{**files, **options}))

    return _build


def test_ucf101(ucf, tmp_path):
    reader = ucf(UCF_TRAIN)
    assert reader.classes == ['ApplyEyeMakeup', 'HandstandPushups', 'YoYo']
    assert reader.class_names == ['apply eye makeup', 'handstand pushups', 'yo yo']
    first, second = reader
    assert first.id == 'ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01' and reader.modality == 'video'
    assert second.visual == f'{tmp_path}/HandstandPushups/v_HandStandPushups_g01_c01.avi'
    assert [record.label for record in ucf(UCF_TRAIN)] == ['ApplyEyeMakeup', 'HandstandPushups']
    assert [record.label for record in ucf(UCF_TEST.replace('\n', '\r\n'))] == ['YoYo', 'ApplyEyeMakeup']


@pytest.mark.parametrize(
    ('lines', 'classes', 'message'),
    [
        ('v_x.avi 1\n', UCF_CLASSES, r'line 1: expected "Class/video\.avi", with or without a number'),
        ('YoJo/v.avi\n', UCF_CLASSES, r"field 'class': unknown label 'YoJo'.*did you mean 'YoYo'"),
        ('YoYo/v.avi 2\n', UCF_CLASSES, r"YoYo has number 3 in .*, here '2'; lists that count from 0 .*MMActionList"),
        (UCF_TEST, 'ApplyEyeMakeup\n', r'classInd\.txt, line 1: expected "1 Class", got'),
        (UCF_TEST, '1 YoYo\n3 TaiChi\n', r'classInd\.txt, line 2: expected "2 Class", got'),
        (UCF_TEST, '1 YoYo\n2 YoYo\n', r'classInd\.txt, line 2: expected "2 Class", got'),
        (UCF_TEST, '\n', r'classInd\.txt: the file is empty; expected lines "1 Class"'),
    ],
)
def test_ucf101_errors(ucf, lines, classes, message):
    with pytest.raises(AnnotationError, match=message):
        list(ucf(lines, classes))


def test_ucf101_needs_the_classes(ucf):
    with pytest.raises(FileNotFoundError, match="set 'classes_file' in the config"):
        list(ucf(UCF_TEST, classes_file='nowhere.txt'))


@pytest.fixture
def hmdb(write, tmp_path):
    # With the space that the official lines end in.
    write('b_1.avi 1 \nb_2.avi 2 \nb_3.avi 0 \n', 'splits/brush_hair_test_split1.txt')
    write('April_09 #1.avi 2 \na_2.avi 1 \n', 'splits/wave_test_split1.txt')
    write('b_1.avi 2 \nb_2.avi 1 \n', 'splits/brush_hair_test_split2.txt')

    def _build(**options):
        roots = dict(splits_root=str(tmp_path / 'splits'), visual_root=str(tmp_path))
        return ANNOTATIONS.build(dict(type='HMDB51Splits', **{**roots, **options}))

    return _build


def test_hmdb51(hmdb, tmp_path):
    reader = hmdb(part='test')
    assert reader.classes == ['brush_hair', 'wave'] and reader.class_names == ['brush hair', 'wave']
    assert [(record.id, record.label) for record in reader] == [
        ('brush_hair/b_2', 'brush_hair'),
        ('wave/April_09 #1', 'wave'),
    ]
    assert next(iter(reader)).visual == f'{tmp_path}/brush_hair/b_2.avi'
    assert [record.id for record in hmdb(part='train')] == ['brush_hair/b_1', 'wave/a_2']
    assert [record.id for record in hmdb(part='test', split=2)] == ['brush_hair/b_1']


def test_hmdb51_errors(hmdb, write):
    with pytest.raises(ValueError, match=r"part='val'; allowed are \['test', 'train'\]"):
        hmdb(part='val')
    with pytest.raises(ValueError, match='split=0; allowed are 1, 2 and 3'):
        hmdb(part='test', split=0)
    with pytest.raises(AnnotationError, match=r'has no files <class>_test_split3\.txt'):
        list(hmdb(part='test', split=3))
    with pytest.raises(FileNotFoundError, match="set 'splits_root' in the config"):
        list(hmdb(part='test', splits_root='nowhere'))
    write('a.avi 1\nb.avi 3\n', 'splits/wave_test_split2.txt')
    with pytest.raises(AnnotationError, match=r'wave_test_split2\.txt, line 2: expected "video\.avi 0, 1 or 2"'):
        list(hmdb(part='test', split=2))


def test_datasets_of_actions(ssv2, ucf, hmdb):
    for reader, expected in ((ssv2(), [2, 10]), (ucf(UCF_TEST), [2, 0]), (hmdb(part='train'), [0, 1])):
        config = dict(type='LabelDataset', annotations=reader, pipeline=[], name='actions', templates='actionclip')
        dataset = DATASETS.build(config)
        assert [dataset.get_data_info(index)['label'] for index in range(2)] == expected
        assert dataset.modality == 'video' and dataset.classes == reader.class_names
