"""Readers of the sets for video retrieval, on a handful of rows in the published forms."""

import json
from pathlib import Path

import pytest

from omnivl.datasets import AnnotationError
from omnivl.registry import ANNOTATIONS

CAPTIONS = {'video0': ['a car is driven', 'A man, driving '], 'video7020': ['a woman creating a fondant baby']}


def videodatainfo():
    """MSR-VTT as its makers publish it: the sentences of a video are not next to each other."""
    return {
        'info': {'year': '2016'},
        'videos': [
            {'category': 9, 'end time': 149.44, 'id': 7020, 'split': 'test', 'video_id': 'video7020'},
            {'category': 9, 'end time': 149.44, 'id': 0, 'split': 'train', 'video_id': 'video0'},
        ],
        'sentences': [
            {'caption': 'a car is driven', 'video_id': 'video0', 'sen_id': 1},
            {'caption': 'a woman creating a fondant baby', 'video_id': 'video7020', 'sen_id': 2},
            {'caption': 'A man, driving ', 'video_id': 'video0', 'sen_id': 3},
        ],
    }  # fmt: skip


@pytest.fixture
def write(tmp_path):
    def _write(content, name):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding='utf-8')
        return str(path)

    return _write


@pytest.fixture
def build(write, tmp_path):
    """Writes an annotation file and builds a reader of it; the visual root is tmp_path."""

    def _build(reader, content, name='ann.json', **options):
        files = dict(ann_file=write(content, name), visual_root=str(tmp_path))
        return ANNOTATIONS.build(dict(type=reader, **files, **options))

    return _build


def as_dict(reader):
    return {record.visual: record.text for record in reader}


def test_all_forms_of_msrvtt_read_alike(build, write, tmp_path):
    expected = {f'{tmp_path}/{video}.mp4': [text.strip() for text in texts] for video, texts in CAPTIONS.items()}
    table = write('video_id\nvideo0\nvideo7020\n', 'MSRVTT_train.9k.csv')
    rows = [(video, text) for video, texts in CAPTIONS.items() for text in texts]
    readers = [
        build('MSRVTTJSON', videodatainfo(), 'MSRVTT_data.json', videos_file=table),
        build('MSRVTTJSON', videodatainfo(), 'train_val_videodatainfo.json'),
        build('CaptionDictJSON', {f'{video}.mp4': texts for video, texts in CAPTIONS.items()}, 'train_9k.json'),
        build(
            'BLIPCaptionJSON',
            [{'video': f'{video}.mp4', 'caption': texts} for video, texts in CAPTIONS.items()],
            'msrvtt_ret_train9k.json',
            visual_field='video',
            modality='video',
        ),
    ]
    for reader in readers:
        assert as_dict(reader) == expected and reader.modality == 'video'
    # Files with a row per caption: the dataset puts the rows of a video together.
    test_table = 'key,vid_key,video_id,sentence\n' + ''.join(f'ret0,msr0,{video},"{text}"\n' for video, text in rows)
    jsonl = ''.join(json.dumps({'clip_name': v, 'caption': t, 'retrieval_key': 'ret0'}) + '\n' for v, t in rows)
    alpro = dict(visual_field='clip_name', modality='video', path_template='{visual}.mp4')
    for reader in (
        build('MSRVTTTestCSV', test_table, 'MSRVTT_JSFUSION_test.csv'),
        build('BLIPCaptionJSON', jsonl, 'test.jsonl', **alpro),
    ):
        records = list(reader)
        assert [(r.visual, r.text) for r in records] == [(f'{tmp_path}/{v}.mp4', [t.strip()]) for v, t in rows]
        assert reader.modality == 'video'


def test_msrvtt_takes_listed_videos_in_their_order_or_those_of_a_split(build, write):
    table = write('video_id\nvideo7020\nvideo0\n', 'list.csv')
    assert [record.id for record in build('MSRVTTJSON', videodatainfo(), videos_file=table)] == ['video7020', 'video0']
    assert [record.id for record in build('MSRVTTJSON', videodatainfo(), split='train')] == ['video0']
    (record,) = build('MSRVTTJSON', videodatainfo(), split='test', path_template='all/{video}.webm')
    assert record.visual.endswith('/all/video7020.webm')


