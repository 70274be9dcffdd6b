import hashlib
import json
import os
import shutil

import numpy as np
import pytest
import torch
from api_world import picture, write_checkpoint

from omnivl.apis import Gallery, OmniVLInferencer, StaleIndexError
from omnivl.apis.preparation import Preparation
from omnivl.errors import OmniVLError
from omnivl.storage.hashes import content_sha256


@pytest.fixture
def files(tmp_path, world):
    """A folder of images and videos of its own."""
    folder = tmp_path / 'files'
    for path in (*world.images, *world.videos):
        folder.mkdir(exist_ok=True)
        shutil.copy(path, folder / path.name)
    return folder


def test_a_saved_gallery_is_searched_without_loading_a_file(monkeypatch, tmp_path, inferencer, files):
    expected = inferencer.retrieve(['w1', 'w2 w3'], files, k=4)
    gallery = inferencer.build_gallery(files)
    gallery.save(tmp_path / 'index')

    def refuse(*_):
        raise AssertionError('a file was loaded')

    monkeypatch.setattr(Preparation, '__call__', refuse)
    assert inferencer.retrieve(['w1', 'w2 w3'], tmp_path / 'index', k=4) == expected
    assert inferencer.retrieve(['w1', 'w2 w3'], gallery, k=4) == expected
    loaded = inferencer.load_gallery(tmp_path / 'index')
    assert np.array_equal(loaded.features, gallery.features) and loaded.names == gallery.names


def test_a_saved_gallery_is_reranked_as_a_fresh_one(tmp_path, inferencer, files):
    expected = inferencer.retrieve('w2 w3', files, k=5, rerank=4)
    inferencer.build_gallery(files).save(tmp_path / 'index')
    assert inferencer.retrieve('w2 w3', tmp_path / 'index', k=5, rerank=4) == expected
    similarities = [row['similarity'] for row in expected['results']]
    assert sorted(similarities[:4], reverse=True) == pytest.approx(
        [row['similarity'] for row in inferencer.retrieve('w2 w3', files, k=4)['results']]
    )


def test_results_are_the_nearest(inferencer, files):
    rows = inferencer.features(files)
    query = inferencer.features('w4')['feature']
    nearest = sorted(((float(row['feature'] @ query), row['input']) for row in rows), reverse=True)
    found = inferencer.retrieve('w4', files, k=len(rows) + 3)['results']
    assert [row['input'] for row in found] == [name for _, name in nearest]
    assert [row['score'] for row in found] == pytest.approx([score for score, _ in nearest], abs=1e-6)
    same = inferencer.retrieve(files / '2.png', files, k=1)['results'][0]
    assert same['input'] == str(files / '2.png') and same['score'] == pytest.approx(1, abs=1e-5)


def test_changed_files_are_noticed(tmp_path, inferencer, files):
    index = tmp_path / 'index'
    inferencer.build_gallery(files).save(index)
    os.utime(files / '0.png')  # another time, the same content
    inferencer.load_gallery(index)
    content = (files / '0.png').read_bytes()
    (files / '0.png').write_bytes(bytes([*content[:-1], content[-1] ^ 1]))
    with pytest.raises(StaleIndexError, match=r'files have changed since the index was made: .*0\.png'):
        inferencer.retrieve('w1', index)
    (files / '0.png').write_bytes(content)
    inferencer.load_gallery(index)
    picture(5, 9, 9).save(files / 'new.png')
    with pytest.raises(StaleIndexError, match='had 10 files, now has 11'):
        inferencer.load_gallery(index)
    gallery = inferencer.build_gallery(files)
    picture(6, 9, 9).save(files / 'new.png')
    with pytest.raises(StaleIndexError, match=r'new\.png has changed since it was encoded'):
        gallery.save(tmp_path / 'late')
    (files / 'new.png').unlink()
    (files / '1.png').unlink()
    with pytest.raises(StaleIndexError, match=r'1\.png'):
        inferencer.load_gallery(index)


def test_a_changed_model_is_noticed(tmp_path, world, tiny_config, inferencer, files):
    inferencer.build_gallery(files).save(tmp_path / 'index')
    world.inferencer().load_gallery(tmp_path / 'index')  # the same one, built anew
    other = write_checkpoint(tmp_path / 'other.pth', tiny_config(), seed=1)
    with pytest.raises(StaleIndexError, match='other weights, another vocabulary or another test pipeline'):
        OmniVLInferencer(world.config, other, device='cpu').retrieve('w1', tmp_path / 'index')
    wider = tmp_path / 'wider.py'
    wider.write_text(world.config.read_text().replace("'max_length': 9}", "'max_length': 8}"))
    with pytest.raises(StaleIndexError, match='another test pipeline'):
        OmniVLInferencer(wider, world.checkpoint, device='cpu').retrieve('w1', inferencer.build_gallery(['w2']))
    with pytest.raises(StaleIndexError, match='another test pipeline'):
        OmniVLInferencer(wider, world.checkpoint, device='cpu').load_gallery(tmp_path / 'index')
    # What features do not depend on may differ.
    weights = torch.load(world.checkpoint)['state_dict']
    weights['trunk.matching_head.bias'] += 1
    torch.save(dict(state_dict=weights), tmp_path / 'head.pth')
    OmniVLInferencer(world.config, tmp_path / 'head.pth', device='cpu').load_gallery(tmp_path / 'index')


