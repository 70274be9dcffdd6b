"""UniFormerV2: its numbers by hand, where it starts, what it sees of the order, what is trained."""

import pytest
import torch
import torch.nn.functional as F
from uniformer_world import KINDS, MOTION, SCENE, SIZE, WIDTH, make_classifier, naive_vector

import projects.uniformerv2.model  # noqa: F401 (registers the encoder)
from omnivl.commands.export.graphs import Classifier
from omnivl.registry import MODELS
from omnivl.structures import VLBatch


def clips(count=2, frames=4, size=SIZE):
    return torch.randn(count, frames, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize('kind', KINDS)
def test_it_computes_what_is_written_down_step_by_step(kind):
    model = make_classifier(**KINDS[kind])
    with torch.no_grad():
        got = model.encode(VLBatch({'video': clips()})).pooled
        expected = torch.stack([naive_vector(model, clip) for clip in clips()])
    assert torch.allclose(got, expected, atol=2e-5)


@pytest.mark.parametrize('kind', ['scene', 'motion', 'one local relation'])
def test_at_its_start_it_is_the_frame_mean_exactly(kind):
    model = make_classifier(shake=False, **KINDS[kind]).trunk.visual_encoder
    mean = make_classifier(shake=False, **KINDS[kind] | dict(global_layers=(), num_local=0)).trunk.visual_encoder
    missing, unexpected = mean.load_state_dict(model.state_dict(), strict=False)
    assert not missing and all(
        key.startswith(('global_blocks', 'query', 'gate')) or 'relations' in key for key in unexpected
    )
    with torch.no_grad():
        tokens, _ = mean.embed(clips())
        for block in mean.blocks:
            tokens = block(tokens)
        frames = tokens[:, :, 0].mean(dim=1)
        # One half of it, to the last bit, which the norm takes out again.
        assert torch.equal(model(clips(), 'video').pooled, model.norm(frames / 2))
        assert torch.equal(mean(clips(), 'video').pooled, mean.norm(frames))


def test_the_frame_mean_does_not_see_the_order_and_each_new_part_does():
    backwards = clips().flip(1)
    for changes, sees in (
        (dict(global_layers=(), num_local=0), False),
        (dict(global_layers=(2,)), True),
        (dict(global_layers=(), num_local=1), True),
    ):
        encoder = make_classifier(**changes).trunk.visual_encoder
        with torch.no_grad():
            same = torch.allclose(encoder(clips(), 'video').pooled, encoder(backwards, 'video').pooled, atol=1e-5)
        assert same is not sees, changes


def test_the_stem_halves_the_time_of_motion_and_any_size_goes_through():
    scene, motion = (make_classifier(**kind).trunk.visual_encoder for kind in (SCENE, MOTION))
    for encoder, times in ((scene, (1, 5, 6)), (motion, (1, 3, 3))):
        for frames, time in zip((1, 5, 6), times):
            features = encoder(clips(1, frames, 48), 'image' if frames == 1 else 'video')
            assert features.tokens.shape == (1, time * (1 + 36), WIDTH) and features.pooled.shape == (1, WIDTH)
    assert scene.image_size == (SIZE, SIZE)


@pytest.mark.parametrize('kind', ['scene', 'motion'])
def test_it_becomes_a_graph_of_any_batch_and_number_of_frames(kind):
    """Traced for one size and run at another."""
    tower = Classifier(make_classifier(**KINDS[kind]), 'video')
    first, other = ((torch.rand(*sizes, 3, SIZE, SIZE) * 255).byte() for sizes in ((3, 4), (2, 6)))
    free = dict(pixels={0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO})
    with torch.no_grad():
        program = torch.export.export(tower, (), dict(pixels=first), dynamic_shapes=free, strict=False).module()
        assert torch.allclose(program(pixels=other)[0], tower(other)[0], atol=1e-5)


def test_frozen_trains_global_blocks_and_head_alone():
    model = make_classifier(**KINDS['frozen'] | dict(num_local=1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    batch = VLBatch({'video': clips()}, labels=torch.tensor([0, 1]))
    model.train().loss(batch)['loss_class'].backward()
    optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    encoder = 'trunk.visual_encoder.'
    expected = (f'{encoder}global_blocks', f'{encoder}query', f'{encoder}norm', 'head')
    assert changed and all(name.startswith(expected) for name in changed)
    assert {name for name, p in model.named_parameters() if p.grad is not None} == {
        name for name, _ in model.named_parameters() if name.startswith(expected)
    }


def test_recomputing_changes_neither_gradients_nor_statistics():
    models = [make_classifier(**MOTION, activation_checkpointing=again).train() for again in (False, True, 'selective')]
    for model in models:
        model.loss(VLBatch({'video': clips()}, labels=torch.tensor([0, 1])))['loss_class'].backward()
    for model in models[1:]:
        for (name, one), other in zip(models[0].named_parameters(), model.parameters()):
            assert torch.allclose(one.grad, other.grad, atol=1e-6), name
        assert all(torch.equal(one, other) for one, other in zip(models[0].buffers(), model.buffers()))


def test_half_precision_gives_nearly_the_same_and_trains():
    model = make_classifier(**MOTION)
    batch = VLBatch({'video': clips()}, labels=torch.tensor([0, 1]))
    exact = model.classify(batch)
    with torch.autocast('cpu', torch.bfloat16):
        assert F.cosine_similarity(model.classify(batch).float(), exact).min() > 0.99
    for _ in range(20):
        # What is freed here is what comes next: a gradient that is not written everywhere has some of it.
        for size in (64, 1000, 5000, 20_000, 100_000):
            torch.full((size,), torch.nan)
        model.zero_grad()
        with torch.autocast('cpu', torch.bfloat16):
            model.train().loss(batch)['loss_class'].backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(num_local=3), 'num_local must be 0, 1 or 2, got 3'),
        (dict(global_layers=(1, 3)), r'global_layers must be numbers of blocks in \[0, 2\], ascending, got \[1, 3\]'),
        (dict(global_layers=(2, 1)), r'ascending, got \[2, 1\]'),
        (dict(global_layers=(), frozen=True), 'global_layers has none: name blocks, or set frozen=False'),
    ],
)
def test_a_wrong_choice_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make_classifier(**changes)


def test_a_task_with_texts_needs_another_trunk():
    trunk = make_classifier().trunk
    assert set(trunk.parts) == {'visual_encoder'}
    config = dict(
        type='OmniVLCaption', trunk=dict(type='VisualTrunk', visual_encoder=dict(type='UniFormerV2', tokenizer={}))
    )
    with pytest.raises(
        ValueError, match=r"the task needs the parts \['generation_decoder'\], which a VisualTrunk does not"
    ):
        MODELS.build(config)
