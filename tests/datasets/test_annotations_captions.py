"""Readers of captioned sets, on a handful of rows in the published form."""

import json
import zlib

import pytest

from omnivl.datasets import AnnotationError
from omnivl.registry import ANNOTATIONS

COCO = {
    'dataset': 'coco',
    'images': [
        {
            'filepath': 'val2014',
            'sentids': [770337, 771687],
            'filename': 'COCO_val2014_000000391895.jpg',
            'imgid': 0,
            'split': 'test',
            'sentences': [
                {'tokens': ['a', 'man'], 'raw': 'A man with a red helmet. ', 'imgid': 0, 'sentid': 770337},
                {'tokens': ['man'], 'raw': 'Man riding a motor bike', 'imgid': 0, 'sentid': 771687},
            ],
            'cocoid': 391895,
        },
        {
            'filepath': 'train2014',
            'filename': 'COCO_train2014_000000000009.jpg',
            'split': 'train',
            'sentences': [{'raw': 'A plate of food'}],
            'cocoid': 9,
        },
        {
            'filepath': 'val2014',
            'filename': 'COCO_val2014_000000000042.jpg',
            'split': 'restval',
            'sentences': [{'raw': 'A shoe rack with a dog'}],
            'cocoid': 42,
        },
    ],
}


@pytest.fixture
def build(tmp_path):
    """Writes an annotation file and builds a reader of it; the visual root is tmp_path."""

    def _build(reader, content, name='ann.json', **options):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding='utf-8')
        return ANNOTATIONS.build({'type': reader, 'ann_file': str(path), 'visual_root': str(tmp_path), **options})

    return _build


def test_karpathy_coco_train_takes_restval_and_test_keeps_all_captions(build, tmp_path):
    train = list(build('KarpathyJSON', COCO, split='train'))
    assert [record.id for record in train] == ['9', '42']
    (test,) = reader = build('KarpathyJSON', COCO, split='test')
    assert test.id == '391895'
    assert test.visual == str(tmp_path / 'val2014' / 'COCO_val2014_000000391895.jpg')
    assert test.text == ['A man with a red helmet.', 'Man riding a motor bike']
    assert (reader.modality, test.label, test.clip) == ('image', None, None)
    assert len(list(build('KarpathyJSON', COCO))) == 3


def test_karpathy_flickr_has_no_filepath_and_no_cocoid(build, tmp_path):
    image = {'sentids': [0], 'imgid': 7, 'sentences': [{'raw': 'Two men', 'imgid': 7}], 'split': 'val'}
    (record,) = build('KarpathyJSON', {'images': [{**image, 'filename': '1000092795.jpg'}]}, split='val')
    assert (record.id, record.visual) == ('7', str(tmp_path / '1000092795.jpg'))


def test_karpathy_errors(build):
    with pytest.raises(
        AnnotationError, match=r"ann\.json, field 'split': no image has split 'tset'.*'restval', 'test'"
    ):
        list(build('KarpathyJSON', COCO, split='tset'))
    with pytest.raises(AnnotationError, match='a list of captions is read by BLIPCaptionJSON'):
        list(build('KarpathyJSON', [{'image': 'a.jpg'}]))
    with pytest.raises(AnnotationError, match=r"row 0, field 'filename': the field is missing; the row has \['sent"):
        list(build('KarpathyJSON', {'images': [{'split': 'val', 'sentences': []}]}))
    broken = {'images': [{'split': 'val', 'filename': 'a.jpg', 'sentences': [{'raw': 'a dog'}, {'sentid': 3}]}]}
    with pytest.raises(AnnotationError, match=r"row 0, field 'sentences\[1\]\.raw'"):
        list(build('KarpathyJSON', broken))
    with pytest.raises(AnnotationError, match=r'ann\.json, line 2: not valid JSON'):
        list(build('KarpathyJSON', '{"images":\n[{]}'))


