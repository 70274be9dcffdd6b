"""Published checkpoints, separate, shared and finetuned, fill our parts; what does not fit is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
import vatt_checkpoint
from vatt_world import BACKBONE, make_batch, make_model, trunk_config

from omnivl.errors import OmniVLError
from omnivl.models import OmniVLClassifier
from omnivl.weights import load_weights
from projects.vatt.model.layers import resize_table
from projects.vatt.tensor_bundle import read_floats
from projects.vatt.weights import VATTReader


def fill(model, file, **options):
    (report,) = load_weights(model, dict(type='VATTReader', file=file, **options), show=len)
    return report


def part_state(model):
    return model.trunk.state_dict()


@pytest.mark.parametrize(('shared', 'make'), [(False, 'separate'), (True, 'unified')])
@torch.no_grad()
def test_a_pretraining_comes_back_as_it_was(shared, make, tmp_path):
    source, target = make_model(shared=shared), make_model(seed=1, shared=shared)
    file = vatt_checkpoint.write(tmp_path / 'weights', getattr(vatt_checkpoint, make)(part_state(source)))
    report = fill(target, file)
    assert not report.unused and all(key.endswith('num_batches_tracked') for key in report.left + report.elsewhere)
    for name, value in source.loss(make_batch()).items():
        assert target.loss(make_batch())[name].item() == pytest.approx(value.item(), rel=1e-5)


def classifier(**changes):
    visual = dict(trunk_config()['visual_encoder'], **changes)
    return OmniVLClassifier(trunk=dict(type='VisualTrunk', visual_encoder=visual), num_classes=3)


@torch.no_grad()
def test_a_classifier_takes_the_video_part_and_a_finetuned_one_its_head(tmp_path):
    batch = make_batch()
    for shared, make, changes in ((False, 'separate', {}), (True, 'unified', dict(projected=16))):
        source = make_model(shared=shared)
        file = vatt_checkpoint.write(tmp_path / 'pretrained', getattr(vatt_checkpoint, make)(part_state(source)))
        tuned = classifier(**changes).eval()
        report = fill(tuned, file)
        assert all(key.startswith('head.') for key in report.left + report.elsewhere)
        assert torch.allclose(tuned.encode(batch).pooled, source.encode(batch).pooled, atol=1e-5)
    tuned = classifier()
    file = vatt_checkpoint.write(tmp_path / 'tuned', vatt_checkpoint.finetuned(tuned.state_dict()))
    other = classifier().eval()
    assert not fill(other, file).left
    assert torch.equal(other.classify(batch), tuned.eval().classify(batch))


@torch.no_grad()
def test_positions_of_another_length_are_interpolated(tmp_path):
    source = make_model()
    file = vatt_checkpoint.write(tmp_path / 'weights', vatt_checkpoint.separate(part_state(source)))
    audio = dict(trunk_config()['audio_encoder'], grid=(8,))
    target = make_model(seed=1, audio_encoder=audio)
    fill(target, file)
    key = 'audio_encoder.positions.pos_embed.0'
    assert torch.allclose(part_state(target)[key], resize_table(part_state(source)[key], 8))


def test_what_does_not_fit_gets_its_line(tmp_path):
    source = make_model()
    content = vatt_checkpoint.separate(part_state(source))
    for change, message in (
        (dict(keep=lambda name: 'layers/1/mha/o' not in name), 'has no value for'),
        (dict(add={'_base_layer/vid_backbone/_base/mask_embedding': torch.zeros(3)}), 'without a place'),
    ):
        kept = {name: value for name, value in content.items() if change.get('keep', bool)(name)}
        file = vatt_checkpoint.write(tmp_path / 'other', kept | change.get('add', {}))
        with pytest.raises(OmniVLError, match=message):
            fill(make_model(), file)
    deeper = make_model(visual_encoder=dict(trunk_config()['visual_encoder'], backbone=dict(BACKBONE, width=16)))
    with pytest.raises(OmniVLError, match='of another size'):
        fill(deeper, vatt_checkpoint.write(tmp_path / 'whole', content))
    (tmp_path / 'weights.pth').write_bytes(b'')
    with pytest.raises(OmniVLError, match='is not the'):
        VATTReader(str(tmp_path / 'weights.pth')).read_file()


def test_a_damaged_checkpoint_gets_its_line(tmp_path):
    arrays = {f'part/{number}': np.full((number, 2), number, np.float32) for number in range(1, 20)}
    file = Path(vatt_checkpoint.write_bundle(tmp_path / 'ckpt', arrays | dict(step=np.array(3))))
    found = read_floats(file)
    assert found.keys() == arrays.keys() and all(np.array_equal(found[name], arrays[name]) for name in arrays)
    content, data = file.read_bytes(), file.with_name('ckpt.data-00000-of-00001')
    for changed in (content[:-9], b'', content[:40] + b'\xff' * 60 + content[100:]):
        file.write_bytes(changed)
        with pytest.raises(OmniVLError, match='index of a TensorFlow checkpoint'):
            read_floats(file)
    file.write_bytes(content)
    data.write_bytes(data.read_bytes()[:-20])
    with pytest.raises(OmniVLError, match='cut short'):
        read_floats(file)
    data.unlink()
    with pytest.raises(OmniVLError, match='needs ckpt'):
        read_floats(file)
    file.unlink()
    with pytest.raises(OmniVLError, match='no file'):
        read_floats(file)
