"""What the page shows, without a browser: answers, limits, errors in a line, and HTML in which nothing runs."""

import base64
import io
import os
import re
import signal
import socket
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from demo_world import load, write_model
from forked import Program
from PIL import Image

from omnivl.apis import StaleIndexError
from omnivl.commands.demo import content, examples_folder, names_of, read_auth, show
from omnivl.commands.demo.media import SIDE, small_clip, thumbnail
from omnivl.commands.demo.serving import Serving
from omnivl.commands.demo.uploads import UploadLimits, check_upload, is_uploaded, listed_texts, names_other_files
from omnivl.commands.main import main
from omnivl.errors import OmniVLError, OmniVLValueError

LIMITS = UploadLimits(megabytes=0.5, megapixels=4, seconds=20)
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """What the command sets for gradio is put back, since other pages of this process need theirs."""
    for name in ('GRADIO_TEMP_DIR', 'GRADIO_ANALYTICS_ENABLED', 'HF_HUB_DISABLE_TELEMETRY'):
        monkeypatch.setenv(name, os.environ.get(name, ''))


@pytest.mark.parametrize(('name', 'modality'), [('picture', 'image'), ('clip', 'video'), ('avi', 'video')])
def test_a_kind_is_told_by_the_bytes_and_not_by_the_name(files, tmp_path, name, modality):
    renamed = tmp_path / 'it.txt'
    renamed.write_bytes(files[name].read_bytes())
    assert check_upload(str(renamed), LIMITS) == modality


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('long', r'^long.mp4 cannot be used: it is too long: 59.0 s, allowed are 20 s \(--max-seconds\)$'),
        ('large', r'^large.png cannot be used: it is 2000 x 3000 pixels .* \(--max-megapixels\)$'),
        ('empty.png', '^empty.png is empty: it has 0 bytes$'),
        ('notes.png', '^notes.png cannot be used: it is no picture or clip of a kind that is read here .JPEG, PNG'),
        ('drawing.svg', '^drawing.svg cannot be used: it is no picture or clip'),
        ('playlist.mp4', '^playlist.mp4 cannot be used: it is no picture or clip'),
        ('cut.mp4', '^cut.mp4 cannot be used: the file was cut short'),
    ],
)
def test_a_bad_upload_is_told_in_a_line(files, name, message):
    with pytest.raises(OmniVLValueError, match=message) as caught:
        check_upload(str(files[name]), LIMITS)
    assert str(files[name].parent) not in str(caught.value)


def test_a_file_that_is_too_large_is_told(files, tmp_path):
    large = tmp_path / 'large.bin'
    large.write_bytes(bytes(600_001))
    with pytest.raises(OmniVLValueError, match=r'^large.bin is too large: it has 0.6 MB, allowed are 0.5 MB \(--max-m'):
        check_upload(str(large), LIMITS)


@pytest.mark.parametrize('name', ['cut.jpg', 'notes.png', 'cut.mp4'])
def test_no_task_takes_a_bad_file(serving, files, name):
    path = str(files[name])
    for do in (
        serving.caption,
        serving.preview,
        lambda x: serving.match(x, 'a circle'),
        lambda x: serving.search('', x),
    ):
        with pytest.raises(OmniVLValueError, match=f'^{name} cannot be used: '):
            do(path)
    with pytest.raises(OmniVLValueError, match=f'^{name} cannot be used: '):
        serving.attention(path, 'a circle')
    assert serving.running == 0


@pytest.mark.parametrize('name', ['picture', 'clip', 'avi'])
def test_answers_are_those_of_the_inferencer(serving, files, name):
    path, inferencer = files[name], serving.inferencer
    assert serving.caption(str(path)) == {key: inferencer.caption(path)[key] for key in ('caption', 'score')}
    answer = serving.answer(str(path), ' what colour is the circle ')
    assert answer['answer'] == inferencer.answer(path, 'what colour is the circle')['answer']
    matches = serving.match(str(path), 'a red circle\n\na blue square\na red circle\n')['matches']
    assert {match['text'] for match in matches} == {'a red circle', 'a blue square'}
    assert matches[0]['score'] >= matches[1]['score']
    by_list = serving.classify(str(path), ['circle', 'square'])
    assert serving.classify(str(path), 'circle, square') == by_list and set(by_list['scores']) == {'circle', 'square'}


def test_words_that_are_not_known_are_told(serving, files):
    answer = serving.answer(str(files['picture']), 'what colour is the zebra')
    assert len(answer['notes']) == 1 and "does not know 'zebra'" in answer['notes'][0]
    assert 'zebra' in show.reply(answer)
    assert len(serving.classify(str(files['clip']), 'circle')['notes']) == 4  # words of many templates


