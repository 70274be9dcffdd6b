"""What comes from the hub: which files, how they are checked, what a broken transfer, a refusal and no network mean."""

import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from foreign import blip, omnivl
from huggingface_hub import constants

from omnivl.errors import OmniVLError, OmniVLFileNotFoundError, OmniVLRuntimeError
from omnivl.registry import WEIGHT_READERS
from omnivl.storage.checkpoint import BrokenCheckpointError
from omnivl.weights import hub as client
from omnivl.weights.hub import fetch, parse_address
from omnivl.weights.names import NAMED, find_model

FILES = {
    'config.json': b'{"a": 1}',
    'vocab.txt': b'[PAD]\n',
    'README.md': b'# words',
    'model.safetensors': bytes(range(256)) * 3000,
    'pytorch_model.bin': b'a pickle',
    'modeling.py': b'import os',
    'onnx/model.onnx': b'onnx',
}
TAKEN = ['README.md', 'config.json', 'model.safetensors', 'vocab.txt']


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(client, 'print_log', lambda text, *_: lines.append(text))
    return lines


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('hf://owner/name', ('owner/name', None, None)),
        ('hf://owner/name@v1.0', ('owner/name', 'v1.0', None)),
        ('hf://owner/name@refs%2Fpr%2F1/a/b.bin', ('owner/name', 'refs/pr/1', 'a/b.bin')),
    ],
)
def test_addresses(text, expected):
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    'text', ['hf://', 'hf://owner', 'hf://owner/', 'hf://owner/name@', 'hf:///name', 'hf://a/../b']
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match=r"is no address on the hub: 'hf://owner/name'|is no address"):
        parse_address(text) and fetch(text)


def test_plain_files_of_a_repository_come_and_stay(hub, said):
    commit = hub.add('owner/name', FILES)
    folder = fetch('hf://owner/name')
    assert listed(folder) == TAKEN and (folder / 'model.safetensors').read_bytes() == FILES['model.safetensors']
    (line,) = said
    assert line.startswith(
        f'hf://owner/name (commit {commit[:12]}): 0.768 MB to download into {constants.HF_HUB_CACHE}'
    )
    assert 'model.safetensors (0.768 MB)' in line and 'config.json (0.008 kB)' in line
    before = len(hub.gets('model.safetensors'))
    assert fetch('hf://owner/name') == folder and len(hub.gets('model.safetensors')) == before and len(said) == 1


def test_a_pickle_comes_only_where_there_is_nothing_safer(hub):
    hub.add('owner/name', {'config.json': b'{}', 'pytorch_model.bin': b'tensors', 'more.bin': b'more'})
    assert listed(fetch('hf://owner/name')) == ['config.json', 'pytorch_model.bin']


def test_a_revision_is_pinned(hub):
    old = hub.add('owner/name', FILES)
    hub.add('owner/name', FILES | {'vocab.txt': b'new'})
    hub.add('owner/name', FILES | {'vocab.txt': b'side'}, branch='side')
    read = [(fetch(f'hf://owner/name{at}') / 'vocab.txt').read_bytes() for at in (f'@{old}', '', '@side')]
    assert read == [FILES['vocab.txt'], b'new', b'side']


def test_a_transfer_that_breaks_off_goes_on_where_it_was(hub, monkeypatch):
    monkeypatch.setattr('time.sleep', lambda seconds: None)
    monkeypatch.setattr(constants, 'DOWNLOAD_CHUNK_SIZE', 1 << 12)  # what has come of a chunk is lost
    hub.add('owner/name', FILES)
    hub.cut['model.safetensors'] = 2
    assert (fetch('hf://owner/name') / 'model.safetensors').read_bytes() == FILES['model.safetensors']
    starts = [int((spread or 'bytes=0-')[6:-1]) for spread in hub.gets('model.safetensors')]
    assert starts == sorted(set(starts)) and len(starts) == 3


def test_a_transfer_that_never_ends_is_told_and_done_by_the_next_call(hub, monkeypatch):
    monkeypatch.setattr('time.sleep', lambda seconds: None)
    hub.add('owner/name', FILES)
    hub.cut['model.safetensors'] = 1000
    with pytest.raises(OmniVLRuntimeError, match=r'hf://owner/name: the download broke off .* Run the command again'):
        fetch('hf://owner/name')
    hub.cut.clear()
    before = len(hub.gets('vocab.txt'))
    assert listed(fetch('hf://owner/name')) == TAKEN and len(hub.gets('vocab.txt')) == before


@pytest.mark.parametrize('name', ['model.safetensors', 'vocab.txt'])
def test_what_comes_damaged_comes_again_and_is_refused_the_second_time(name, hub, said):
    hub.add('owner/name', FILES)
    hub.spoilt[name] = 1
    assert (fetch('hf://owner/name') / name).read_bytes() == FILES[name]
    assert sum('is damaged and is downloaded anew' in line for line in said) == 1
    hub.add('owner/other', {key: value + b'x' for key, value in FILES.items()})
    hub.spoilt[name] = 1000
    with pytest.raises(BrokenCheckpointError, match=rf'{name} of hf://owner/other comes damaged: its checksum is not'):
        fetch('hf://owner/other')


