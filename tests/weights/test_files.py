"""Where weights come from: files, folders, the hub; and what is wrong with those that cannot be read."""

import json
import os

import pytest
import torch
from foreign import blip, omnivl, original_layout

from omnivl.registry import WEIGHT_READERS
from omnivl.storage.checkpoint import BrokenCheckpointError, CheckpointError
from omnivl.weights import load_weights

NAMES = ['timm', 'bert', 'timesformer', 'blip', 'clip']


class Malicious:
    def __reduce__(self):
        return os.system, ('touch /tmp/omnivl_foreign_was_here',)


def load(vocab_file, file, name='blip', **options):
    return load_weights(omnivl(vocab_file, **options), dict(type=name, file=str(file)))


def test_every_reader_has_its_short_name():
    classes = [WEIGHT_READERS.get(name).__name__ for name in [*NAMES, 'stage']]
    assert classes == [
        'TimmViTReader', 'BERTReader', 'TimeSformerReader', 'BLIPReader', 'CLIPVisionReader', 'StageReader',
    ]  # fmt: skip
    assert all(WEIGHT_READERS.get(name) is WEIGHT_READERS.get(short) for name, short in zip(classes, NAMES))


@pytest.mark.parametrize('name', NAMES)
def test_missing_broken_and_unsafe_files(name, vocab_file, tmp_path):
    with pytest.raises(FileNotFoundError, match='there is no checkpoint'):
        load(vocab_file, tmp_path / 'none.pth', name)
    with pytest.raises(FileNotFoundError, match=r'has none of .*model.safetensors.* it holds \[\]'):
        load(vocab_file, tmp_path, name)
    torch.save(dict(model=Malicious()), tmp_path / 'evil.pth')
    with pytest.raises(CheckpointError, match='refused'):
        load(vocab_file, tmp_path / 'evil.pth', name)
    assert not os.path.exists('/tmp/omnivl_foreign_was_here')
    (tmp_path / 'page.pth').write_text('<html>404</html>')
    with pytest.raises(CheckpointError, match='is not a checkpoint'):
        load(vocab_file, tmp_path / 'page.pth', name)


@pytest.mark.parametrize('share', [0.3, 0.99])
def test_a_truncated_download_is_told(share, vocab_file, tmp_path):
    reference = blip('caption', 0)
    reference.save_pretrained(tmp_path)
    torch.save(dict(model=original_layout(reference)), tmp_path / 'model.pth')
    for name, message in (('model.safetensors', 'cut off or no safetensors file'), ('model.pth', 'is cut off')):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        with pytest.raises(BrokenCheckpointError, match=message):
            load(vocab_file, path)


def test_a_damaged_config_beside_the_weights_is_told(vocab_file, tmp_path):
    blip('caption', 0).save_pretrained(tmp_path)
    (tmp_path / 'config.json').write_text('{"vision_config": ')
    with pytest.raises(ValueError, match=r'config.json is no JSON file'):
        load(vocab_file, tmp_path)


def test_other_pixel_statistics_are_noted(vocab_file, tmp_path):
    blip('caption', 0).save_pretrained(tmp_path)
    pixels = dict(image_mean=[0.5, 0.5, 0.5], image_std=[0.26862954, 0.26130258, 0.27577711])
    (tmp_path / 'preprocessor_config.json').write_text(json.dumps(pixels))
    (report,) = load(vocab_file, tmp_path, encoder=dict(norm_eps=1e-5))
    (note,) = report.notes
    assert note.startswith('pixels were normalised with mean [0.5, 0.5, 0.5] there, here with [0.4814')