@pytest.mark.parametrize(('name', 'frames'), [('picture', 1), ('clip', 4)])
def test_attention_is_drawn_for_each_word_over_all_frames(serving, files, name, frames):
    found = serving.attention(str(files[name]), 'A red circle')
    assert [word['word'] for word in found['words']] == ['a', 'red', 'circle'] and 0 < found['match'] < 1
    head, _, data = found['words'][0]['picture'].partition(',')
    width, height = Image.open(io.BytesIO(base64.b64decode(data))).size
    assert head == 'data:image/jpeg;base64' and frames * height <= width <= frames * (height + 3)


def test_a_search_shows_no_folder_of_this_machine(serving, files, photos):
    found = serving.search('a red circle', k=7)['results']
    assert {one['name'] for one in found} == {path.name for path in photos.iterdir()}
    assert str(photos.parent) not in repr(found)
    clip = next(one for one in found if one['name'] == 'clip.avi')
    assert clip['clip'] == clip['picture'].replace('.jpg', '.mp4')
    by_file = serving.search(path=str(files['avi']), k=1)['results']
    assert by_file[0]['name'] == 'clip.avi' and by_file[0]['score'] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize('text', ['/etc/passwd.png', 'http://127.0.0.1:9/a.jpg', 'file:///etc/hosts', '/etc/passwd'])
def test_a_text_is_never_taken_for_a_file(serving, text):
    with pytest.raises(OmniVLValueError, match=r'is the name of a file or an address: describe what you look for$'):
        serving.search(text)


@pytest.mark.parametrize(
    ('do', 'message'),
    [
        (lambda it, path: it.search(' '), '^the text to search for is empty: type one$'),
        (lambda it, path: it.search('a', k=0), '^the number of results is 0, allowed are 1 to 60$'),
        (lambda it, path: it.answer(path, ''), '^the question is empty: type one$'),
        (lambda it, path: it.answer(path, 'a' * 2001), '^the question has 2001 letters, allowed are 2000$'),
        (lambda it, path: it.attention(path, '\n'), '^the text is empty: type one$'),
        (lambda it, path: it.match(path, '\n \n'), '^there is no text: type one or several$'),
        (lambda it, path: it.match(path, [1]), '^the text is empty: type one$'),
        (lambda it, path: it.match(path, 7), '^texts are a list of texts, got a int$'),
        (lambda it, path: it.classify(path, ' , '), '^there is no class: type one or several$'),
        (lambda it, path: it.match(path, '!'), "^the text '!' cannot be used"),
        (lambda it, path: it.caption(path, 'best'), "method must be one of .*'best'|'best'"),
    ],
)
def test_a_bad_text_is_told_in_a_line(serving, files, do, message):
    with pytest.raises(OmniVLError, match=message):
        do(serving, str(files['picture']))


def test_too_many_texts_are_told():
    with pytest.raises(OmniVLValueError, match=r'^there are 201 texts, allowed are 200$'):
        listed_texts([f'a{number}' for number in range(201)], 'text')


def test_only_what_a_model_can_do_is_offered(tmp_path, files):
    captions = Serving(load(tmp_path / 'a', 'OmniVLCaption'), 'it', 'it.pth', LIMITS)
    assert [task.name for task in captions.offered] == ['caption']
    assert set(captions.refused) == {'Ask', 'Match', 'Classify', 'Look', 'Search'}
    assert all('needs a model that' in reason and '\n' not in reason for reason in captions.refused.values())
    with pytest.raises(OmniVLValueError, match=r'^clip.mp4 cannot be used: it is a video, this model takes images$'):
        captions.caption(str(files['clip']))
    by_head = Serving(load(tmp_path / 'b', 'OmniVLClassifier'), 'it', 'it.pth', LIMITS)
    assert [task.name for task in by_head.offered] == ['classify']
    assert sum(by_head.classify(str(files['picture']))['scores'].values()) == pytest.approx(1)


def test_a_page_without_an_index_says_how_to_get_a_search(serving):
    without = Serving(serving.inferencer, 'it', 'it.pth', LIMITS)
    assert without.refused == {'Search': 'there is nothing to search in: start the page with --index FOLDER'}


def test_the_facts_of_a_model(serving):
    facts = serving.facts()
    assert facts['Model'] == 'tiny & random' and facts['Checkpoint'] == 'model.pth' and facts['Task'] == 'OmniVLQA'
    assert facts['Looks at'] == 'images and videos, 32 x 32 pixels, 4 frames of a clip'
    assert facts['Vocabulary'].endswith(' word pieces') and facts['Takes'].startswith('up to 0.5 MB')
    assert 'tiny &amp; random' in show.about(facts, serving.refused, ['a limit'])


