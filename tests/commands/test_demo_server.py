"""The page over HTTP: health, JSON, limits, and what a stranger would try."""

import base64
import http.client
import importlib.util
import io
import json
import re
import socket
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from demo_world import ask, call, running, upload, upload_folder
from PIL import Image

# Looked for and not imported, which takes each process that collects tests five seconds.
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec('gradio') is None, reason="the page needs gradio: pip install 'omnivl[web]'"
)


@pytest.fixture
def visual(shown, files):
    """A picture that was uploaded, as the JSON interface takes it."""
    return {'path': upload(shown.address, files['picture'])[1]}


@pytest.fixture
def other_host():
    """A server that nobody should ask: its address, and who asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(('127.0.0.1', 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f'http://127.0.0.1:{server.server_port}', asked
    server.shutdown()
    thread.join()


def test_it_says_that_it_is_alive(shown):
    status, body = ask(f'{shown.address}/health')
    health = json.loads(body)
    assert status == 200 and health['status'] == 'ok' and health['model'] == 'tiny & random'
    assert health['uptime_seconds'] > 0 and health['running'] == health['waiting'] == 0


def test_every_task_is_there_as_json(shown, visual):
    kind, found = call(shown.address, 'caption', visual=visual)
    assert (kind, set(found)) == ('complete', {'caption', 'score'})
    assert call(shown.address, 'caption', visual=visual, method='greedy')[0] == 'complete'
    kind, found = call(shown.address, 'answer', visual=visual, question='what colour is the circle')
    assert (kind, found['question']) == ('complete', 'what colour is the circle')
    kind, found = call(shown.address, 'match', visual=visual, texts=['a red circle', 'a blue square'])
    assert kind == 'complete' and len(found['matches']) == 2
    kind, found = call(shown.address, 'classify', visual=visual, classes=['circle', 'square'])
    assert kind == 'complete' and found['predicted'] in ('circle', 'square')
    kind, found = call(shown.address, 'search', text='a red circle', k=2)
    assert kind == 'complete' and len(found['results']) == 2
    kind, found = call(shown.address, 'search', visual=visual, k=1)
    assert kind == 'complete' and found['results'][0]['name'] == '0.jpg'


def test_gradio_s_client_works_as_the_guide_says(shown, files):
    from gradio_client import Client, handle_file

    client = Client(shown.address, verbose=False)
    found = client.predict(visual=handle_file(str(files['clip'])), api_name='/caption')
    assert found['caption'] == shown.serving.caption(str(files['clip']))['caption']
    found = client.predict(text='a red circle', k=3, api_name='/search')
    assert len(found['results']) == 3
    named = client.view_api(return_format='dict')['named_endpoints']
    assert set(named) == {'/caption', '/answer', '/match', '/classify', '/search'}
    client.close()


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('cut.jpg', 'cut.jpg cannot be used: it cannot be read as an image: '),
        ('long', 'long.mp4 cannot be used: it is too long: 59.0 s, allowed are 20 s (--max-seconds)'),
        ('playlist.mp4', 'playlist.mp4 cannot be used: it is no picture or clip of a kind that is read here'),
        ('drawing.svg', 'drawing.svg cannot be used: it is no picture or clip of a kind that is read here'),
        ('empty.png', 'empty.png is empty: it has 0 bytes'),
    ],
)
def test_a_bad_file_is_told_in_a_line(shown, files, name, message):
    kind, said = call(shown.address, 'caption', visual={'path': upload(shown.address, files[name])[1]})
    assert kind == 'error' and said['error'].startswith(message) and 'Traceback' not in str(said)


def test_a_bad_text_is_told_in_a_line(shown, visual):
    assert call(shown.address, 'answer', visual=visual, question=' ')[1]['error'] == 'the question is empty: type one'
    assert 'visual is {"path": ...} of an upload' in call(shown.address, 'caption', visual={})[1]['error']
    gone = {'path': f'{shown.uploads}/gone.png'}
    assert 'that is still there' in call(shown.address, 'caption', visual=gone)[1]['error']


def test_an_upload_that_is_too_large_is_refused(shown, tmp_path):
    large = tmp_path / 'large.png'
    large.write_bytes(bytes(600_000))
    assert upload(shown.address, large)[0] == 413
    status, said = ask(f'{shown.address}/gradio_api/queue/join', b'[' + b' ' * (1 << 20) + b']')
    assert status == 413 and b'1048576 bytes' in said
    for headers, expected in (({'Content-Length': '1700000'}, 413), ({'Transfer-Encoding': 'chunked'}, 411)):
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(shown.address).netloc, timeout=10)
        connection.putrequest('POST', '/gradio_api/upload')
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()  # before anything of the file is sent
        assert answer.status == expected and 'error' in json.load(answer)


@pytest.mark.parametrize('body', [b'no', b'[' * 100_000, b'\xff'])
def test_a_body_that_is_no_json_is_refused(shown, body):
    assert ask(f'{shown.address}/gradio_api/queue/join', body)[0] == 400


def test_files_of_this_machine_are_not_opened(shown, photos, tmp_path):
    secret = tmp_path / 'secret.png'
    Image.new('RGB', (8, 8)).save(secret)
    (shown.uploads / 'link.png').symlink_to(secret)
    here = Path.cwd() / 'setup.py'
    for path in ('/etc/passwd', secret, here, photos / '0.jpg', f'{shown.uploads}/../x', f'{shown.uploads}/link.png'):
        assert call(shown.address, 'caption', visual={'path': str(path)})[0] == 400
        for quoted in (str(path), urllib.parse.quote(str(path), safe=''), str(path).replace('/', '%2F')):
            for place in ('/gradio_api/file=', '/file=', '/gradio_api/file/', '/static/..', '/assets/../../..'):
                status, body = ask(f'{shown.address}{place}{quoted}')
                assert status in (404, 403, 400), (place, quoted)
                assert b'root:' not in body and b'setup(' not in body


def test_what_was_uploaded_can_be_shown_again(shown, files, visual):
    status, body = ask(f'{shown.address}/gradio_api/file={visual["path"]}')
    assert (status, body) == (200, files['picture'].read_bytes())
    drawing = upload(shown.address, files['drawing.svg'])[1]
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(shown.address).netloc)
    connection.request('GET', f'/gradio_api/file={drawing}')
    answer = connection.getresponse()
    # A drawing may hold scripts, which must not run as the page's own.
    assert answer.headers['Content-Disposition'].startswith('attachment')
    assert answer.headers['X-Content-Type-Options'] == 'nosniff'


def test_addresses_are_not_fetched(shown, other_host):
    address, asked = other_host
    evil = f'{address}/evil.png'
    meta = {'_type': 'gradio.FileData'}
    join = f'{shown.address}/gradio_api/queue/join'
    for file in ({'path': evil}, {'url': evil}, {'path': evil, 'url': evil, 'meta': meta}, {'path': None, 'url': evil}):
        assert call(shown.address, 'caption', visual=file)[0] == 400
        assert call(shown.address, 'search', text='', visual=file)[0] == 400
        for number in range(12):
            assert ask(join, dict(data=[file], fn_index=number, session_hash='a'))[0] == 400
    assert call(shown.address, 'search', text=evil)[0] == 'error'
    assert call(shown.address, 'caption', visual=evil)[0] == 'error'
    for place in ('file=', 'proxy=', 'stream/'):
        assert ask(f'{shown.address}/gradio_api/{place}{evil}')[0] == 404
    assert asked == []


def test_a_foreign_address_beside_an_upload_is_not_fetched(shown, other_host, visual):
    address, asked = other_host
    file = dict(visual, url=f'{address}/evil.png', meta={'_type': 'gradio.FileData'})
    assert call(shown.address, 'caption', visual=file)[0] == 'complete'
    assert asked == []


@pytest.mark.parametrize(
    'place',
    [
        *('run/caption', 'api/caption', 'vibe-edit', 'process_recording', 'run-history/connect', 'login', 'token'),
        *('component_server', 'mcp/sse', 'dev/reload', 'openapi.json', 'deep_link', 'custom_component/a/b/c/d'),
    ],
)
def test_what_the_page_does_not_need_is_not_there(shown, place):
    for content in (None, {'data': []}):
        assert ask(f'{shown.address}/gradio_api/{place}', content)[0] == 404
    for place in ('/docs', '/monitoring', '/login', '/openapi.json', '/gradio_api/runs'):
        assert ask(shown.address + place)[0] == 404


@pytest.mark.parametrize('place', ['media/99.jpg', 'media/0.mp4', 'media/-1.jpg', 'media/0.png', 'media/x.jpg'])
def test_only_what_is_in_the_index_is_shown(shown, place):
    assert ask(f'{shown.address}/{place}')[0] == 404


def test_small_copies_of_the_index_are_there(shown):
    found = {one['name']: one for one in shown.serving.search('a red circle', k=7)['results']}
    status, body = ask(f'{shown.address}/{found["0.jpg"]["picture"]}')
    assert status == 200 and Image.open(io.BytesIO(body)).format == 'JPEG'
    status, body = ask(f'{shown.address}/{found["clip.avi"]["clip"]}')
    assert status == 200 and body[4:8] == b'ftyp'


def test_pages_of_others_may_not_ask(shown, visual):
    join = f'{shown.address}/gradio_api/call/v2/caption'
    assert ask(join, dict(visual=visual), Origin='http://evil.example')[0] == 403
    assert ask(join, dict(visual=visual), Origin='null')[0] == 403
    assert ask(join, dict(visual=visual), Origin=shown.address)[0] == 200
    assert ask(shown.address, Host='evil.example')[0] == 403  # a name that was bent to 127.0.0.1
    assert ask(shown.address, Host='localhost')[0] == 200


def test_the_page_names_no_other_host(shown):
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(shown.address).netloc)
    connection.request('GET', '/')
    answer = connection.getresponse()
    assert "default-src 'self'" in answer.headers['Content-Security-Policy']
    html = answer.read().decode()
    # What a browser would fetch; addresses in descriptions are not.
    fetched = re.findall(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="(https?:)?//[^"]*"', html)
    assert fetched == []


def test_a_websocket_is_not_accepted(shown):
    host, port = urllib.parse.urlsplit(shown.address).netloc.split(':')
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        head = f'GET /gradio_api/queue/join HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
        connection.sendall(f'{head}Sec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\n\r\n'.encode())
        assert b' 101 ' not in connection.recv(100)


def test_calls_wait_for_each_other(shown, visual, monkeypatch):
    """Writing packs the decoder that all calls share."""
    at_work, most = [0], [0]
    caption = shown.serving.caption

    def slow(path, method=None):
        at_work[0] += 1
        most[0] = max(most[0], at_work[0])
        time.sleep(0.1)
        at_work[0] -= 1
        return caption(path, method)

    monkeypatch.setattr(shown.serving, 'caption', slow)
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(call(shown.address, 'caption', visual=visual))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] and len(results) == 4 and len({json.dumps(result) for result in results}) == 1


def test_a_fault_of_the_program_is_no_traceback_on_the_page(shown, visual, monkeypatch):
    from omnivl.commands.demo.page import safely

    def fail(*_):
        raise KeyError('a/secret/path')

    assert 'this went wrong inside (KeyError): the terminal of the page says more' in safely(fail)()
    monkeypatch.setattr(shown.serving, 'caption', fail)
    kind, said = call(shown.address, 'caption', visual=visual)
    assert kind == 'error' and 'Traceback' not in str(said) and 'secret' not in str(said)


def test_a_password_is_asked_for(serving, files):
    with upload_folder() as uploads, running(serving, uploads, auth=('änna', 'wörd')) as address:
        good = {'Authorization': 'Basic ' + base64.b64encode('änna:wörd'.encode()).decode()}
        bad = {'Authorization': 'Basic ' + base64.b64encode(b'anna:word').decode()}
        for place in ('', '/config', '/media/0.jpg', '/gradio_api/info'):
            assert ask(address + place)[0] == ask(address + place, **bad)[0] == 401
            assert ask(address + place, **good)[0] == 200
        assert upload(address, files['picture'])[0] == 401
        assert ask(f'{address}/health')[0] == 200
