"""The streaming parts that all readers stand on."""

import json
import pickle

import pytest

from omnivl.datasets import AnnotationError, BrokenVisualError
from omnivl.datasets.annotations import files


@pytest.mark.parametrize('chunk', [1, 2, 7, 64, 1 << 20])
@pytest.mark.parametrize('indent', [None, 2])
def test_streamed_list_equals_json_load(tmp_path, monkeypatch, chunk, indent):
    rows = [{'a': 'x\n"\\é\U0001f600', 'b': [1.5e-3, None, True]}, {}, {'c': {'d': []}}, 'text', [], {'e': -12}]
    path = tmp_path / 'rows.json'
    path.write_text(json.dumps(rows, indent=indent), encoding='utf-8')
    monkeypatch.setattr(files, '_CHUNK', chunk)
    assert list(files.iter_json_list(str(path), '')) == list(enumerate(rows))


@pytest.mark.parametrize('text', ['[]', ' [ ] \n', '\ufeff[]'])
def test_streamed_list_may_be_empty(tmp_path, text):
    path = tmp_path / 'rows.json'
    path.write_text(text, encoding='utf-8')
    assert list(files.iter_json_list(str(path), '')) == []


@pytest.mark.parametrize('chunk', [8, 1 << 20])
@pytest.mark.parametrize(
    ('text', 'place'),
    [
        ('[{"a": 1},\n{"a": 2,, "b": 3},\n{"a": 4}]', 'row 1 (line 2): not valid JSON: Expecting property name'),
        ('[{"a": 1},\n{"a": 2', 'row 1 (line 2): not valid JSON'),
        ('[{"a": 1},\n\n{"a": "cut', 'row 1 (line 3): not valid JSON: Unterminated string'),
        ('[{"a": 1}\n{"a": 2}]', "row 1 (line 2): not valid JSON: expected ',' or ']', found '{'"),
        ('[{"a": 1}', 'row 1 (line 1): not valid JSON: the file ends here'),
        ('[{"a": 1},', 'row 1 (line 1): not valid JSON: Expecting value'),
        ('{"a": 1}', 'expected a JSON list'),
        ('', 'expected a JSON list'),
    ],
)
def test_streamed_list_says_where_it_is_broken(tmp_path, monkeypatch, chunk, text, place):
    path = tmp_path / 'rows.json'
    path.write_text(text)
    monkeypatch.setattr(files, '_CHUNK', chunk)
    with pytest.raises(AnnotationError) as error:
        list(files.iter_json_list(str(path), 'hint'))
    assert str(error.value).startswith(f'{path}') and place in str(error.value)


def test_a_mistake_at_the_beginning_does_not_pull_the_file_into_memory(tmp_path, monkeypatch):
    path = tmp_path / 'rows.json'
    path.write_text('[{"a": 1,, "b": 2},' + '{"a": "0123456789"},' * 1000 + '{}]')
    monkeypatch.setattr(files, '_CHUNK', 100)
    reads = []
    fill = files._JSONStream.fill
    monkeypatch.setattr(files._JSONStream, 'fill', lambda self: reads.append(1) or fill(self))
    with pytest.raises(AnnotationError, match='row 0'):
        list(files.iter_json_list(str(path), ''))
    assert len(reads) <= 2


def test_other_encodings_are_refused_with_the_place(tmp_path):
    path = tmp_path / 'latin.csv'
    path.write_bytes(b'a,b\n1,2\n' + 'caf\xe9,3\n'.encode('latin-1'))
    with pytest.raises(AnnotationError, match=r'latin\.csv, line \d+: cannot be read: .*utf-8'):
        list(files.iter_table(str(path), ',', ['a']))
    with pytest.raises(AnnotationError, match=r'latin\.csv, line \d+: cannot be read'):
        list(files.iter_lines(str(path)))
    path.write_bytes(b'["caf\xe9"]')
    with pytest.raises(AnnotationError, match='is not UTF-8 text'):
        list(files.iter_json_list(str(path), ''))
    with pytest.raises(AnnotationError, match='is not UTF-8 text'):
        files.read_json(str(path))


def test_line_numbers_count_quoted_line_breaks(tmp_path):
    path = tmp_path / 'rows.csv'
    path.write_text('\ufeffa,b\n"one\ntwo",x\n\n3,y\n', encoding='utf-8')
    assert list(files.iter_table(str(path), ',', ['a'])) == [
        (3, {'a': 'one\ntwo', 'b': 'x'}),
        (5, {'a': '3', 'b': 'y'}),
    ]


def test_errors_say_where_and_survive_the_way_from_a_worker():
    for error, text in [
        (AnnotationError('f.json', 3, 'image', 'no path'), "f.json, row 3, field 'image': no path"),
        (AnnotationError('f.csv', 'line 4', None, 'too short'), 'f.csv, line 4: too short'),
        (AnnotationError('f.csv', None, None, 'empty'), 'f.csv: empty'),
        (BrokenVisualError('a.jpg', 'truncated'), 'a.jpg: truncated'),
    ]:
        assert str(error) == text
        assert str(pickle.loads(pickle.dumps(error))) == text


@pytest.mark.parametrize(
    ('text', 'line', 'why'),
    [
        ('a.jpg,"cat\nb.jpg,dog\nc.jpg,"fish"\n', 2, "',' expected after '\"'"),
        ('a.jpg,cat\nb.jpg,"dog\nc.jpg,fish\n', 3, 'unexpected end of data'),
        ('a.jpg,"the "big" cat"\n', 2, "',' expected after '\"'"),
        ('a.jpg,"' + 'cat\n' * 30 + '"\n', 2, 'the row ends on line 32 (20 are allowed)'),
    ],
)
def test_a_quote_that_swallows_rows_is_an_error(tmp_path, text, line, why):
    path = tmp_path / 'rows.csv'
    path.write_text('visual,caption\n' + text)
    with pytest.raises(AnnotationError) as error:
        list(files.iter_table(str(path), ',', ['visual']))
    assert f'rows.csv, line {line}: ' in str(error.value) and why in str(error.value)
    assert 'is a double quote not closed' in str(error.value)


def test_captions_may_have_line_breaks_and_doubled_quotes(tmp_path):
    path = tmp_path / 'rows.csv'
    path.write_text('visual,caption\na.jpg,"a ""big""\ncat"\nb.jpg,5" disc\n')
    rows = [row['caption'] for _, row in files.iter_table(str(path), ',', ['visual'])]
    assert rows == ['a "big"\ncat', '5" disc']