@pytest.mark.parametrize('name', ['picture', 'clip', 'avi'])
def test_small_copies_are_small_and_without_metadata(files, tmp_path, name):
    path = files[name]
    modality = 'image' if name == 'picture' else 'video'
    if modality == 'image':
        path = tmp_path / 'secret.jpg'
        exif = Image.Exif()
        exif[0x010E] = 'at home'
        Image.new('RGB', (2000, 1000)).save(path, exif=exif)
    small = Image.open(io.BytesIO(thumbnail(str(path), modality)))
    assert max(small.size) <= SIDE and not small.getexif()
    if modality == 'video':
        with av.open(io.BytesIO(small_clip(str(path)))) as copy, av.open(str(path)) as original:
            frames = list(copy.decode(video=0))
            assert copy.streams.video[0].codec_context.name == 'h264'
            assert len(frames) == original.streams.video[0].frames
            assert float(frames[-1].time) == pytest.approx((len(frames) - 1) / 25, rel=0.05)


def test_nothing_that_is_typed_becomes_html():
    evil = '<img src=x onerror=alert(1)> ${1+1} "\''
    parts = [
        show.head(evil, [evil]),
        show.error_box(evil),
        show.caption(dict(caption=evil, notes=[evil])),
        show.reply(dict(answer=evil, question=evil)),
        show.matches(dict(matches=[dict(text=evil, score=0.5, similarity=0.1)])),
        show.classes(dict(scores={evil: 0.5}), True) + show.classes(dict(scores={evil: 0.5}), False),
        show.attention(dict(words=[dict(word=evil, picture='data:,')], match=0.5)),
        show.results(dict(results=[dict(name=evil, score=0.5, picture='media/0.jpg')])),
        show.examples([(evil, 'data:,', True)]),
        show.about({evil: evil}, {evil: evil}, [evil]),
    ]
    for html in parts:
        assert '<img src=x' not in html and '&lt;img src=x onerror' in html


@pytest.mark.parametrize(
    ('content', 'is_foreign'),
    [
        ({'data': [{'path': '{}/a/b.png', 'url': 'http://127.0.0.1/gradio_api/file=x'}, 'text', None, 3]}, False),
        ({'data': [{'path': '{}/../secret.png'}]}, True),
        ({'data': [{'path': '/etc/passwd'}]}, True),
        ({'data': [[{'deep': {'path': 'http://127.0.0.1:9/'}}]]}, True),
        ({'visual': {'url': 'http://127.0.0.1:9/'}}, True),
        ({'visual': {'path': ['{}/a']}}, True),
        ({'visual': {'path': 'relative.png'}}, True),
        ({'visual': {'path': '{}/link'}}, True),
    ],
)
def test_only_uploads_may_be_named(tmp_path, content, is_foreign):
    (tmp_path / 'link').symlink_to('/etc')

    def filled(value):
        if isinstance(value, str):
            return value.replace('{}', str(tmp_path))
        if isinstance(value, dict):
            return {key: filled(item) for key, item in value.items()}
        return [filled(item) for item in value] if isinstance(value, list) else value

    assert names_other_files(filled(content), tmp_path) == is_foreign
    assert not is_uploaded(None, tmp_path) and not is_uploaded(f'{tmp_path}/a\0.png', tmp_path)


def test_a_folder_is_indexed_once(serving, tmp_path, monkeypatch, capsys, photos):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    inferencer, folder = serving.inferencer, tmp_path / 'mine'
    folder.mkdir()
    for name in ('0.jpg', '1.jpg'):
        (folder / name).write_bytes((photos / name).read_bytes())
    (folder / 'broken.jpg').write_bytes(b'no')
    first = content.open_gallery(inferencer, folder)
    said = capsys.readouterr().out
    assert len(first) == 2 and f'left out: {folder}/broken.jpg: ' in said and '2 items of' in said
    again = content.open_gallery(inferencer, folder)
    assert capsys.readouterr().out == '' and np.array_equal(again.features, first.features)
    (folder / '2.jpg').write_bytes((photos / '2.jpg').read_bytes())
    assert len(content.open_gallery(inferencer, folder)) == 3
    assert 'is encoded again: files have changed' in capsys.readouterr().out
    first.save(tmp_path / 'index')
    with pytest.raises(StaleIndexError):
        content.open_gallery(inferencer, tmp_path / 'index')
    with pytest.raises(OmniVLError, match=r'^--index: there is no folder .*nowhere'):
        content.open_gallery(inferencer, tmp_path / 'nowhere')


def test_examples_that_nobody_could_upload_are_left_out(tmp_path, photos, files, capsys):
    folder = tmp_path / 'examples'
    folder.mkdir()
    for path in (photos / '0.jpg', files['clip'], files['cut.jpg'], files['long']):
        (folder / path.name).write_bytes(path.read_bytes())
    taken = content.take_examples(folder, tmp_path / 'uploads', LIMITS)
    assert [(one.path.name, one.is_clip) for one in taken] == [('0.jpg', False), ('clip.mp4', True)]
    assert capsys.readouterr().out.count('an example is left out: ') == 2
    assert all(is_uploaded(str(one.path), tmp_path / 'uploads') for one in taken)
    assert examples_folder(None, str(tmp_path)) == folder and examples_folder(None, str(folder)) is None
    with pytest.raises(OmniVLError, match=r'^--examples: there is no folder nowhere$'):
        examples_folder('nowhere', str(tmp_path))


