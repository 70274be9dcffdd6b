"""A tiny model with random weights that can do everything, files to show it, and a page of it in a thread."""

import contextlib
import json
import os
import tempfile
import threading
import time
import urllib.request
import uuid
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image, ImageDraw
from transform_toys import write_video

from omnivl.apis import OmniVLInferencer
from omnivl.registry import MODELS

WORDS = [
    'a',
    'the',
    'large',
    'small',
    'red',
    'green',
    'blue',
    'circle',
    'square',
    'on',
    'above',
    'left',
    'of',
    'what',
    'colour',
    'is',
    'w1',
    'w2',
]
COLOURS = ('crimson', 'seagreen', 'royalblue', 'orange', 'purple', 'teal')


def draw(path, colour, size=(200, 150)):
    """A picture of a circle; saved as what its name ends in."""
    picture = Image.new('RGB', size, 'whitesmoke')
    ImageDraw.Draw(picture).ellipse((50, 25, 150, 125), fill=colour)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return path


def write_model(root, kind='OmniVLQA'):
    """Write vocabulary, config and weights of a tiny model of a task."""
    root.mkdir(parents=True, exist_ok=True)
    vocabulary = root / 'vocab.txt'
    vocabulary.write_text('\n'.join(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *WORDS]))
    size = len(WORDS) + 7
    text = dict(vocab_size=size, width=16, depth=2, num_heads=2, max_length=24, dropout=0.0)
    tokenizer = dict(type='WordPieceTokenizer', vocab_file=str(vocabulary))
    trunk = dict(
        type='OmniVL',
        tokenizer=tokenizer,
        embed_dim=8,
        visual_encoder=dict(
            type='UnifiedVisualEncoder',
            image_tokenizer=dict(type='ImageTokenizer', patch_size=8),
            video_tokenizer=dict(type='VideoTokenizer', patch_size=8, time_stride=1),
            **dict(width=16, depth=2, num_heads=2, image_size=32, num_frames=4),
        ),
        text_encoder=dict(type='TextEncoder', **text),
        alignment_decoder=dict(type='AlignmentDecoder', **text),
        generation_decoder=dict(type='GenerationDecoder', **text),
    )
    fit = [dict(type='Resize', size=32, keep_ratio=True), dict(type='CenterCrop', size=32)]
    clean = [dict(type=name, max_words=10) for name in ('CleanCaption', 'CleanQuestion')]
    steps = [*fit, *clean, dict(type='TokenizeText', tokenizer=tokenizer, max_length=12), dict(type='PackSample')]
    model = dict(type=kind, trunk=trunk) | (dict(num_classes=3) if kind == 'OmniVLClassifier' else {})
    config = dict(model=model, runner_type='OmniVLRunner', default_scope='omnivl')
    config['image_test_pipeline'] = [dict(type='LoadImage'), *steps]
    if kind != 'OmniVLCaption':  # which takes pictures only
        config['video_test_pipeline'] = [dict(type='LoadVideo', num_frames=4), *steps]
    path = root / 'config.py'
    path.write_text('\n'.join(f'{key} = {value!r}' for key, value in config.items()))
    torch.manual_seed(0)
    built = MODELS.build(model)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    torch.save(dict(state_dict=built.state_dict()), root / 'model.pth')
    return path, root / 'model.pth'


def load(root, kind='OmniVLQA'):
    return OmniVLInferencer(*write_model(root, kind), device='cpu')


def load_able(root):
    """A model for everything, which no task has: one that answers questions, on a trunk with all its parts."""
    inferencer = load(root)
    torch.manual_seed(1)
    trunk = MODELS.build(Config.fromfile(root / 'config.py').model.trunk)
    with torch.no_grad():
        for parameter in trunk.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
        trunk.generation_decoder.head.bias[[0, 1, 2, 4, -2, -1]] = -100  # tokens that leave no trace in a text
    inferencer.model.trunk = trunk.eval()
    return inferencer


def write_files(root):
    """Good and bad files to hand in, by what they are."""
    root.mkdir(parents=True, exist_ok=True)
    files = {'picture': draw(root / 'circle.png', 'crimson'), 'other': draw(root / 'second.jpg', 'teal')}
    files['clip'] = write_video(root / 'clip.mp4', 30, 96, 128)
    files['avi'] = write_video(root / 'old.avi', 12, 96, 128, codec='mpeg4')
    files['long'] = write_video(root / 'long.mp4', 60, 48, 64, times_ms=1000 * np.arange(60))
    whole = files['other'].read_bytes()
    for name, content in (
        ('empty.png', b''),
        ('notes.png', b'only some text'),
        ('cut.jpg', whole[: len(whole) // 2]),
        ('cut.mp4', files['clip'].read_bytes()[:900]),
        ('playlist.mp4', b'#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n'),
        ('drawing.svg', b'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1:9/"/></svg>'),
    ):
        files[name] = root / name
        files[name].write_bytes(content)
    files['large'] = root / 'large.png'
    Image.new('L', (3000, 2000)).save(files['large'])
    return files


@contextlib.contextmanager
def running(serving, uploads, examples=(), auth=None):
    """A page of a model in a thread; gives its address."""
    import uvicorn

    from omnivl.commands.demo.page import make_page
    from omnivl.commands.demo.server import listen, make_app, make_gate

    app = make_app(serving, make_page(serving, list(examples), 8))
    listening = listen('127.0.0.1', 0)
    gate = make_gate(app, serving, uploads, '127.0.0.1', auth)
    server = uvicorn.Server(uvicorn.Config(gate, log_level='warning', ws='none', timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs=dict(sockets=[listening]), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        yield f'http://127.0.0.1:{listening.getsockname()[1]}'
    finally:
        server.should_exit = True
        thread.join(20)


@contextlib.contextmanager
def upload_folder():
    """A folder that gradio is told to keep its files in."""
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get('GRADIO_TEMP_DIR')
        os.environ['GRADIO_TEMP_DIR'] = folder
        try:
            yield Path(folder)
        finally:
            os.environ.pop('GRADIO_TEMP_DIR')
            os.environ.update({} if before is None else {'GRADIO_TEMP_DIR': before})


def ask(url, content=None, method=None, **headers):
    """Send a request, JSON unless it is bytes: status and body."""
    data = content if content is None or isinstance(content, bytes) else json.dumps(content).encode()
    kind = {} if content is None or isinstance(content, bytes) else {'Content-Type': 'application/json'}
    request = urllib.request.Request(url, data, kind | headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def upload(address, path, name=None):
    """Upload a file as a browser does: status, and the path that it has there or what was said."""
    mark = uuid.uuid4().hex
    head = f'--{mark}\r\nContent-Disposition: form-data; name="files"; filename="{name or path.name}"\r\n\r\n'
    body = head.encode() + Path(path).read_bytes() + f'\r\n--{mark}--\r\n'.encode()
    kind = {'Content-Type': f'multipart/form-data; boundary={mark}'}
    status, answer = ask(f'{address}/gradio_api/upload', body, **kind)
    return status, json.loads(answer)[0] if status == 200 else answer.decode()


def call(address, task, **content):
    """Call an endpoint as the page for users says: kind of its last event, and its data."""
    status, answer = ask(f'{address}/gradio_api/call/v2/{task}', content)
    if status != 200:
        return status, answer.decode()
    _, events = ask(f'{address}/gradio_api/call/{task}/{json.loads(answer)["event_id"]}')
    *_, kind, data = events.decode().strip().splitlines()
    data = json.loads(data.removeprefix('data: '))
    return kind.removeprefix('event: '), data[0] if isinstance(data, list) else data
