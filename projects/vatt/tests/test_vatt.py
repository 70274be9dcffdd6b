"""The model against what it computes written down naively, and its laws."""

import numpy as np
import pytest
import torch
from vatt_world import BACKBONE, SIZE, Naive, make_batch, make_model, naive_nce, trunk_config, without_dropout

from omnivl.errors import OmniVLError
from omnivl.models.interfaces import Contrasts, offered_by
from omnivl.models.layers import drop_tokens
from omnivl.registry import MODELS
from omnivl.structures import VLBatch
from projects.vatt.data import CandidatePreprocessor
from projects.vatt.losses import nce_loss
from projects.vatt.model import VATTPretrain
from projects.vatt.model.layers import SplinePositions, resize_table, spline_weights
from projects.vatt.model.t5 import relative_buckets


def own_words(batch):
    return [row[real].tolist() for row, real in zip(batch.text_ids, batch.text_mask)]


@pytest.mark.parametrize('shared', [False, True])
@torch.no_grad()
def test_every_vector_is_that_of_the_naive_reference(shared):
    model, batch = make_model(shared=shared), make_batch()
    trunk, naive = model.trunk, Naive(model.trunk)
    video = trunk.encode(batch).pooled
    sound = trunk.encode_audio(batch).pooled
    texts = trunk.encode_text(*batch.texts).pooled
    for index, frames in enumerate(batch.frames):
        expected = naive.video(frames)
        assert torch.allclose(video[index], expected, atol=1e-4)
        fine = trunk.video_to_fine(video)[index]
        assert torch.allclose(fine, naive.fine(expected), atol=1e-4)
        assert torch.allclose(trunk.fine_to_coarse(fine[None])[0], naive.coarse(fine), atol=1e-4)
        samples = batch.inputs['audio'][index][batch.masks['audio'][index]]
        assert torch.allclose(sound[index], naive.sound(samples), atol=1e-4)
    for vector, words in zip(texts, own_words(batch)):
        assert torch.allclose(vector, naive.text(words), atol=1e-4)


@torch.no_grad()
def test_both_losses_are_those_of_the_naive_reference():
    model, batch = make_model(), make_batch()
    naive, words = Naive(model.trunk), own_words(batch)
    fine = [naive.fine(naive.video(frames)) for frames in batch.frames]
    sounds = []
    for samples, real in zip(batch.inputs['audio'], batch.masks['audio']):
        heads = [naive.linear('bridge.audio_to_fine', naive.sound(samples[real]))] if real.any() else []
        sounds.append(heads)
    texts = [
        [naive.linear('bridge.text_to_coarse', naive.text(one)) for one in words[3 * i : 3 * i + 3] if one]
        for i in range(len(fine))
    ]
    losses = model.loss(batch)
    # Half of each, as both weigh 1.
    assert losses['loss_video_audio'].item() == pytest.approx(naive_nce(fine, sounds).item() / 2, rel=1e-4)
    coarse = [naive.coarse(one) for one in fine]
    assert losses['loss_video_text'].item() == pytest.approx(naive_nce(coarse, texts).item() / 2, rel=1e-4)


def test_the_shared_model_has_one_set_of_encoder_weights():
    shared, separate = make_model(shared=True).trunk, make_model().trunk
    assert shared.visual_encoder.backbone is shared.audio_encoder.backbone is shared.text_encoder.backbone

    def layers(trunk):
        return {id(one) for name, one in trunk.named_parameters(remove_duplicate=False) if '.backbone.' in name}

    one = sum(1 for _ in shared.visual_encoder.backbone.parameters())
    assert len(layers(shared)) == one
    assert len(layers(separate)) > 2 * one
    # What is learned of sound is learned of video.
    model, batch = without_dropout(make_model(shared=True)), make_batch()
    model.trunk.audio_encoder(batch.inputs['audio']).pooled.sum().backward()
    assert all(one.grad is not None for one in model.trunk.visual_encoder.backbone.parameters())


def test_masked_texts_and_sounds_change_nothing():
    model, batch = without_dropout(make_model()), make_batch()
    other = make_batch()
    other.text_ids = torch.where(other.text_mask, other.text_ids, 7)
    other.inputs['audio'] = torch.where(other.masks['audio'], other.inputs['audio'], 0.5)
    # A patch that is real in part shows its padding too, which is zeros wherever it comes from.
    real = other.masks['audio'].unflatten(1, (-1, 8)).any(2).repeat_interleave(8, 1)
    other.inputs['audio'] = torch.where(real & ~other.masks['audio'], 0.0, other.inputs['audio'])
    for name, value in model.loss(batch).items():
        assert model.loss(other)[name].item() == pytest.approx(value.item(), rel=1e-5)