def test_a_password_comes_from_a_file_or_the_environment(tmp_path, monkeypatch):
    file = tmp_path / 'password.txt'
    file.write_text('se:cret\nmore\n')
    assert read_auth(None) is None and read_auth(f'anna:{file}') == ('anna', 'se:cret')
    monkeypatch.setenv('OMNIVL_DEMO_AUTH', 'anna:word')
    assert read_auth(None) == ('anna', 'word')
    file.write_text('\n')
    for option, message in (
        ('anna', '^--auth is USER:FILE, got'),
        ('anna:nowhere', 'there is no file nowhere with a password'),
        (f'anna:{file}', 'user and password must not be empty$'),
    ):
        with pytest.raises(OmniVLError, match=message):
            read_auth(option)
    monkeypatch.setenv('OMNIVL_DEMO_AUTH', 'anna')
    with pytest.raises(OmniVLError, match=r'^OMNIVL_DEMO_AUTH: user and password must not be empty$'):
        read_auth(None)


def test_what_a_model_is_called(tmp_path):
    (tmp_path / 'run').mkdir()
    for name in ('iter_2.pth', 'iter_10.pth'):
        (tmp_path / 'run' / name).touch()
    assert names_of(str(tmp_path / 'run')) == ('run', 'iter_10.pth')
    assert names_of(str(tmp_path / 'run/iter_2.pth')) == ('run', 'iter_2.pth')
    assert names_of('hf://owner/name') == ('hf://owner/name', 'hf://owner/name')


@pytest.mark.parametrize(
    ('words', 'code', 'message'),
    [
        (['--max-mb', '0'], 2, '--max-mb must be above 0, got 0.0'),
        (['--auth', 'anna'], 2, "--auth is USER:FILE, got 'anna'"),
        (['--port', '99999'], 2, '--port must be in 0 ... 65535, got 99999'),
        (['--host', 'no.such.host.invalid'], 1, '--port N takes another one'),
        ([], 1, 'there is no model or config nowhere'),
    ],
)
def test_a_wrong_option_of_the_page_is_told_in_a_line(capsys, words, code, message):
    pytest.importorskip('gradio')
    with pytest.raises(SystemExit) as ended:
        main(['demo', 'nowhere', *(words or ['--port', '0'])])
    error = capsys.readouterr().err if isinstance(ended.value.code, int) else str(ended.value.code)
    assert message in error and 'Traceback' not in error
    assert (ended.value.code == 2) == (code == 2)


def test_a_port_that_is_taken_is_told_before_the_model_is_loaded(capsys):
    pytest.importorskip('gradio')
    with socket.socket() as other:
        other.bind(('127.0.0.1', 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SystemExit, match=f'127.0.0.1:{port} cannot be listened at .*--port N takes another one'):
            main(['demo', 'nowhere', '--port', str(port)])


def test_without_gradio_the_command_to_install_it_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    for name in [name for name in sys.modules if name.startswith('omnivl.commands.demo.')]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'gradio', None)
    with pytest.raises(SystemExit, match=r"the page needs gradio \(.*\): pip install 'omnivl\[web\]'"):
        main(['demo', 'nowhere'])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_signal_ends_it_and_nothing_is_left(tmp_path):
    pytest.importorskip('gradio')
    (tmp_path / 'temporary').mkdir()
    config, weights = write_model(tmp_path / 'model')
    words = ['-m', 'omnivl', 'demo', config, weights, '--port', '0', '--host', '0.0.0.0']
    variables = dict(os.environ, TMPDIR=str(tmp_path / 'temporary'), PYTHONPATH=str(ROOT))
    output = tmp_path / 'output.txt'
    page = Program(*words, cwd=tmp_path, env=variables, output=output)
    try:
        while not re.search('^http://', said := output.read_text() if output.exists() else '', re.M):
            assert page.poll() is None, said
            time.sleep(0.05)
        time.sleep(0.5)
        said = output.read_text()
        assert [path.name[:12] for path in (tmp_path / 'temporary').iterdir()].count('omnivl-demo-') == 1
    finally:
        page.send_signal(signal.SIGTERM)
        code = page.wait(60)
    assert code == 0 and output.read_text() == said, output.read_text()
    assert not [path for path in (tmp_path / 'temporary').iterdir() if path.name.startswith('omnivl-demo-')]
    assert 'warning: whoever reaches port' in said and 'no Match: ' in said