def test_blip_list_has_one_caption_or_several(build, tmp_path):
    rows = [
        {'caption': 'A woman in a garden.', 'image': 'train2014/COCO_train2014_1.jpg', 'image_id': 'coco_57870'},
        {'image': 'val2014/b.jpg', 'caption': ['one', ' two ']},
    ]
    first, second = build('BLIPCaptionJSON', rows)
    assert (first.id, first.text) == ('coco_57870', ['A woman in a garden.'])
    assert first.visual == str(tmp_path / 'train2014/COCO_train2014_1.jpg')
    assert (second.id, second.text) == ('val2014/b.jpg', ['one', 'two'])


def test_blip_fields_can_be_named(build):
    rows = [{'video': '000001_000050/1066.mp4', 'text': 'aerial shot of a coast', 'key': 12}]
    reader = build(
        'BLIPCaptionJSON', rows, visual_field='video', caption_field='text', id_field='key', modality='video'
    )
    (record,) = reader
    assert (reader.modality, record.id) == ('video', '12')
    with pytest.raises(ValueError, match=r"modality='sound'; allowed are \('image', 'video', 'audio'\)"):
        build('BLIPCaptionJSON', rows, modality='sound')


@pytest.mark.parametrize(
    ('row', 'message'),
    [
        ({'caption': 'a'}, r"row 1, field 'image': the field is missing; the row has \['caption'\]"),
        ({'image': 3, 'caption': 'a'}, r"row 1, field 'image': expected str or list \(not empty\), got 3"),
        ({'image': 'a.jpg'}, r"row 1, field 'caption': the field is missing"),
        ({'image': 'a.jpg', 'caption': None}, r"row 1, field 'caption': expected str or list, got None"),
        ({'image': 'a.jpg', 'caption': ['a', 5]}, r"row 1, field 'caption': expected a caption, got 5"),
        ({'image': 'a.jpg', 'caption': []}, r"row 1, field 'caption': there is no caption; empty='drop' leaves such"),
        ({'image': 'a.jpg', 'caption': '  '}, r"row 1, field 'caption': the caption is empty; empty='drop'"),
        ({'image': 'a.jpg', 'caption': 'a', 'image_id': None}, r"row 1, field 'image_id': expected str or int"),
        ('a.jpg', r"row 1: expected an object, got 'a\.jpg'"),
    ],
)
def test_blip_errors_name_row_and_field(build, row, message):
    with pytest.raises(AnnotationError, match=r'ann\.json, ' + message):
        list(build('BLIPCaptionJSON', [{'image': 'x.jpg', 'caption': 'fine'}, row]))


def test_blip_refuses_a_karpathy_file(build):
    with pytest.raises(AnnotationError, match=r'expected a JSON list.*is read by KarpathyJSON'):
        list(build('BLIPCaptionJSON', COCO))


def test_lists_with_several_videos_for_a_caption(build, tmp_path):
    rows = [
        {'video': ['1.webm', '2.webm'], 'caption': 'putting something onto something'},
        {'video': '3.webm', 'caption': 'holding something', 'image_id': 7},
        {'video': ['4.webm', '5.webm'], 'caption': 'throwing something', 'image_id': 8},
    ]
    options = dict(visual_field='video', modality='video', path_template='{stem}.mp4')
    records = list(build('BLIPCaptionJSON', rows, 'ssv2_ret_label_val_small.json', **options))
    assert [record.id for record in records] == ['1.webm', '2.webm', '7', '8#0', '8#1']
    assert [record.visual for record in records] == [f'{tmp_path}/{number}.mp4' for number in range(1, 6)]
    assert [record.text[0].split()[0] for record in records] == [
        'putting',
        'putting',
        'holding',
        'throwing',
        'throwing',
    ]
    for wrong in ([], ['1.webm', 2], ['']):
        with pytest.raises(AnnotationError, match="row 0, field 'video': expected a path or a list of paths, got"):
            list(build('BLIPCaptionJSON', [{'video': wrong, 'caption': 'a'}], **options))
    with pytest.raises(ValueError, match=r"BLIPCaptionJSON: path_template='\{video\}' cannot be filled"):
        build('BLIPCaptionJSON', rows, **options | dict(path_template='{video}'))
    with pytest.raises(AnnotationError, match=r'r\.jsonl, line 2: not valid JSON'):
        list(build('BLIPCaptionJSON', '{"image": "a.jpg", "caption": "a"}\n{\n', 'r.jsonl'))
    with pytest.raises(AnnotationError, match=r'expected a JSON list.*by MSRVTTJSON.*row per line must end in \.jsonl'):
        list(build('BLIPCaptionJSON', '{"video": "a.mp4"}\n{"video": "b.mp4"}\n', 'r.json'))