def test_a_video_without_counterparts_has_no_loss_and_the_others_count_the_more():
    torch.manual_seed(0)
    video, other = torch.randn(5, 8, requires_grad=True), torch.randn(5, 2, 8)
    real = torch.tensor([[1, 1], [1, 0], [0, 0], [1, 1], [0, 1]], dtype=torch.bool)
    loss = nce_loss(video, other, real, 0.1)
    rows = [[one for one, there in zip(row, mask) if there] for row, mask in zip(other, real)]
    assert loss.item() == pytest.approx(naive_nce(list(video), rows, 0.1).item(), rel=1e-5)
    # What is missing has no part, whatever stands there, and the video without texts is a negative of the others alone.
    assert torch.equal(nce_loss(video, torch.where(real[..., None], other, 9.0), real, 0.1), loss)
    loss.backward()
    assert video.grad.isfinite().all() and video.grad[2].abs().sum() > 0
    assert nce_loss(video, other, torch.zeros_like(real), 0.1).item() == 0.0


def test_nce_is_mil_nce_of_one_text():
    torch.manual_seed(0)
    video, other = torch.randn(4, 8), torch.randn(4, 1, 8)
    real = torch.ones(4, 1, dtype=torch.bool)
    assert torch.allclose(
        nce_loss(video, other, real, 0.2),
        nce_loss(video, torch.cat([other, torch.randn(4, 2, 8)], 1), torch.eye(3, dtype=torch.bool)[[0] * 4], 0.2),
    )


def test_dropped_tokens_keep_their_positions():
    positions = SplinePositions(6, (2, 3), dropout=0.0)
    whole = positions(torch.zeros(4, 2, 3, 6)).flatten(1, 2)
    for per_sample in (False, True):
        torch.manual_seed(0)
        mask = torch.arange(6).expand(4, -1) % 2 == 0
        kept, kept_mask = drop_tokens(whole, 0.5, mask, shared=not per_sample)
        assert kept.shape == (4, 3, 6)
        places = [[next(i for i in range(6) if torch.equal(one, whole[0, i])) for one in row] for row in kept]
        assert all(len(set(row)) == 3 for row in places)
        assert kept_mask.tolist() == [[place % 2 == 0 for place in row] for row in places]
        assert (len({tuple(row) for row in places}) > 1) == per_sample


def test_tokens_are_dropped_in_training_alone_and_never_words():
    model, batch = make_model(), make_batch()
    encoder, audio, text = (getattr(model.trunk, f'{name}_encoder') for name in ('visual', 'audio', 'text'))
    lengths = {}
    for mode in (False, True):
        model.train(mode)
        lengths[mode] = (
            encoder(batch.frames, 'video').tokens.shape[1],
            audio(batch.inputs['audio']).tokens.shape[1],
            text(*batch.texts).tokens.shape[1],
        )
    assert lengths == {False: (9, 6, 7), True: (5, 3, 7)}
    shared = make_model(shared=True).train()
    assert shared.trunk.text_encoder(*batch.texts).tokens.shape[1] == 7


def test_positions_of_another_grid_lie_on_the_natural_spline():
    from scipy.interpolate import CubicSpline

    table = np.random.default_rng(0).normal(size=(7, 3))
    found = resize_table(torch.from_numpy(table), 9).numpy()
    at = np.arange(9) / 9
    spline = CubicSpline(np.arange(7) / 7, table, bc_type='natural')
    inside = at <= 6 / 7
    assert np.allclose(found[inside], spline(at[inside]))
    # Beyond the last place it goes on as a line.
    assert np.allclose(found[~inside], spline(6 / 7) + spline(6 / 7, 1) * (at[~inside, None] - 6 / 7))
    assert torch.equal(spline_weights(1, 3), torch.ones(3, 1).double())
    same = torch.from_numpy(table)
    assert resize_table(same, 7) is same


def test_weights_of_another_size_get_interpolated_positions():
    small, large = make_model(), make_model(seed=1, visual_encoder=dict(
        type='VATTVideoEncoder', image_size=48, num_frames=16, backbone=BACKBONE
    ))  # fmt: skip
    weights = small.state_dict()
    large.adapt_state_dict(weights)
    large.load_state_dict(weights)
    key = 'trunk.visual_encoder.positions.pos_embed'
    assert [tuple(weights[f'{key}.{axis}'].shape) for axis in range(3)] == [(4, 24), (3, 24), (3, 24)]
    assert torch.allclose(weights[f'{key}.0'], resize_table(small.state_dict()[f'{key}.0'], 4))
    # Clips of the small one's size need no such weights: what they are shown at is fitted to them as well.
    assert large.trunk.encode(make_batch()).tokens.shape == (4, 9, 24)