def test_msrvtt_errors(build, write):
    with pytest.raises(ValueError, match='videos_file and split both choose the videos; give one of them'):
        build('MSRVTTJSON', videodatainfo(), videos_file='a.csv', split='train')
    with pytest.raises(ValueError, match=r"path_template='\{id\}' cannot be filled.*placeholders are \['video'\]"):
        build('MSRVTTJSON', videodatainfo(), path_template='{id}')
    for wrong in ([], {'videos': []}, {'videos': [], 'sentences': {}}):
        with pytest.raises(AnnotationError, match=r"ann\.json: expected \{'videos': .*CaptionDictJSON, a list of"):
            list(build('MSRVTTJSON', wrong))
    with pytest.raises(AnnotationError, match=r"'split': no video has split 'val'; the file has \['test', 'train'\]"):
        list(build('MSRVTTJSON', videodatainfo(), split='val'))
    with pytest.raises(AnnotationError, match=r"video 0, field 'split': the field is missing"):
        list(build('MSRVTTJSON', {'videos': [{'video_id': 'video0'}], 'sentences': []}, split='train'))
    with pytest.raises(AnnotationError, match=r"video 0, field 'video_id': expected str \(not empty\), got 7"):
        list(build('MSRVTTJSON', {'videos': [{'video_id': 7}], 'sentences': []}))
    with pytest.raises(AnnotationError, match=r"no caption of 'video1', which .*list\.csv, line 3, names"):
        list(build('MSRVTTJSON', videodatainfo(), videos_file=write('video_id\nvideo0\nvideo1\n', 'list.csv')))
    with pytest.raises(AnnotationError, match=r"list\.csv, line 1, field 'video_id': the column is missing"):
        list(build('MSRVTTJSON', videodatainfo(), videos_file=write('video0\nvideo7020\n', 'list.csv')))
    with pytest.raises(FileNotFoundError, match=r"MSRVTTJSON: the file 'no\.csv' does not exist; set 'videos_file'"):
        list(build('MSRVTTJSON', videodatainfo(), videos_file='no.csv'))
    content = videodatainfo()
    content['sentences'][2]['caption'] = ' '
    with pytest.raises(AnnotationError, match=r"sentence 2, field 'caption': the caption is empty; empty='drop'"):
        list(build('MSRVTTJSON', content))
    reader = build('MSRVTTJSON', content, empty='drop')
    assert [record.text for record in reader][1] == ['a car is driven'] and reader.dropped == 1
    del content['sentences'][2]['caption']
    with pytest.raises(AnnotationError, match=r"sentence 2, field 'caption': expected a caption, got None"):
        list(build('MSRVTTJSON', content))
    del content['sentences'][2]['video_id']
    with pytest.raises(AnnotationError, match=r"sentence 2, field 'video_id': the field is missing"):
        list(build('MSRVTTJSON', content))


def test_msrvtt_test_table_errors(build):
    header = 'key,vid_key,video_id,sentence\n'
    with pytest.raises(AnnotationError, match=r"t\.csv, line 1, field 'sentence': the column is missing"):
        list(build('MSRVTTTestCSV', 'key,video_id\nret0,video0\n', 't.csv'))
    with pytest.raises(AnnotationError, match=r"t\.csv, line 2, field 'video_id': the field is empty"):
        list(build('MSRVTTTestCSV', header + 'ret0,msr0,,a man\n', 't.csv'))
    with pytest.raises(AnnotationError, match=r"t\.csv, line 2, field 'sentence': the caption is empty"):
        list(build('MSRVTTTestCSV', header + 'ret0,msr0,video0,\n', 't.csv'))
    assert not list(build('MSRVTTTestCSV', header + 'ret0,msr0,video0,\n', 't.csv', empty='drop'))
    with pytest.raises(ValueError, match=r"MSRVTTTestCSV: path_template='\{name\}' cannot be filled"):
        build('MSRVTTTestCSV', header, 't.csv', path_template='{name}')


