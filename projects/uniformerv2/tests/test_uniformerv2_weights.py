"""Weights of others: every key is used or listed, the numbers are theirs, and what does not fit is refused."""

import json

import pytest
import torch
from transformers import CLIPVisionConfig, CLIPVisionModel
from uniformer_world import (
    DEPTH,
    HEADS,
    KINDS,
    MOTION,
    PATCH,
    SCENE,
    SIZE,
    WIDTH,
    make_classifier,
    published_weights,
    stage_trunk,
)

from omnivl.registry import MODELS
from omnivl.storage.checkpoint import CheckpointError
from omnivl.structures import VLBatch
from omnivl.weights import load_weights
from projects.uniformerv2.weights import UniFormerV2FromCLIP, UniFormerV2FromStage, UniFormerV2Reader

quiet = dict(show=len)


def logits(model):
    frames = torch.randn(2, 4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        return model.classify(VLBatch({'video': frames}))


@pytest.fixture
def saved(tmp_path):
    def save(model, dialect='opengvlab', wrap=dict):
        torch.save(wrap(published_weights(model, dialect)), tmp_path / 'published.pyth')
        return str(tmp_path / 'published.pyth')

    return save


@pytest.mark.parametrize('dialect', ['opengvlab', 'mmaction'])
@pytest.mark.parametrize('kind', KINDS)
def test_published_weights_give_their_logits_and_every_key_is_used(saved, kind, dialect):
    source, model = make_classifier(**KINDS[kind]), make_classifier(seed=1, **KINDS[kind])
    (report,) = load_weights(model, dict(type=UniFormerV2Reader, file=saved(source, dialect)), **quiet)
    assert report.left == report.unused == report.elsewhere == []
    assert torch.allclose(logits(model), logits(source), atol=1e-6)


def test_a_checkpoint_of_pyslowfast_has_its_weights_in_model_state(saved):
    source, model = make_classifier(), make_classifier(seed=1)
    file = saved(source, wrap=lambda weights: dict(epoch=3, model_state=weights, cfg='a: 1'))
    load_weights(model, dict(type=UniFormerV2Reader, file=file), **quiet)
    assert torch.allclose(logits(model), logits(source), atol=1e-6)


def test_a_label_map_picks_the_rows_of_the_head(saved, tmp_path):
    source, model = make_classifier(), make_classifier(seed=1, num_classes=3)
    (tmp_path / 'map.json').write_text('[4, 0, 2]')
    reader = dict(type=UniFormerV2Reader, file=saved(source), label_map=str(tmp_path / 'map.json'))
    load_weights(model, reader, **quiet)
    assert torch.allclose(logits(model), logits(source)[:, [4, 0, 2]], atol=1e-6)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([4, 0], r'has 2 entries, the model 3 classes \(set model.num_classes\)'),
        ([4, 0, 5], 'expected the index of one of 5 classes, got 5'),
        ({'a': 1}, 'expected a JSON list of class indices'),
        (None, r"the label map '.*map.json' does not exist; set label_map"),
    ],
)
def test_a_wrong_label_map_is_refused(saved, tmp_path, content, message):
    if content is not None:
        (tmp_path / 'map.json').write_text(json.dumps(content))
    reader = dict(type=UniFormerV2Reader, file=saved(make_classifier()), label_map=str(tmp_path / 'map.json'))
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_weights(make_classifier(num_classes=3), reader, **quiet)


def test_without_a_map_a_head_of_another_set_starts_anew(saved):
    model = make_classifier(seed=1, num_classes=3)
    head = model.head.weight.clone()
    (report,) = load_weights(model, dict(type=UniFormerV2Reader, file=saved(make_classifier())), **quiet)
    assert report.elsewhere == ['head.weight', 'head.bias'] and torch.equal(model.head.weight, head)


@pytest.mark.parametrize(
    ('theirs', 'ours', 'message'),
    [
        (MOTION, SCENE, 'num_local is 2 there and 0 in the model; time_kernel is 3 there and 1'),
        (SCENE, dict(global_layers=(2,)), 'global_blocks is 2 there and 1 in the model'),
        (SCENE, dict(global_layers=(1, 2), frozen=True), r'does not fit UniFormerV2Reader: the model has no .*gate'),
        (KINDS['frozen'], SCENE, 'has no value for 1 keys of the model: visual_encoder.gate'),
    ],
)
def test_weights_of_another_kind_are_refused(saved, theirs, ours, message):
    with pytest.raises(ValueError, match=message):
        load_weights(
            make_classifier(**ours), dict(type=UniFormerV2Reader, file=saved(make_classifier(**theirs))), **quiet
        )


