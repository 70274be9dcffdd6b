"""Classes of sounds, retrieval between video and sound, and a trunk that hears and does not see."""

import pytest
import torch
import torch.nn.functional as F
from vatt_world import BACKBONE, make_batch, make_model, trunk_config, without_dropout

from omnivl.errors import OmniVLError
from omnivl.evaluation.pair_retrieval import EmbedsPairs
from omnivl.models.interfaces import offered_by
from omnivl.structures import VLBatch
from projects.vatt.model import VATTAudioClassifier, VATTAudioEncoder
from projects.vatt.model.sounds import rare_classes_loss


def classifier(**options):
    torch.manual_seed(0)
    return VATTAudioClassifier(trunk=trunk_config(), num_classes=3, **options)


def sounds(labels):
    batch = make_batch(count=len(labels))
    return VLBatch(dict(audio=batch.inputs['audio']), masks=batch.masks, labels=torch.tensor(labels))


def test_a_rare_class_counts_more():
    torch.manual_seed(0)
    logits, targets = torch.randn(4, 3), torch.tensor([[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0]]).float()
    losses = []
    for row, wanted in zip(logits, targets):
        each = [-F.logsigmoid(score if there else -score) for score, there in zip(row, wanted)]
        rarity = [1 / targets[:, place].sum() for place in range(3) if wanted[place]]
        losses.append(sum(each) * (sum(rarity) / len(rarity) if rarity else 0))
    assert torch.allclose(rare_classes_loss(logits, targets), sum(losses) / 4)


def test_a_trunk_that_hears_alone_takes_the_weights_of_pretraining():
    pretrained, batch = make_model(), make_batch()
    heard = VLBatch(dict(audio=batch.inputs['audio']), masks=batch.masks)
    for shared in (False, True):
        pretrained = make_model(shared=shared)
        alone = VATTAudioClassifier(trunk=trunk_config(shared=shared), num_classes=3).eval()
        assert set(alone.parts) == {'audio_encoder', 'head'}
        alone.trunk.load_state_dict(pretrained.trunk.state_dict(), strict=False)
        vectors = alone.encode(heard).pooled
        assert torch.equal(vectors, pretrained.trunk.encode_audio(batch).pooled)
        assert torch.equal(vectors, pretrained.encode(heard).pooled)  # as a probe asks for them
        assert not torch.equal(vectors, pretrained.encode(batch).pooled)


@pytest.mark.parametrize(
    ('labels', 'options'),
    [
        ([0, 2, 1, 1], dict()),
        ([[1, 0, 1], [1, 0, 1], [0, 0, 0], [0, 1, 0]], dict(multi_label=True, mixup=5.0)),
    ],
)
def test_classes_are_learned_one_or_several(labels, options):
    model, batch = without_dropout(classifier(**options)), sounds(labels)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    first = model.eval().loss(batch)['loss_class'].item()
    for _ in range(15):
        optimizer.zero_grad()
        model.train().loss(batch)['loss_class'].backward()
        optimizer.step()
    assert model.eval().loss(batch)['loss_class'].item() < first


def test_mixed_sounds_have_classes_mixed_alike():
    batch = sounds([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    mixed = classifier(multi_label=True, mixup=5.0)._mixed(batch)
    # Each sound has a class of its own, so the classes tell how it was mixed.
    assert not torch.equal(mixed.labels, batch.labels.float())
    assert torch.allclose(mixed.inputs['audio'], mixed.labels @ batch.inputs['audio'], atol=1e-6)
    assert torch.equal(mixed.masks['audio'], (mixed.labels > 0).float() @ batch.masks['audio'].float() > 0)


@torch.no_grad()
def test_pairs_of_video_and_sound_are_embedded_in_one_space():
    model, batch = make_model(), make_batch()
    video, sound = model.trunk.embed_pair(batch, 'video', 'audio')
    assert torch.allclose(video.norm(dim=1), torch.ones(4)) and sound.shape == video.shape == (4, 10)
    assert torch.equal(model.trunk.embed_pair(batch, 'audio', 'video')[0], sound)
    # Sounds go on to texts from the space that they share with video.
    alone = VLBatch(dict(audio=batch.inputs['audio']), masks=batch.masks)
    pooled, trunk = model.trunk.encode(alone).pooled, model.trunk
    assert torch.equal(pooled, trunk.encode_audio(batch).pooled)
    coarse = trunk.fine_to_coarse(trunk.bridge.audio_to_fine(pooled))
    assert torch.allclose(trunk.project_visual(pooled, alone.modality), F.normalize(coarse, dim=-1))
    fine = model.trunk.video_to_fine(model.encode(batch).pooled)
    assert torch.allclose(video, F.normalize(fine, dim=1))
    with pytest.raises(OmniVLError, match='pairs of frames and sound'):
        model.trunk.embed_pair(batch, 'video', 'image')
    assert offered_by(model, EmbedsPairs) is model.trunk
    assert offered_by(make_model(options=dict(video_audio_weight=0.0)), EmbedsPairs) is None


@torch.no_grad()
def test_patches_of_a_spectrogram_have_positions_in_time_and_frequency():
    torch.manual_seed(0)
    tokenizer = dict(
        type='SpectrogramTokenizer',
        patch_size=(4, 8),
        log_mel=dict(rate=8000, bins=16, frame_length=160, hop_length=80),
    )
    encoder = VATTAudioEncoder(grid=(5, 2), tokenizer=tokenizer, backbone=dict(BACKBONE)).eval()
    waveform, mask = torch.rand(2, 1600), torch.ones(2, 1600, dtype=torch.bool)
    assert encoder.tokenizer(waveform)[0].shape[1:3] == (5, 2)
    whole = encoder(waveform, mask)
    assert whole.tokens.shape == (2, 11, 24)
    mask[0] = False  # of a silent clip nothing is attended to
    silent = encoder(waveform, mask).pooled
    assert torch.allclose(silent[1], whole.pooled[1], atol=1e-6)
    assert torch.allclose(encoder(waveform.flip(1), mask).pooled[0], silent[0], atol=1e-6)


def test_bad_arguments_and_labels_get_their_line():
    for options, message in ((dict(mixup=1.0), 'mixup'), (dict(mixup=-1.0, multi_label=True), 'mixup')):
        with pytest.raises(OmniVLError, match=message):
            classifier(**options)
    with pytest.raises(OmniVLError, match='num_classes must be at least 2'):
        VATTAudioClassifier(trunk=trunk_config(), num_classes=1)
    with pytest.raises(OmniVLError, match='train on a LabelDataset'):
        classifier().loss(sounds([[1, 0, 1]]))
    with pytest.raises(OmniVLError, match='train on a MultiLabelDataset'):
        classifier(multi_label=True).loss(sounds([0, 1]))
