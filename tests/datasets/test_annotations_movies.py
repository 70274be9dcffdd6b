"""Readers of LSMDC, ActivityNet Captions and the tables of img2dataset, on a handful of rows in the published form."""

import json
import sys

import pytest

from omnivl.datasets import AnnotationError
from omnivl.registry import ANNOTATIONS

CLIP = '0001_American_Beauty_00.00.51.926-00.00.54.129'
TIMES = '00.00.51.926\t00.00.54.129\t00.00.51.926\t00.00.54.129'


def test_lsmdc(tmp_path):
    (tmp_path / 'videos').mkdir()
    table = tmp_path / 'LSMDC16_annos_training.csv'

    def read(text, **options):
        table.write_text(text)
        reader = dict(type='LSMDCTable', ann_file=str(table), visual_root=str(tmp_path / 'videos'), **options)
        return list(ANNOTATIONS.build(reader))

    row = f'{CLIP}\t{TIMES}\tSOMEONE says "no", and looks up.\n'
    (record,) = read(row)
    assert record.visual == str(tmp_path / f'videos/0001_American_Beauty/{CLIP}.avi') and record.id == CLIP
    assert record.text == ['SOMEONE says "no", and looks up.'] and record.clip is None
    (record,) = read(row, path_template='{clip}.mp4')
    assert record.visual == str(tmp_path / f'videos/{CLIP}.mp4')
    with pytest.raises(AnnotationError, match=r'line 2.*2 fields apart by tabs, expected 6'):
        read(f'{row}{CLIP}\tSOMEONE\n')
    with pytest.raises(AnnotationError, match='expected <movie>_<start>-<end>'):
        read(row.replace(CLIP, 'clip'))


ACTIVITY = {
    'v_QOlSCBRmfWY': {
        'duration': 82.73,
        'timestamps': [[0.83, 19.86], [60.81, 17.37]],
        'sentences': ['A young woman is seen standing in a room.', ' She leads the dance. '],
    },
    'v_ehGHCYKzyZ8': {'duration': 61.72, 'timestamps': [[0, 50]], 'sentences': ['A man sits.']},
}


def activity(tmp_path, content, **options):
    (tmp_path / 'train.json').write_text(json.dumps(content))
    reader = dict(type='ActivityNetCaptions', ann_file=str(tmp_path / 'train.json'), visual_root=str(tmp_path))
    return ANNOTATIONS.build(reader | options)


def test_activitynet_captions(tmp_path):
    records = list(activity(tmp_path, ACTIVITY))
    assert [record.clip for record in records] == [(0.83, 19.86), (17.37, 60.81), (0.0, 50.0)]
    assert records[1].text == ['She leads the dance.'] and records[1].visual == str(tmp_path / 'v_QOlSCBRmfWY.mp4')
    assert len({record.id for record in records}) == 3
    paragraphs = dict(type='ParagraphCaptions', annotations=activity(tmp_path, ACTIVITY, whole=True))
    joined = [record.text for record in ANNOTATIONS.build(paragraphs)]
    assert joined == [['A young woman is seen standing in a room. She leads the dance.'], ['A man sits.']]


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([], r"expected \{'v_<id>'"),
        ({'v_1': {'timestamps': [[0, 1]], 'sentences': []}}, '1 for 0 sentences'),
        ({'v_1': {'timestamps': [[1, 1]], 'sentences': ['a']}}, 'expected two different times in seconds'),
        ({'v_1': {'sentences': ['a']}}, "'timestamps'"),
    ],
)
def test_what_is_wrong_with_a_file_of_activitynet(tmp_path, content, message):
    with pytest.raises(AnnotationError, match=message):
        list(activity(tmp_path, content))


def test_tables_of_img2dataset(tmp_path):
    pyarrow = pytest.importorskip('pyarrow', reason="needs pyarrow: pip install 'omnivl[parquet]'")
    from pyarrow import parquet

    def read(**options):
        return list(ANNOTATIONS.build(dict(type='FetchedParquet', visual_root=str(tmp_path), **options)))

    with pytest.raises(AnnotationError, match=r'holds no \.parquet files'):
        read()
    for shard, status in (('00000', ['success', 'failed_to_download']), ('00001', ['success', 'success'])):
        rows = dict(
            url=['https://a/b.jpg'] * 2,
            caption=[f'a dog in {shard}', None],
            key=[f'{shard}{number:04d}' for number in range(2)],
            status=status,
            width=[256, None],
        )
        parquet.write_table(pyarrow.table(rows), tmp_path / f'{shard}.parquet')
    records = read(empty='drop')
    assert [record.text for record in records] == [['a dog in 00000'], ['a dog in 00001']]
    assert records[1].visual == str(tmp_path / '00001/000010000.jpg')
    assert read(empty='drop', modality='video', path_template='{shard}/{key}.mp4')[0].visual.endswith('000000000.mp4')
    with pytest.raises(AnnotationError, match=r'00001\.parquet, row 1.*the caption is empty'):
        read()
    with pytest.raises(AnnotationError, match=r"field 'text': no such column; it has \['url', 'caption'"):
        read(caption_field='text')
    (tmp_path / '00000.parquet').write_bytes(b'nothing')
    with pytest.raises(AnnotationError, match=r'00000\.parquet.*cannot be read'):
        read()


def test_without_pyarrow_it_is_said_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pyarrow.parquet', None)
    (tmp_path / '00000.parquet').touch()
    with pytest.raises(ImportError, match=r"needs pyarrow: pip install 'omnivl\[parquet\]'"):
        list(ANNOTATIONS.build(dict(type='FetchedParquet', visual_root=str(tmp_path))))