def test_other_models_and_other_files_are_refused(saved, tmp_path):
    reader = dict(type=UniFormerV2Reader, file=saved(make_classifier()))
    with pytest.raises(ValueError, match='UniFormerV2Reader fills a UniFormerV2, the model has a UnifiedVisualEncoder'):
        load_weights(MODELS.build(dict(type='TrunkModel', trunk=stage_trunk(()))), reader, **quiet)
    torch.save({'fc.weight': torch.ones(2, 2)}, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='global_blocks is 0 there and 2 in the model; time_kernel is None there'):
        load_weights(make_classifier(**SCENE), dict(reader, file=str(tmp_path / 'other.pth')), **quiet)
    (tmp_path / 'broken.pyth').write_bytes((tmp_path / 'published.pyth').read_bytes()[:1000])
    with pytest.raises(CheckpointError, match='is cut off'):
        load_weights(make_classifier(**SCENE), dict(reader, file=str(tmp_path / 'broken.pyth')), **quiet)


@pytest.fixture
def clip(tmp_path):
    """CLIP's vision tower of the size of our model, and the file that it was saved to."""
    torch.manual_seed(3)
    config = CLIPVisionConfig(
        hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS,
        image_size=SIZE, patch_size=PATCH,
    )  # fmt: skip
    tower = CLIPVisionModel(config).eval()
    torch.save(tower.state_dict(), tmp_path / 'clip.pth')
    return tower, str(tmp_path / 'clip.pth')


def openai_keys(state):
    """Hugging Face's keys of the tower as OpenAI's, by replacing, with queries, keys and values in one."""
    names = {
        'vision_model.': 'visual.', 'embeddings.class_embedding': 'class_embedding', 'pre_layrnorm': 'ln_pre',
        'embeddings.position_embedding.weight': 'positional_embedding', 'post_layernorm': 'ln_post',
        'embeddings.patch_embedding': 'conv1', 'encoder.layers': 'transformer.resblocks', 'layer_norm1': 'ln_1',
        'layer_norm2': 'ln_2', 'self_attn.out_proj': 'attn.out_proj', 'mlp.fc1': 'mlp.c_fc', 'mlp.fc2': 'mlp.c_proj',
    }  # fmt: skip
    found = {}
    for key, value in state.items():
        for theirs, other in names.items():
            key = key.replace(theirs, other)
        found[key if key.startswith('visual.') else f'visual.{key}'] = value
    for index in range(DEPTH):
        at = f'visual.transformer.resblocks.{index}.'
        for kind in ('weight', 'bias'):
            parts = [found.pop(f'{at}self_attn.{name}_proj.{kind}') for name in 'qkv']
            found[f'{at}attn.in_proj_{kind}'] = torch.cat(parts)
    return {key: value for key, value in found.items() if 'position_ids' not in key}


@pytest.mark.parametrize('kind', ['scene', 'motion'])
@pytest.mark.parametrize('layout', ['hugging face', 'openai'])
def test_from_clip_it_starts_as_the_mean_of_clips_frames(clip, tmp_path, kind, layout):
    tower, file = clip
    if layout == 'openai':
        weights = openai_keys(tower.state_dict())
        torch.save(weights | {'visual.proj': torch.ones(WIDTH, 4), 'logit_scale': torch.ones(())}, file)
    model = make_classifier(shake=False, **KINDS[kind])
    (report,) = load_weights(model, dict(type=UniFormerV2FromCLIP, file=file), **quiet)
    assert {key.split('.')[1] for key in report.left} <= {'query', 'gate', 'norm', 'global_blocks', 'blocks'}
    assert not [key for key in report.left if key.startswith('visual_encoder.blocks') and 'relations' not in key]
    frames = torch.randn(1, 1, 3, SIZE, SIZE).expand(2, 4, -1, -1, -1)  # still, so that the centre slice is all
    with torch.no_grad():
        states = tower(frames[:, 0]).last_hidden_state[:, 0]  # before CLIP's last norm
        got = model.encode(VLBatch({'video': frames})).pooled
    assert torch.allclose(got, model.trunk.visual_encoder.norm(states / 2), atol=1e-5)


def test_clips_positions_are_fitted_to_another_resolution(clip):
    model = make_classifier(image_size=48)
    load_weights(model, dict(type=UniFormerV2FromCLIP, file=clip[1]), **quiet)
    assert model.trunk.visual_encoder.pos_embed.shape == (1, 1 + 36, WIDTH)


def test_the_image_stage_gives_its_vector_of_an_image(tmp_path):
    torch.manual_seed(4)
    stage = MODELS.build(dict(type='TrunkModel', trunk=stage_trunk((8,)))).eval()
    torch.save(dict(state_dict=stage.state_dict()), tmp_path / 'stage.pth')
    tokenizer = dict(patch_size=8, time_kernel=3, time_stride=2, stem_channels=(8,), bias=True)
    own = dict(width=16, depth=2, num_heads=2, norm_eps=1e-6, pre_norm=False, activation='gelu')
    model = make_classifier(tokenizer=tokenizer, global_layers=(), num_local=1, shake=False, **own)
    (report,) = load_weights(model, dict(type=UniFormerV2FromStage, file=str(tmp_path / 'stage.pth')), **quiet)
    assert all('.relations.' in key for key in report.left) and any('text_encoder' in key for key in report.unused)
    image = torch.randn(2, 1, 3, 32, 32)
    with torch.no_grad():
        expected = stage.encode(VLBatch({'image': image})).pooled
        assert torch.allclose(model.encode(VLBatch({'image': image})).pooled, expected, atol=1e-5)