def test_empty_captions_are_dropped_and_counted(build):
    rows = [{'image': 'a.jpg', 'caption': ['', 'kept']}, {'image': 'b.jpg', 'caption': ' '}]
    reader = build('BLIPCaptionJSON', rows, empty='drop')
    for _ in range(2):  # the count is that of one pass
        assert [record.text for record in reader] == [['kept']]
        assert reader.dropped == 2
    with pytest.raises(ValueError, match="empty='keep'; allowed are 'raise' and 'drop'"):
        build('BLIPCaptionJSON', rows, empty='keep')


@pytest.mark.parametrize(
    ('columns', 'line'),
    [('cc3m', 'a very "typical" bus\thttp://lh6.com/a.jpg'), ('cc12m', 'http://lh6.com/a.jpg\ta very "typical" bus')],
)
def test_tsv_column_orders(build, tmp_path, columns, line):
    (record,) = build('CaptionTSV', line + '\n', 'cc.tsv', columns=columns)
    assert record.text == ['a very "typical" bus']
    assert record.visual == str(tmp_path / '00000/000000000.jpg')


def test_tsv_files_are_named_after_row_path_or_address(build, tmp_path):
    table = '\n'.join(f'caption {row}\thttp://x/{row}.jpg' for row in range(10001)) + '\n'
    records = list(build('CaptionTSV', table, 'cc.tsv'))
    assert records[-1].visual == str(tmp_path / '00001/000010000.jpg')
    records = list(build('CaptionTSV', table, 'cc.tsv', path_template='{url_crc32}.jpg'))
    assert records[1].id == f'{zlib.crc32(b"http://x/1.jpg")}.jpg'
    (record,) = build('CaptionTSV', '1/2.jpg\tskip\ta cat\n', 'cc.tsv', columns=['path', '_', 'caption'])
    assert (record.visual, record.text) == (str(tmp_path / '1/2.jpg'), ['a cat'])


def test_tsv_headers_and_other_delimiters(build):
    (record,) = build('CaptionTSV', 'url\tcaption\nhttp://x\tsun\n', 'sbu.tsv', columns='header')
    assert (record.text, record.id) == (['sun'], '00000/000000000.jpg')
    table = 'caption,thumbnailUrl\n"one, two",http://x\n'
    options = {'columns': 'cc3m', 'skip_header': True, 'delimiter': ','}
    (record,) = build('CaptionTSV', table, 'cc.csv', **options)
    assert record.text == ['one, two']


def test_tsv_errors(build):
    with pytest.raises(AnnotationError, match=r"cc\.tsv, line 2: 1 fields, expected 2: \['caption', 'url'\]"):
        list(build('CaptionTSV', 'a\thttp://x\nonly one\n', 'cc.tsv'))
    with pytest.raises(AnnotationError, match=r"line 2, field 'caption': the caption is empty"):
        list(build('CaptionTSV', 'a\thttp://x\n\thttp://y\n', 'cc.tsv'))
    with pytest.raises(AnnotationError, match=r"line 1, field 'path': the path is empty"):
        list(build('CaptionTSV', 'a\t\n', 'cc.tsv', columns=['caption', 'path']))
    with pytest.raises(AnnotationError, match=r"line 1, field 'caption': the column is missing; the header has \['t'"):
        list(build('CaptionTSV', 't\turl\n', 'cc.tsv', columns='header'))
    with pytest.raises(AnnotationError, match=r"field 'url': path_template='\{url_crc32\}' needs the column"):
        list(build('CaptionTSV', 'a\n', 'cc.tsv', columns=['caption'], path_template='{url_crc32}'))
    with pytest.raises(ValueError, match=r"columns='cc4m'; allowed are \['cc12m', 'cc3m', 'sbu'\], 'header' or"):
        build('CaptionTSV', '', columns='cc4m')
    with pytest.raises(ValueError, match=r"columns=\['url'\]; 'caption' must be there"):
        build('CaptionTSV', '', columns=['url'])
    with pytest.raises(
        ValueError, match=r"path_template='\{key\}\.jpg' cannot be filled.*the placeholders are \['row'"
    ):
        build('CaptionTSV', '', path_template='{key}.jpg')


