"""Readers of COCO's official form, NoCaps and YouCook2, and the dataset of visuals to be captioned."""

import json

import numpy as np
import pytest

from omnivl.datasets import AnnotationError, CaptionDataset
from omnivl.datasets.transforms import CleanCaption, PackSample
from omnivl.registry import ANNOTATIONS

IMAGES = [
    {'id': 7, 'file_name': 'a.jpg', 'domain': 'near-domain', 'open_images_id': '0013ea'},
    {'id': 3, 'file_name': 'b.jpg', 'domain': 'in-domain', 'open_images_id': '0014ea'},
]
CAPTIONS = [
    {'id': 0, 'image_id': 3, 'caption': ' A dog. '},
    {'id': 1, 'image_id': 7, 'caption': 'One, two'},
    {'id': 2, 'image_id': 3, 'caption': 'a dog'},
]
YOUCOOK2 = {
    'database': {
        'xHr8X2Wpmno': {
            'subset': 'training',
            'duration': 311.77,
            'recipe_type': '113',
            'annotations': [
                {'id': 0, 'segment': [41, 54], 'sentence': 'place the bacon slices on a baking pan'},
                {'id': 1, 'segment': [84.5, 122], 'sentence': 'cut the tomatoes'},
            ],
        },
        'GLd3aX16zBg': {
            'subset': 'validation',
            'recipe_type': '304',
            'annotations': [{'id': 0, 'segment': [90, 102], 'sentence': 'spread margarine on two slices'}],
        },
    }
}


@pytest.fixture
def build(tmp_path):
    """Writes an annotation file and builds a reader of it; the visual root is tmp_path."""

    def _build(reader, content, **options):
        path = tmp_path / 'ann.json'
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding='utf-8')
        return ANNOTATIONS.build({'type': reader, 'ann_file': str(path), 'visual_root': str(tmp_path), **options})

    return _build


def read(reader):
    """Everything of the records that the files tell."""
    root = reader.visual_root + '/'
    return [(r.id, r.visual.removeprefix(root), r.text, r.clip, r.domain) for r in reader]


def test_official_form(build):
    records = read(build('COCOCaptions', {'images': IMAGES, 'annotations': CAPTIONS}))
    assert records == [('7', 'a.jpg', ['One, two'], None, 'near'), ('3', 'b.jpg', ['A dog.', 'a dog'], None, 'in')]


def test_images_without_captions(build):
    """The file of a server's test set; COCO's has no domains."""
    images = [{'id': image['id'], 'file_name': image['file_name']} for image in IMAGES]
    records = read(build('COCOCaptions', {'images': images}))
    assert records == [('7', 'a.jpg', [], None, None), ('3', 'b.jpg', [], None, None)]
    listed = [{'image': 'val/0a.jpg', 'img_id': 0}, {'image': 'val/0b.jpg', 'img_id': 1}]
    assert read(build('ImageListJSON', listed)) == [
        ('0', 'val/0a.jpg', [], None, None),
        ('1', 'val/0b.jpg', [], None, None),
    ]


def test_names_of_files_by_number(build):
    """LAVIS' file for scoring names no files."""
    content = {'images': [{'id': 42}], 'annotations': [{'image_id': 42, 'caption': 'a'}]}
    reader = build('COCOCaptions', content, path_template='val2014/COCO_val2014_{id:012d}.jpg')
    assert read(reader)[0][1] == 'val2014/COCO_val2014_000000000042.jpg'
    with pytest.raises(ValueError, match=r"COCOCaptions: path_template='\{name\}' cannot be filled"):
        build('COCOCaptions', content, path_template='{name}')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([], r"field 'images': expected .*; a list is read by BLIPCaptionJSON"),
        ({'images': [IMAGES[0], IMAGES[0]]}, "image 1, field 'id': the number 7 is there twice"),
        ({'images': [{'id': 1}]}, "image 0, field 'file_name': the field is missing"),
        ({'images': [{'id': 'x', 'file_name': 'a'}]}, "image 0, field 'id': expected int"),
        ({'images': [dict(IMAGES[0], domain='far')]}, r"field 'domain': expected one of \['in-domain', .* got 'far'"),
        ({'images': IMAGES, 'annotations': [{'image_id': 9}]}, 'annotation 0, .*there is no image 9 in the list'),
        ({'images': IMAGES, 'annotations': [{'image_id': 7}]}, "annotation 0, field 'caption': expected a caption"),
        ({'images': IMAGES, 'annotations': CAPTIONS[:1]}, "image 7: it has no caption; empty='drop'"),
    ],
)
def test_mistakes_in_the_official_form(build, content, message):
    with pytest.raises(AnnotationError, match=message):
        list(build('COCOCaptions', content))