def test_caption_dict_has_one_caption_or_several(build, tmp_path):
    content = {'a/video0.webm': 'one', 'video1.webm': ['two', 'three']}
    first, second = build('CaptionDictJSON', content, path_template='{stem}.mp4')
    assert (first.id, first.visual, first.text) == ('a/video0.webm', f'{tmp_path}/a/video0.mp4', ['one'])
    assert second.text == ['two', 'three']
    with pytest.raises(AnnotationError, match=r"expected \{'video0\.mp4': \[captions\]\}; a list is read by BLIP"):
        list(build('CaptionDictJSON', [{'video': 'a.mp4'}]))
    with pytest.raises(AnnotationError, match=r"field 'v\.mp4': expected a caption or a list of captions, got 3"):
        list(build('CaptionDictJSON', {'v.mp4': 3}))
    with pytest.raises(AnnotationError, match=r"field 'v\.mp4': the caption is empty"):
        list(build('CaptionDictJSON', {'v.mp4': ['']}))
    with pytest.raises(ValueError, match=r"CaptionDictJSON: modality='sound'; allowed are"):
        build('CaptionDictJSON', content, modality='sound')
    with pytest.raises(ValueError, match=r"path_template='\{id\}' cannot be filled.*are \['stem', 'visual'\]"):
        build('CaptionDictJSON', content, path_template='{id}')


MSVD = (
    '# Microsoft Research Video Description Corpus\n#\n\n'
    '-4wsuPCjDBc_5_15 a squirrel is eating a peanut in it\'s shell\n'
    'mv89psg6zh4_33_46 a bird in a sink\n'
    '-4wsuPCjDBc_5_15 a chipmunk is eating\n'
)  # fmt: skip


def test_msvd_keeps_every_caption_of_the_listed_videos(build, write, tmp_path):
    reader = build('MSVDText', MSVD, 'AllVideoDescriptions.txt')
    everything = list(reader)
    assert [record.id for record in everything] == ['-4wsuPCjDBc_5_15', 'mv89psg6zh4_33_46']
    assert everything[0].text == ["a squirrel is eating a peanut in it's shell", 'a chipmunk is eating']
    assert everything[0].visual == f'{tmp_path}/-4wsuPCjDBc_5_15.avi' and reader.modality == 'video'
    listed = write('mv89psg6zh4_33_46\n', 'test_list.txt')
    (record,) = build('MSVDText', MSVD, videos_file=listed, path_template='{video}.mp4')
    assert (record.visual, record.text) == (f'{tmp_path}/mv89psg6zh4_33_46.mp4', ['a bird in a sink'])
    names = write('-4wsuPCjDBc_5_15 vid1\nmv89psg6zh4_33_46 vid2\n', 'youtube_mapping.txt')
    (record,) = build('MSVDText', MSVD, videos_file=write('vid1\n', 'list.txt'), names_file=names)
    assert record.id == '-4wsuPCjDBc_5_15' and len(record.text) == 2


def test_msvd_errors(build, write):
    listed = write('mv89psg6zh4_33_46\nnobody_1_2\n', 'list.txt')
    with pytest.raises(AnnotationError, match=r"no description of 'nobody_1_2', which .*list\.txt, line 2, names"):
        list(build('MSVDText', MSVD, videos_file=listed))
    with pytest.raises(AnnotationError, match=r'd\.txt, line 1: the caption is empty'):
        list(build('MSVDText', 'mv89psg6zh4_33_46\n', 'd.txt'))
    reader = build('MSVDText', 'mv89psg6zh4_33_46\n', 'd.txt', empty='drop')
    assert not list(reader) and reader.dropped == 1
    names = write('-4wsuPCjDBc_5_15 vid1\n', 'map.txt')
    with pytest.raises(AnnotationError, match=r"l\.txt, line 1: .*map\.txt has no line for video 'vid7'"):
        list(build('MSVDText', MSVD, videos_file=write('vid7\n', 'l.txt'), names_file=names))
    with pytest.raises(AnnotationError, match=r"map\.txt, line 1: expected 'NAME vid7', got 'a b c'"):
        list(build('MSVDText', MSVD, videos_file=listed, names_file=write('a b c\n', 'map.txt')))
    for option in ('videos_file', 'names_file'):
        files = dict(videos_file=listed) | {option: 'no.txt'}
        with pytest.raises(FileNotFoundError, match=f"MSVDText: the file 'no.txt' does not exist; set '{option}'"):
            list(build('MSVDText', MSVD, **files))
    with pytest.raises(ValueError, match=r"MSVDText: path_template='\{id\}' cannot be filled"):
        build('MSVDText', MSVD, path_template='{id}')


def moment(video, description, number):
    return {
        'annotation_id': number,
        'context': ['chunk 05'],
        'description': description,
        'num_segments': 6,
        'times': [[0, 0], [0, 0], [1, 1], [0, 0]],
        'video': video,
    }