@pytest.mark.parametrize('name', ['model.safetensors', 'config.json'])
def test_a_damaged_cache_is_noticed(name, hub, said, monkeypatch):
    hub.add('owner/name', FILES)
    path = (fetch('hf://owner/name') / name).resolve()
    path.write_bytes(path.read_bytes()[:-1] + b'?')
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    with pytest.raises(
        BrokenCheckpointError, match=rf'{name} of hf://owner/name is damaged, and the hub cannot be asked'
    ):
        fetch('hf://owner/name')
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', False)
    assert (fetch('hf://owner/name') / name).read_bytes() == FILES[name]


@pytest.mark.parametrize('how', ['offline', 'failing', 'gone'])
def test_without_the_hub_the_cache_does_or_says_what_is_missing(how, hub, said, monkeypatch):
    monkeypatch.setattr('time.sleep', lambda seconds: None)
    hub.add('owner/name', FILES)
    folder = fetch('hf://owner/name')
    if how == 'offline':
        monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    elif how == 'failing':
        hub.failing = True
    else:
        monkeypatch.setattr(constants, 'ENDPOINT', 'http://127.0.0.1:9')
    assert fetch('hf://owner/name') == folder and 'is taken from the cache: the hub cannot be asked' in said[-1]
    assert fetch('hf://owner/name/vocab.txt') == folder / 'vocab.txt'
    message = (
        r'hf://owner/other@v1 is not in the cache .*hub_cache \(model.safetensors is missing\), and the hub .* '
        r'cannot be asked: .*run "hf download owner/other --revision v1 --local-dir FOLDER"'
    )
    with pytest.raises(OmniVLFileNotFoundError, match=message):
        fetch('hf://owner/other@v1')


@pytest.mark.parametrize(
    ('address', 'refused', 'message'),
    [
        (
            'hf://owner/none',
            None,
            r'the hub has no hf://owner/none for you: check owner and name; if it is private, log',
        ),
        ('hf://owner/name@v9', None, r"hf://owner/name has no revision 'v9': give a branch, a tag or a commit"),
        ('hf://owner/name/x.json', None, r'hf://owner/name has no file x.json; it holds README.md, config.json'),
        ('hf://owner/name/modeling.py', None, r'modeling.py is not fetched: of the hub only .*safetensors.* are'),
        ('hf://owner/empty', None, r'hf://owner/empty has none of model.safetensors, .*; it holds config.json'),
        (
            'hf://owner/name',
            (403, 'GatedRepo'),
            r'is gated, .*accept its terms on the page of owner/name, then log in with',
        ),
        ('hf://owner/name', (401, ''), r'the hub has no hf://owner/name for you|does not let you do this'),
    ],
)
def test_what_the_hub_refuses_is_one_line_with_advice(address, refused, message, hub):
    hub.add('owner/name', FILES)
    hub.add('owner/empty', {'config.json': b'{}'})
    if refused:
        hub.refused['owner/name'] = refused
    with pytest.raises(OmniVLError, match=message) as caught:
        fetch(address)
    assert '\n' not in str(caught.value)


def test_a_full_disk_is_told_before_anything_comes(hub, monkeypatch):
    hub.add('owner/name', FILES)
    usage = namedtuple('usage', 'total used free')
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage(10**6, 10**6, 1000))
    with pytest.raises(OmniVLRuntimeError, match=r'hf://owner/name needs 0.768 MB, and 1 kB are free .* set HF_HOME'):
        fetch('hf://owner/name')
    assert hub.gets('config.json') == []


def test_a_file_comes_with_its_config(hub, vocab_file, tmp_path):
    blip('caption', 0).save_pretrained(tmp_path / 'blip')
    hub.add_folder('owner/name', tmp_path / 'blip')
    reader = WEIGHT_READERS.build(dict(type='blip', file='hf://owner/name/model.safetensors'))
    assert hub.requests == []  # nothing is fetched before it is needed
    assert reader.load(omnivl(vocab_file, encoder=dict(norm_eps=1e-5))).left == []
    with pytest.raises(ValueError, match='norm_eps is 1e-05 there'):
        reader.load(omnivl(vocab_file))
    whole = WEIGHT_READERS.build(dict(type='blip', file='hf://owner/name'))
    assert whole.load(omnivl(vocab_file, encoder=dict(norm_eps=1e-5))).left == []


def test_names_stand_for_addresses_and_paths_go_first(hub, tmp_path, monkeypatch):
    assert all(parse_address(address).file is None for address in NAMED.values())
    hub.add(NAMED['blip-vqa-base'].removeprefix('hf://'), FILES)
    assert listed(find_model('blip-vqa-base')) == TAKEN
    monkeypatch.chdir(tmp_path)
    os.mkdir('blip-vqa-base')
    assert find_model('blip-vqa-base') == Path('blip-vqa-base')