def test_visual_genome_finds_the_folder_of_each_image(build, tmp_path):
    images = [
        {'width': 800, 'url': 'https://cs.stanford.edu/people/rak248/VG_100K_2/1.jpg', 'height': 600, 'image_id': 1},
        {'width': 800, 'url': 'https://cs.stanford.edu/people/rak248/VG_100K/2.jpg', 'height': 600, 'image_id': 2},
    ]
    regions = [{'region_id': 1382, 'width': 82, 'height': 139, 'image_id': 1, 'phrase': 'the clock is green', 'y': 57}]
    (tmp_path / 'image_data.json').write_text(json.dumps(images))
    options = {'image_file': str(tmp_path / 'image_data.json'), 'name': 'region_descriptions.json'}
    rows = [{'id': 1, 'regions': [*regions, {'phrase': 'a tree'}]}, {'id': 2, 'regions': []}]
    (record,) = build('VisualGenome', rows, **options)
    assert (record.id, record.text) == ('1', ['the clock is green', 'a tree'])
    assert record.visual == str(tmp_path / 'VG_100K_2/1.jpg')

    with pytest.raises(AnnotationError, match=r"row 0, field 'id': image 3 is not in .*image_data\.json"):
        list(build('VisualGenome', [{'id': 3, 'regions': []}], **options))
    with pytest.raises(AnnotationError, match=r"row 0, field 'regions\[0\]\.phrase': the field is missing"):
        list(build('VisualGenome', [{'id': 2, 'regions': [{}]}], **options))
    (tmp_path / 'image_data.json').write_text('[{"image_id": 1, "url": "1.jpg"}]')
    with pytest.raises(
        AnnotationError, match=r"image_data\.json, row 0, field 'url': expected an address, got '1\.jpg'"
    ):
        list(build('VisualGenome', rows, **options))
    (tmp_path / 'image_data.json').write_text('[{"id": 1}]')
    with pytest.raises(AnnotationError, match=r"image_data\.json, row 0, field 'image_id': expected a whole number"):
        list(build('VisualGenome', rows, **options))
    (tmp_path / 'image_data.json').unlink()
    with pytest.raises(FileNotFoundError, match=r"VisualGenome: the file '.*image_data\.json' does not exist; set 'im"):
        list(build('VisualGenome', rows, **options))


WEBVID = (
    'videoid,contentUrl,duration,page_dir,name\n'
    '21179416,https://ak.picdn.net/21179416/preview/stock.mp4,PT00H00M11S,006001_006050,"Aerial shot, winter forest"\n'
)


def test_webvid(build, tmp_path):
    (record,) = reader = build('WebVidCSV', WEBVID, 'results_2M_val.csv')
    assert (record.id, reader.modality, record.text) == ('21179416', 'video', ['Aerial shot, winter forest'])
    assert record.visual == str(tmp_path / '006001_006050/21179416.mp4')
    (record,) = build('WebVidCSV', WEBVID, 'results_2M_val.csv', path_template='{videoid}.webm')
    assert record.visual == str(tmp_path / '21179416.webm')


def test_webvid_errors(build):
    with pytest.raises(
        AnnotationError, match=r"w\.csv, line 1, field 'page_dir': the column is missing; the header has"
    ):
        list(build('WebVidCSV', 'videoid,name\n1,a\n', 'w.csv'))
    with pytest.raises(AnnotationError, match=r'w\.csv, line 3: 2 fields, the header names 5'):
        list(build('WebVidCSV', WEBVID + '1,2\n', 'w.csv'))
    with pytest.raises(AnnotationError, match=r"w\.csv, line 3, field 'name': the caption is empty"):
        list(build('WebVidCSV', WEBVID + '1,u,d,p,\n', 'w.csv'))
    with pytest.raises(AnnotationError, match=r"w\.csv, line 3, field 'videoid': the field is empty"):
        list(build('WebVidCSV', WEBVID + ',u,d,p,a\n', 'w.csv'))
    with pytest.raises(AnnotationError, match=r'w\.csv: the file is empty; expected a header'):
        list(build('WebVidCSV', '', 'w.csv'))