DIDEMO = [
    moment('12090392@N02_13482799053_87ef417396.mov', 'a white truck.', 48639),
    moment('54322086@N00_2408598493_274c77d26a.avi', 'an elephant', 7),
    moment('12090392@N02_13482799053_87ef417396.mov', 'red truck drives by', 48640),
]


def test_didemo_paragraphs_have_all_descriptions_in_order(build, write, tmp_path):
    truck, elephant = (row['video'] for row in DIDEMO[:2])
    records = list(build('DiDeMoJSON', DIDEMO))
    assert [(r.id, r.text, r.clip) for r in records] == [
        (row['video'], [row['description']], (0.0, 30.0)) for row in DIDEMO
    ]
    (first, *_) = build('DiDeMoJSON', DIDEMO, path_template='{stem}.webm')
    assert first.visual == f'{tmp_path}/{Path(truck).stem}.webm'
    options = dict(type='DiDeMoJSON', visual_root=str(tmp_path), path_template='{stem}.mp4', seconds=None)
    raw = dict(options, ann_file=write(DIDEMO, 'train_data.json'))
    lists = [
        {'video': truck, 'caption': ['a white truck.', 'red truck drives by']},
        {'video': elephant, 'caption': ['an elephant']},
    ]
    vindlu = dict(
        type='BLIPCaptionJSON',
        ann_file=write(lists, 'didemo_ret_train.json'),
        visual_root=str(tmp_path),
        visual_field='video',
        modality='video',
        path_template='{stem}.mp4',
    )
    for annotations in (raw, vindlu):
        reader = ANNOTATIONS.build(dict(type='ParagraphCaptions', annotations=annotations))
        assert (reader.modality, reader.ann_file) == ('video', annotations['ann_file'])
        first, second = reader
        assert first.text == ['a white truck. red truck drives by'] and second.text == ['an elephant']
        assert first.visual == f'{tmp_path}/12090392@N02_13482799053_87ef417396.mp4' and first.clip is None
        assert [record.text for record in reader] == [first.text, second.text], 'a second pass joins nothing twice'


def test_didemo_errors(build):
    with pytest.raises(ValueError, match=r'DiDeMoJSON: seconds=0; it must be above 0, or None for whole videos'):
        build('DiDeMoJSON', DIDEMO, seconds=0)
    with pytest.raises(ValueError, match=r"path_template='\{id\}' cannot be filled.*are \['stem', 'video'\]"):
        build('DiDeMoJSON', DIDEMO, path_template='{id}')
    with pytest.raises(AnnotationError, match=r"row 1, field 'description': expected a caption, got None"):
        list(build('DiDeMoJSON', [DIDEMO[0], {'video': 'a.mov', 'caption': ['a']}]))
    with pytest.raises(AnnotationError, match=r"row 0, field 'video': the field is missing"):
        list(build('DiDeMoJSON', [{'description': 'a'}]))
    with pytest.raises(AnnotationError, match=r"expected a JSON list.*VindLU's lists are read by BLIPCaptionJSON"):
        list(build('DiDeMoJSON', {'video': []}))


def test_paragraphs_count_what_was_dropped(build):
    reader = build('DiDeMoJSON', [*DIDEMO, moment('c.mov', ' ', 9)], empty='drop')
    paragraphs = ANNOTATIONS.build(dict(type='ParagraphCaptions', annotations=reader))
    assert len(list(paragraphs)) == 2 and paragraphs.dropped == 1


@pytest.mark.parametrize(
    ('reader', 'name'),
    [
        ('MSRVTTJSON', 'any.json'),
        ('MSRVTTTestCSV', 'any.csv'),
        ('MSVDText', 'any.txt'),
        ('KarpathyJSON', 'any.json'),
        ('BLIPCaptionJSON', 'msrvtt_ret_train9k.json'),
        ('CaptionDictJSON', 'MSVD_train.json'),
        ('BLIPCaptionJSON', 'coco_karpathy_test.json'),
    ],
)
def test_alternatives_make_no_paragraph(build, reader, name):
    annotations = build(reader, '', name)
    with pytest.raises(ValueError, match=rf"captions of '{name}' \({reader}\) each tell the whole.*take the reader wi"):
        ANNOTATIONS.build(dict(type='ParagraphCaptions', annotations=annotations))
