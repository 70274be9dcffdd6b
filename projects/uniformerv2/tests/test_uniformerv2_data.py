"""ActivityNet's file: segments for training, whole videos for testing, and what is no such file."""

import json

import pytest

from projects.uniformerv2.data import ActivityNetJSON

DATABASE = {
    'a': dict(subset='training', annotations=[dict(label='b', segment=[1, 2.5]), dict(label='b', segment=[4, 5])]),
    'c': dict(subset='validation', annotations=[dict(label='a', segment=[0, 9]), dict(label='a', segment=[10, 11])]),
    'd': dict(subset='testing', annotations=[]),
}


def read(tmp_path, content, **options):
    (tmp_path / 'net.json').write_text(json.dumps(content))
    return ActivityNetJSON(str(tmp_path / 'net.json'), str(tmp_path), **(dict(subset='training') | options))


def test_segments_and_whole_videos(tmp_path):
    reader = read(tmp_path, dict(database=DATABASE))
    assert reader.classes == ['a', 'b']
    assert [(one.id, one.label, one.clip) for one in reader] == [('a_0', 'b', (1.0, 2.5)), ('a_1', 'b', (4.0, 5.0))]
    (row,) = read(tmp_path, dict(database=DATABASE), subset='validation', whole_videos=True)
    assert (row.id, row.label, row.clip, row.visual) == ('c', 'a', None, str(tmp_path / 'v_c.mp4'))


@pytest.mark.parametrize(
    ('content', 'options', 'message'),
    [
        ([], {}, r'expected {"database": {id: ...}}'),
        (
            dict(database=DATABASE),
            dict(subset='val'),
            r"has subset='val'; it has \['testing', 'training'",
        ),
        (dict(database={'a': dict(subset='training', annotations=3)}), {}, r'expected a list of {label, segment}'),
        (
            dict(database={'a': dict(subset='training', annotations=[dict(label='b', segment=[2, 1])])}),
            {},
            r'expected \[start, end\] in seconds, got \[2, 1\]',
        ),
        (
            dict(database={'a': dict(subset='training', annotations=[dict(label=x, segment=[0, 1]) for x in 'ab'])}),
            dict(whole_videos=True),
            r"a whole video has one class, this one has \['a', 'b'\]",
        ),
    ],
)
def test_what_is_no_such_file(tmp_path, content, options, message):
    with pytest.raises(ValueError, match=message):
        list(read(tmp_path, content, **options))