def test_missing_files_and_folders_have_their_own_messages(build, tmp_path):
    reader = build('WebVidCSV', WEBVID, 'w.csv')
    reader.visual_root = str(tmp_path / 'nowhere')
    with pytest.raises(FileNotFoundError, match=r"WebVidCSV: the folder '.*nowhere' does not exist; set 'visual_root'"):
        list(reader)
    reader.visual_root = str(tmp_path / 'w.csv')
    with pytest.raises(FileNotFoundError, match=r"the folder '.*w\.csv' is a file"):
        list(reader)
    (tmp_path / 'w.csv').unlink()
    with pytest.raises(FileNotFoundError, match=r"WebVidCSV: the file '.*w\.csv' does not exist; set 'ann_file'"):
        list(reader)


GENOME_IMAGES = [
    {'image_id': 1, 'url': 'https://cs.stanford.edu/VG_100K_2/1.jpg', 'coco_id': 391895, 'flickr_id': None},
    {'image_id': 2, 'url': 'https://cs.stanford.edu/VG_100K/2.jpg', 'coco_id': None, 'flickr_id': 7},
    {'image_id': 3, 'url': 'https://cs.stanford.edu/VG_100K/3.jpg', 'coco_id': 9, 'flickr_id': 8},
]


@pytest.mark.parametrize(
    'coco', [COCO, [{'image': 'val2014/COCO_val2014_000000391895.jpg', 'caption': ['A man. ', 'Man']}]]
)
@pytest.mark.parametrize('form', ['published', 'BLIP'])
def test_visual_genome_without_what_cocos_test_has(tmp_path, coco, form):
    """The pictures have other names there; coco_id says which they are."""
    contents = {'image_data': GENOME_IMAGES, 'coco': coco}
    contents['published'] = [{'id': number, 'regions': [{'phrase': f'region {number}'}]} for number in (1, 2, 3)]
    contents['BLIP'] = [{'image': f'image/{number}.jpg', 'caption': f'region {number}'} for number in (1, 2, 3)]
    for name, content in contents.items():
        (tmp_path / f'{name}.json').write_text(json.dumps(content))
    image_file = str(tmp_path / 'image_data.json')
    reader = dict(type='BLIPCaptionJSON', ann_file=str(tmp_path / f'{form}.json'), visual_root=str(tmp_path))
    if form == 'published':
        reader |= dict(type='VisualGenome', image_file=image_file)
    config = dict(
        type='WithoutCOCO', annotations=reader, image_file=image_file, coco_files=[str(tmp_path / 'coco.json')]
    )
    assert [record.text for record in ANNOTATIONS.build(config)] == [['region 2'], ['region 3']]


def test_what_is_wrong_with_the_files_of_cocos_pictures(tmp_path):
    for name, content in dict(
        coco=['1.jpg'], genome=[{'image': '4.jpg', 'caption': 'a'}], images=[{}], none=[]
    ).items():
        (tmp_path / f'{name}.json').write_text(json.dumps(content))

    def read(images, coco):
        reader = dict(type='BLIPCaptionJSON', ann_file=str(tmp_path / 'genome.json'), visual_root=str(tmp_path))
        files = dict(image_file=str(tmp_path / images), coco_files=[str(tmp_path / coco)])
        return list(ANNOTATIONS.build(dict(type='WithoutCOCO', annotations=reader, **files)))

    with pytest.raises(AnnotationError, match=r"coco\.json, row 0, field 'image': expected COCO's name of a picture"):
        read('none.json', 'coco.json')
    with pytest.raises(AnnotationError, match=r"images\.json, row 0, field 'coco_id': expected it and image_id"):
        read('images.json', 'none.json')
    with pytest.raises(AnnotationError, match=r'4\.jpg is no picture of .*none\.json'):
        read('none.json', 'none.json')
    with pytest.raises(FileNotFoundError, match="'coco_files'"):
        read('none.json', 'nowhere.json')