def test_damaged_indices(tmp_path, inferencer, files):
    with pytest.raises(FileNotFoundError, match='is no index'):
        inferencer.load_gallery(tmp_path)
    index = tmp_path / 'index'
    inferencer.build_gallery(files).save(index)
    content = json.loads((index / 'index.json').read_text())
    for text, message in [
        (json.dumps(content)[:-9], 'is damaged'),
        (json.dumps(content | dict(version=7)), 'is an index of version 7'),
        ('[]', 'is an index of version None'),
        (
            json.dumps(content | dict(model='other')),
            'index.json is damaged: its checksum is wrong; make the index anew',
        ),
    ]:
        (index / 'index.json').write_text(text)
        with pytest.raises(ValueError, match=message):
            Gallery.load(index)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(features='0'), 'is damaged or of another index'),
        (dict(kind='sound'), r"index.kind is 'sound', not 'visual' or 'text'"),
        (dict(kind=None), 'index.kind is missing or no str'),
        (dict(folders=[]), 'index.folders is missing or no dict'),
        (dict(folders=dict(a='b')), 'index.folders.a is missing or no int'),
        (dict(files=dict(a=dict(size=1, time_ns=True))), 'index.files.a.time_ns is missing or no int'),
        (dict(errors=[3]), 'index.errors.0 is missing or no dict'),
        (dict(entries=3), 'index.entries is missing or no list'),
        (dict(entries=[dict(name='a')]), 'index.entries.0.modality is missing or no str'),
        (dict(entries=[dict(name='a', modality='smell')]), 'index.entries.0.modality is none of image, video'),
        (dict(entries=[dict(name='a', modality='image')]), 'does not hold float32 features of 1 entries'),
    ],
)
def test_indices_with_a_right_checksum_of_wrong_content(tmp_path, inferencer, world, changes, message):
    inferencer.build_gallery(world.images).save(tmp_path)
    content = json.loads((tmp_path / 'index.json').read_text())
    del content['sha256']
    content |= changes
    content = {key: value for key, value in content.items() if value is not None}
    (tmp_path / 'index.json').write_text(json.dumps(content | dict(sha256=content_sha256(content))))
    with pytest.raises(ValueError, match=message) as caught:
        Gallery.load(tmp_path)
    assert isinstance(caught.value, OmniVLError)


def test_features_that_are_none(tmp_path, inferencer, world):
    inferencer.build_gallery(world.images).save(tmp_path)
    (tmp_path / 'features.safetensors').write_bytes(b'nothing')
    content = json.loads((tmp_path / 'index.json').read_text())
    del content['sha256']
    content['features'] = hashlib.sha256(b'nothing').hexdigest()
    (tmp_path / 'index.json').write_text(json.dumps(content | dict(sha256=content_sha256(content))))
    with pytest.raises(ValueError, match=r'features.safetensors is no safetensors file .*make the index anew'):
        Gallery.load(tmp_path)


def test_a_changed_bit_of_an_index_is_noticed(tmp_path, inferencer, world, each_flip):
    gallery = inferencer.build_gallery(world.images)
    gallery.save(tmp_path)
    noticed = 0
    for place in each_flip(list(tmp_path.iterdir()), 200):
        try:
            loaded = Gallery.load(tmp_path)
        except OmniVLError:
            noticed += 1
        else:
            assert np.array_equal(loaded.features, gallery.features) and loaded.files == gallery.files, place
            assert loaded.names == gallery.names and loaded.visuals == gallery.visuals, place
    assert noticed >= 190


def test_what_was_broken_stays_named(tmp_path, inferencer, files):
    (files / 'broken.png').write_bytes(b'nothing')
    left_out = inferencer.retrieve('w1', files)['left_out']
    assert [row['input'] for row in left_out] == [str(files / 'broken.png')] and 'error' in left_out[0]
    inferencer.build_gallery(files).save(tmp_path / 'index')
    assert inferencer.retrieve('w1', tmp_path / 'index')['left_out'] == left_out


def test_galleries_of_texts_and_of_what_is_in_memory(tmp_path, world, inferencer):
    texts = ['w1 w2', 'w3', 'W5.']
    inferencer.build_gallery(texts).save(tmp_path / 'texts')
    found = inferencer.retrieve(world.images, tmp_path / 'texts', k=3, rerank=2)
    assert found == inferencer.retrieve(world.images, texts, k=3, rerank=2)
    assert {row['text'] for row in found[0]['results']} == {'w1 w2', 'w3', 'w5'}
    assert inferencer.retrieve('w3', texts, k=1)['results'][0]['text'] == 'w3'
    pictures = inferencer.build_gallery([picture(1, 40, 40), picture(2, 40, 40)])
    assert len(inferencer.retrieve('w1', pictures, rerank=2)['results']) == 2
    pictures.save(tmp_path / 'pictures')
    found = inferencer.retrieve('w1', tmp_path / 'pictures')
    assert {row['input'] for row in found['results']} == {'#0', '#1'}
    with pytest.raises(ValueError, match='a saved index does not hold what was in memory'):
        inferencer.retrieve('w1', tmp_path / 'pictures', rerank=2)


def test_a_gallery_shows_what_it_holds_and_no_vectors():
    names = [f'{number}.jpg' for number in range(1000)]
    shown = repr(Gallery('visual', np.zeros((1000, 64), np.float32), names, 'a' * 64))
    assert shown == "Gallery(1000 visuals x 64: '0.jpg', '1.jpg', '2.jpg', ...; 0 errors)"
