"""Captioning: the prompt in loss and writing against naive loops, what learns, and weights of pretraining."""

import pytest
import torch
import torch.nn.functional as F

from omnivl.models.omnivl import prompt_ids
from omnivl.models.tasks.caption import CaptionStep
from omnivl.models.writing import write_texts
from omnivl.structures import VLBatch, VLDataSample

PROMPT = 'w3 w7 w3'


@pytest.fixture
def model(tiny_model):
    return tiny_model(type='OmniVLCaption', prompt=PROMPT, label_smoothing=0.0, shake=True).eval()


def log_likelihoods(model, batch, number, prompt):
    """Of the word pieces of one caption, its end included, each by a pass of its own over all that stands before it."""
    tokens = model.encode(VLBatch({batch.modality: batch.frames[number : number + 1]})).tokens
    step = model.begin_writing(tokens).step
    ids = [model.tokenizer.decoder_id, *prompt_ids(model.tokenizer, prompt)]
    found = []
    for piece in batch.text_ids[number][batch.text_mask[number]][1:].tolist():
        logits, _ = step(torch.tensor([ids]), None)
        found.append(logits.log_softmax(-1)[0, piece])
        ids.append(piece)
    return found


@pytest.mark.parametrize('modality', ['image', 'video'])
@pytest.mark.parametrize('prompt', ['', PROMPT])
def test_loss_is_the_mean_over_the_pieces_behind_the_prompt(tiny_model, random_batch, modality, prompt):
    model = tiny_model(type='OmniVLCaption', prompt=prompt, label_smoothing=0.0, shake=True).eval()
    batch = random_batch(modality=modality)
    with torch.no_grad():
        expected = torch.stack([one for number in range(4) for one in log_likelihoods(model, batch, number, prompt)])
        assert torch.allclose(model.loss(batch)['loss_lm'], -expected.mean(), atol=1e-5)


def test_the_words_of_the_prompt_are_not_predicted(model, random_batch):
    batch = random_batch()
    tokens, targets, _ = CaptionStep(model, batch).language
    assert tokens.shape[:2] == targets.shape == (4, 3 + batch.text_ids.shape[1] - 1)
    assert (targets[:, :3] == -100).all() and (targets[:, 3] == batch.text_ids[:, 1]).all()
    assert (targets != -100).sum() == batch.text_mask[:, 1:].sum()


def test_without_a_prompt_it_is_the_language_loss_of_pretraining(tiny_model, random_batch):
    pretrained = tiny_model(shake=True, losses=[dict(type='LanguageLoss')]).eval()
    model = tiny_model(type='OmniVLCaption', seed=1).eval()
    model.load_state_dict(pretrained.state_dict())
    batch = random_batch()
    assert torch.equal(model.loss(batch)['loss_lm'], pretrained.loss(batch)['loss_lm'])


@pytest.mark.parametrize('share', ['blip', 'none'])
def test_what_learns(tiny_model, random_batch, share):
    """Visual encoder and generation decoder, all of both; nothing else is there."""
    model = tiny_model(type='OmniVLCaption', trunk=dict(share=share), shake=True).train()
    model.loss(random_batch(modality='video'))['loss_lm'].backward()
    assert set(model.parts) == {'visual_encoder', 'generation_decoder'}
    learning = {id(p) for part in model.parts.values() for p in part.parameters()}
    assert {id(p) for p in model.parameters() if p.requires_grad} == learning
    of_images = {id(p) for p in model.trunk.visual_encoder.image_tokenizer.parameters()}
    assert {id(p) for p in model.parameters() if p.grad is not None} == learning - of_images


def test_smoothing_is_torchs(tiny_model, random_batch):
    model = tiny_model(type='OmniVLCaption', prompt=PROMPT, label_smoothing=0.1, shake=True).eval()
    batch = random_batch()
    prediction = CaptionStep(model, batch).language
    logits, targets = prediction.logits, prediction.targets
    expected = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), label_smoothing=0.1)
    assert torch.allclose(model.loss(batch)['loss_lm'], expected, atol=1e-6)


def test_learns_to_write_what_it_is_told(tiny_model, random_batch):
    """Two pictures with a caption each: after some steps both methods write them behind the prompt, without it."""
    model = tiny_model(type='OmniVLCaption', prompt=PROMPT, label_smoothing=0.0)
    batch = random_batch(size=2)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-2)
    for _ in range(60):
        optimizer.zero_grad()
        model.loss(batch)['loss_lm'].backward()
        optimizer.step()
    true = [model.tokenizer.decode(ids[mask]) for ids, mask in zip(batch.text_ids, batch.text_mask)]
    model.eval()
    tokens = model.encode(batch).tokens
    written = write_texts(model, tokens, dict(greedy={}, beam=dict(num_beams=3)))
    assert [caption for caption, _ in written['greedy']] == [caption for caption, _ in written['beam']] == true
    samples = [VLDataSample(metainfo=dict(sample_id=str(number))) for number in range(2)]
    model.predict(batch, samples)
    assert [sample.pred_caption for sample in samples] == true
    assert [sample.pred_score for sample in samples] == [score for _, score in written['beam']]


def test_texts_begin_with_the_models_prompt_unless_told_otherwise(model, tiny_model, random_batch):
    pieces = prompt_ids(model.tokenizer, PROMPT)
    for writer, prompt, expected in ((model, None, pieces), (model, '', []), (tiny_model().trunk, None, [])):
        start = writer.begin_writing(writer.encode(random_batch()).tokens, prompt).start_ids
        assert start.tolist() == [[model.tokenizer.decoder_id, *expected]] * 4


def test_a_batch_without_captions(model, random_batch):
    batch = random_batch()
    batch.text_ids = None
    with pytest.raises(ValueError, match='captioning needs a text for every visual: use PairDataset, and TokenizeText'):
        model.loss(batch)