def test_distances_go_into_buckets_as_in_t5():
    found = relative_buckets(90, 32, 64)
    for ahead in range(-89, 90):
        distance = abs(ahead)
        place = distance if distance < 8 else min(15, 8 + int(np.log(distance / 8) / np.log(8) * 8 + 1e-6))
        i = max(0, -ahead)
        assert found[i, i + ahead] == place + (16 if ahead > 0 else 0)


@torch.no_grad()
def test_an_image_is_a_clip_that_stands_still():
    model, batch = make_model(), make_batch()
    picture = batch.frames[:, :1]
    still = picture.expand(-1, 4, -1, -1, -1)
    assert torch.equal(
        model.encode(VLBatch(dict(image=picture))).pooled, model.encode(VLBatch(dict(video=still))).pooled
    )


def test_what_no_loss_needs_is_not_built():
    sound = make_model(options=dict(video_text_weight=0.0))
    assert set(sound.parts) == {'visual_encoder', 'audio_encoder', 'bridge'}
    assert sound.loss_names == ('video_audio',) and offered_by(sound, Contrasts) is None
    assert sound.losses['video_audio'].weight == 1.0
    speech = make_model(options=dict(video_audio_weight=0.0))
    assert set(speech.parts) == {'visual_encoder', 'text_encoder', 'bridge'}
    assert speech.loss(VLBatch(dict(video=make_batch().frames), text_ids=make_batch().text_ids,
                               text_mask=make_batch().text_mask))['loss_video_text'].isfinite()  # fmt: skip
    weighed = make_model(options=dict(video_audio_weight=3.0))
    assert [loss.weight for loss in weighed.step_losses] == [0.75, 0.25]


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(temperature=0.0), 'temperature must be above 0'),
        (dict(parts=('visual_encoder', 'nose')), 'no parts'),
        (dict(shared=True, audio_encoder=dict(backbone=dict(depth=3), projected=16)), 'with shared=True audio_encoder'),
        (dict(visual_encoder=dict(type='VATTVideoEncoder')), 'has no transformer'),
        (dict(shared=True, audio_encoder=dict(type='VATTAudioEncoder')), 'audio_encoder goes through'),
        (dict(visual_encoder=dict(type='VATTVideoEncoder', drop_token=1.0, backbone=BACKBONE)), 'drop_token'),
        (
            dict(audio_encoder=dict(type='VATTAudioEncoder', grid=(), backbone=BACKBONE)),
            'need 1 place',
        ),
        (dict(text_encoder=dict(type='VATTTextEncoder', backbone=BACKBONE)), 'needs its projections'),
        (dict(text_encoder=dict(type='VATTT5Encoder', num_buckets=6)), 'num_buckets'),
    ],
)
def test_bad_arguments_get_their_line(changes, message):
    with pytest.raises(OmniVLError, match=message) as caught:
        MODELS.build(trunk_config(**changes))
    assert '\n' not in str(caught.value)


def test_bad_batches_get_their_line():
    model, batch = make_model(), make_batch()
    frames = batch.frames
    for inputs, message in (
        (dict(video=frames[:, :6]), 'multiple of 4 frames'),
        (dict(image=frames), 'an image is a clip of one frame'),
        (dict(video=frames[..., : SIZE - 3]), 'patch'),
    ):
        with pytest.raises(OmniVLError, match=message):
            model.encode(VLBatch(inputs))
    with pytest.raises(OmniVLError, match='longer than the 6 of the model'):
        model.trunk.embed_text(torch.ones(1, 9, dtype=torch.long), torch.ones(1, 9, dtype=torch.bool))
    with pytest.raises(OmniVLError, match='has no sound'):
        model.loss(VLBatch(dict(video=frames), text_ids=batch.text_ids, text_mask=batch.text_mask))
    batch.text_ids = batch.text_ids[:-1]
    with pytest.raises(OmniVLError, match='dealt out evenly'):
        model.loss(batch)
    for options in (dict(video_audio_weight=-1.0), dict(video_audio_weight=0.0, video_text_weight=0.0)):
        with pytest.raises(OmniVLError, match='neither may be negative'):
            VATTPretrain(trunk=trunk_config(), **options)
    with pytest.raises(OmniVLError, match='num_texts must be at least 1'):
        CandidatePreprocessor(num_texts=0)
