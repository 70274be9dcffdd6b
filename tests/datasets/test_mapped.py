"""The classes of one set as those of another: by name, by a map, and what is wrong with a map."""

import json

import pytest

from omnivl.datasets import LabelDataset
from omnivl.datasets.annotations import MappedClasses


@pytest.fixture
def mapped(tmp_path):
    """A reader of two clips of two classes as some of four."""
    (tmp_path / 'list.txt').write_text('one.mp4 0\ntwo.mp4 1\nthree.mp4 1')

    def make(own='run\nhug', wanted='run\nhug (not baby)\nhug\nsit', targets=None):
        (tmp_path / 'own.txt').write_text(own)
        (tmp_path / 'wanted.txt').write_text(wanted)
        if targets is not None:
            (tmp_path / 'map.json').write_text(json.dumps(targets))
        annotations = dict(
            type='MMActionList',
            ann_file=str(tmp_path / 'list.txt'),
            visual_root=str(tmp_path),
            classes_file=str(tmp_path / 'own.txt'),
        )
        label_map = None if targets is None else str(tmp_path / 'map.json')
        return MappedClasses(annotations, str(tmp_path / 'wanted.txt'), label_map)

    return make


def test_labels_become_those_of_the_second_list(mapped):
    assert [one.label for one in mapped()] == ['run', 'hug', 'hug']
    assert [one.label for one in mapped(targets=[3, 1])] == ['sit', 'hug (not baby)', 'hug (not baby)']
    dataset = LabelDataset(annotations=mapped(targets=[0, 1]), pipeline=[], name='mapped')
    assert dataset.classes == ['run', 'hug (not baby)', 'hug', 'sit']
    assert [dataset.get_data_info(index)['label'] for index in range(3)] == [0, 1, 1]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(wanted='run\nsit'), r"1 classes are not in it, such as \['hug'\]; give a label_map"),
        (dict(targets=[0]), '1 entries for the 2 classes of .*list.txt'),
        (dict(targets=[0, 4]), 'expected the index of one of 4 classes, got 4'),
        (dict(targets=[0, True]), 'expected the index of one of 4 classes, got True'),
        (dict(targets=[]), 'expected a JSON list of class indices'),
    ],
)
def test_a_wrong_map_is_refused(mapped, options, message):
    with pytest.raises(ValueError, match=message):
        list(mapped(**options))


def test_captions_have_no_classes_to_map(tmp_path):
    (tmp_path / 'pairs.csv').write_text('videoid,page_dir,name\n1,a,a dog\n')
    (tmp_path / 'wanted.txt').write_text('run')
    annotations = dict(type='WebVidCSV', ann_file=str(tmp_path / 'pairs.csv'), visual_root=str(tmp_path))
    with pytest.raises(ValueError, match='WebVidCSV reads captions, not classes'):
        list(MappedClasses(annotations, str(tmp_path / 'wanted.txt')))


def test_a_map_that_is_not_there_is_said(mapped):
    reader = mapped()
    reader.label_map = 'nowhere.json'
    with pytest.raises(FileNotFoundError, match=r"the label map 'nowhere.json' does not exist; set label_map"):
        list(reader)