def test_dropping_empty_captions(build):
    content = {'images': IMAGES, 'annotations': [*CAPTIONS[::2], {'image_id': 7, 'caption': ' '}]}
    reader = build('COCOCaptions', content, empty='drop')
    assert [record.id for record in reader] == ['3'] and reader.dropped == 1


def test_youcook2(build, tmp_path):
    for name in ('training/113/xHr8X2Wpmno.mkv', 'training/113/xHr8X2Wpmno.webm', 'validation/304/other.mp4'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    train = read(build('YouCook2JSON', YOUCOOK2, split='training'))
    video = 'training/113/xHr8X2Wpmno.mkv'
    assert train == [
        ('xHr8X2Wpmno_0', video, ['place the bacon slices on a baking pan'], (41.0, 54.0), None),
        ('xHr8X2Wpmno_1', video, ['cut the tomatoes'], (84.5, 122.0), None),
    ]
    missing = read(build('YouCook2JSON', YOUCOOK2, split='validation'))
    assert missing[0][1] == 'validation/304/GLd3aX16zBg.mp4', 'which the broken policy then meets'
    assert len(read(build('YouCook2JSON', YOUCOOK2))) == 3
    flat = build('YouCook2JSON', YOUCOOK2, split='validation', path_template='{subset}/{video}.mp4')
    assert read(flat)[0][1] == 'validation/GLd3aX16zBg.mp4'
    with pytest.raises(AnnotationError, match=r"no video is of 'testing'; the file has \['training', 'validation'\]"):
        list(build('YouCook2JSON', YOUCOOK2, split='testing'))
    with pytest.raises(AnnotationError, match='a list is read by VideoSegmentList'):
        list(build('YouCook2JSON', []))


def test_lists_of_segments(build):
    rows = [
        {'video_path': 'a.mp4', 'youtube_id': 'a', 'ts': [1, 2.5], 'caption': 'cut'},
        {'video_path': 'a.mp4', 'youtube_id': 'a', 'ts': [3, 4], 'caption': 'cut'},
    ]
    assert read(build('VideoSegmentList', rows)) == [
        ('a.mp4#0', 'a.mp4', ['cut'], (1.0, 2.5), None),
        ('a.mp4#1', 'a.mp4', ['cut'], (3.0, 4.0), None),
    ]


@pytest.mark.parametrize('segment', [[1], [2, 2], [3, 1], [-1, 2], ['1', '2'], 7])
def test_segments_that_are_none(build, segment):
    rows = [{'video_path': 'a.mp4', 'ts': segment, 'caption': 'cut'}]
    with pytest.raises(AnnotationError, match="row 0, field 'ts': expected"):
        list(build('VideoSegmentList', rows))


def frames(results):
    results['frames'] = np.zeros((1, 4, 4, 3), np.uint8)
    return results


def test_dataset_keeps_captions_as_published(build):
    reader = build('COCOCaptions', {'images': IMAGES, 'annotations': CAPTIONS})
    dataset = CaptionDataset(reader, [frames, CleanCaption(), PackSample()], 'nocaps')
    first = dataset[1]['data_samples']
    assert first.references == ['A dog.', 'a dog'] and first.captions == ['a dog', 'a dog']
    assert (first.domain, first.sample_id) == ('in', '3')


def test_dataset_without_captions(build):
    dataset = CaptionDataset(
        build('ImageListJSON', [{'image': 'a.jpg', 'img_id': 4}]), [frames, CleanCaption(), PackSample()], 'test'
    )
    packed = dataset[0]['data_samples']
    assert packed.references == packed.captions == [] and 'domain' not in packed and packed.sample_id == '4'


def test_segments_of_a_video_are_items_of_their_own(build):
    dataset = CaptionDataset(build('YouCook2JSON', YOUCOOK2, split='training'), [frames, PackSample()], 'youcook2')
    assert [dataset.get_data_info(index)['clip'] for index in range(2)] == [(41.0, 54.0), (84.5, 122.0)]
    assert [dataset[index]['data_samples'].sample_id for index in range(2)] == ['xHr8X2Wpmno_0', 'xHr8X2Wpmno_1']
