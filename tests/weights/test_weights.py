"""Readers of weights: what is filled, what is listed, what is refused."""

import os

import pytest
import timm
import torch

from omnivl.storage.checkpoint import CheckpointError, save_checkpoint, write_last_checkpoint
from omnivl.weights import load_weights


def small_vit(**options):
    torch.manual_seed(0)
    config = dict(img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=3) | options
    return timm.models.VisionTransformer(**config)


def test_timm_weights_fill_image_and_video_path_alike(tiny_model, tmp_path):
    vit = small_vit()
    torch.save(vit.state_dict(), tmp_path / 'vit.pth')
    model = tiny_model(shake=True)
    (report,) = load_weights(model, dict(type='TimmViTReader', file=str(tmp_path / 'vit.pth')))
    assert report.left == [] and report.unused == ['head.bias', 'head.weight']
    block = model.trunk.visual_encoder.blocks[1]
    assert torch.equal(block.attention_space.qkv.weight, vit.blocks[1].attn.qkv.weight)
    assert torch.equal(block.attention_time.qkv.weight, vit.blocks[1].attn.qkv.weight)
    assert torch.equal(block.norm_time.weight, vit.blocks[1].norm1.weight)
    assert not block.attention_time.proj.weight.any()
    image = torch.randn(2, 1, 3, 32, 32)
    with torch.no_grad():
        expected = model.trunk.visual_encoder(image, 'image').pooled
        assert torch.allclose(
            model.trunk.visual_encoder(image.expand(-1, 5, -1, -1, -1), 'video').pooled, expected, atol=1e-5
        )
        average = model.momentum_encoder.averages['visual_encoder'](image, 'image').pooled
    assert torch.equal(average, expected)


def test_timm_weights_of_another_resolution_are_interpolated(tiny_model, tmp_path):
    torch.save(small_vit(img_size=48).state_dict(), tmp_path / 'vit.pth')
    (report,) = load_weights(tiny_model(), dict(type='TimmViTReader', file=str(tmp_path / 'vit.pth')))
    assert 'visual_encoder.pos_embed' in report.filled


def test_the_report_names_every_key(tiny_model, tmp_path):
    weights = small_vit().state_dict()
    del weights['norm.bias']
    torch.save(weights, tmp_path / 'vit.pth')
    source = dict(type='timm', file=str(tmp_path / 'vit.pth'))
    with pytest.raises(
        ValueError, match=r'no value for 1 keys of the model: visual_encoder.norm.bias. Without .* else: take'
    ):
        load_weights(tiny_model(), source)
    model = tiny_model()
    (report,) = load_weights(model, dict(source, allow=['visual_encoder.norm.*']))
    assert report.left == ['visual_encoder.norm.bias']
    everything = [
        key.removeprefix('trunk.') for key in model.state_dict() if not key.startswith(('momentum_encoder.', 'queues.'))
    ]
    assert sorted(report.filled + report.left + report.elsewhere) == sorted(everything)
    text = str(report)
    assert 'left at its initial value: visual_encoder.norm.bias' in text
    assert 'not used: head.weight' in text
    assert 'not what the source is about: text_encoder, alignment_decoder' in text
    rows = {line.split()[0]: line.split()[1:] for line in report.table().splitlines()}
    assert rows['visual_encoder'] == ['44', '1'] and rows['text_encoder'] == ['0', '28']
    assert rows['head'] == ['(source)', '2'] and rows['total'] == ['44', '129', '2']


@pytest.mark.parametrize('change', [dict(embed_dim=32), dict(patch_size=16)])
def test_another_size_is_an_error_that_changes_nothing(change, tiny_model, tmp_path):
    torch.save(small_vit(**change).state_dict(), tmp_path / 'vit.pth')
    model = tiny_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=r'is of another size than the model .*got \('):
        load_weights(model, dict(type='TimmViTReader', file=str(tmp_path / 'vit.pth')))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_more_blocks_than_the_model_and_unwanted_keys_are_errors(tiny_model, tmp_path):
    torch.save(small_vit(depth=3).state_dict(), tmp_path / 'deep.pth')
    with pytest.raises(ValueError, match=r"the model has no \['visual_encoder.blocks.2"):
        load_weights(tiny_model(), dict(type='TimmViTReader', file=str(tmp_path / 'deep.pth')))
    torch.save(small_vit().state_dict() | {'aux.weight': torch.zeros(2)}, tmp_path / 'vit.pth')
    source = dict(type='timm', file=str(tmp_path / 'vit.pth'))
    with pytest.raises(ValueError, match=r'1 keys without a place in the model: aux.weight. If they may be left out'):
        load_weights(tiny_model(), source)
    load_weights(tiny_model(), dict(source, allow='aux.*'))
    load_weights(tiny_model(), dict(source, allow_unused=True))
    torch.save(small_vit(depth=1).state_dict(), tmp_path / 'vit.pth')
    with pytest.raises(ValueError, match=r'no value for 12 keys of the model: visual_encoder.\* \(12 keys\)'):
        load_weights(tiny_model(), source)
    torch.save(dict(something=torch.zeros(2)), tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=r"does not fit TimmViTReader: its keys are \['something'\]"):
        load_weights(tiny_model(), dict(type='TimmViTReader', file=str(tmp_path / 'other.pth')))


class Malicious:
    def __reduce__(self):
        return os.system, ('touch /tmp/omnivl_was_here',)


def test_a_pickle_with_code_and_a_missing_file_are_refused(tiny_model, tmp_path):
    torch.save(dict(state_dict=Malicious()), tmp_path / 'evil.pth')
    with pytest.raises(CheckpointError, match='refused'):
        load_weights(tiny_model(), dict(type='TimmViTReader', file=str(tmp_path / 'evil.pth')))
    assert not os.path.exists('/tmp/omnivl_was_here')
    with pytest.raises(FileNotFoundError, match='no checkpoint'):
        load_weights(tiny_model(), dict(type='BERTReader', file=str(tmp_path / 'none.pth')))


@pytest.mark.parametrize('start_video', [True, False])
def test_next_stage_takes_weights_but_neither_momentum_encoder_nor_queues(
    start_video, tiny_model, random_batch, tmp_path
):
    first = tiny_model(shake=True)
    first.loss(random_batch())
    save_checkpoint(dict(state_dict=first.state_dict()), tmp_path / 'iter_3.pth')
    write_last_checkpoint(tmp_path, tmp_path / 'iter_3.pth')
    second = tiny_model(seed=5)
    source = dict(type='StageReader', file=str(tmp_path), start_video_from_image=start_video)
    (report,) = load_weights(second, source)
    assert report.left == [] and report.unused == []
    assert torch.equal(second.trunk.text_proj.weight, first.trunk.text_proj.weight)
    assert torch.equal(second.trunk.temperature.value, first.trunk.temperature.value)
    assert int(second.queues.fill) == 0
    assert torch.equal(second.momentum_encoder.averages['text_proj'].weight, first.trunk.text_proj.weight)
    projection = second.trunk.visual_encoder.blocks[0].attention_time.proj.weight
    if start_video:
        assert not projection.any()
    else:
        assert torch.equal(projection, first.trunk.visual_encoder.blocks[0].attention_time.proj.weight)


def test_next_stage_without_a_first_one_says_so(tiny_model, tmp_path):
    with pytest.raises(FileNotFoundError, match='train that stage first'):
        load_weights(tiny_model(), dict(type='StageReader', file=str(tmp_path)))
