"""Question answering: the loss by hand, invariances, ranking and writing against naive references."""

import copy

import pytest
import torch

from omnivl.models.layers import CrossAttention
from omnivl.models.losses import TextPrediction
from omnivl.models.losses import answer as answer_module
from omnivl.models.losses.answer import answer_loss
from omnivl.registry import MODELS
from omnivl.structures import VLBatch
from omnivl.weights import StageReader

ANSWERS = [[7], [8], [7, 9], [10, 11, 12], [8, 13], [14]]
ANSWER_IDS = [torch.tensor([2, *pieces, 3]).numpy() for pieces in ANSWERS]


def with_answers(batch, owner=(0, 0, 1, 2, 3, 3), weights=(0.6, 0.4, 1.0, 1.0, 0.9, 0.1)):
    """Puts the answers above into a batch of four questions."""
    rows = torch.zeros(len(owner), 5, dtype=torch.int64)
    for row, pieces in zip(rows, ANSWERS):
        row[: len(pieces) + 2] = torch.tensor([2, *pieces, 3])
    batch.answer_ids, batch.answer_mask = rows, rows != 0
    batch.answer_weights, batch.answer_owner = torch.tensor(weights), torch.tensor(owner)
    return batch


def select(batch, rows):
    """Some questions of a batch, without answers and padded no further than they need."""
    length = int(batch.text_mask[rows].sum(1).max())
    texts = dict(text_ids=batch.text_ids[rows, :length], text_mask=batch.text_mask[rows, :length])
    return VLBatch({batch.modality: batch.frames[rows]}, **texts)


@pytest.fixture
def model(tiny_model):
    return tiny_model(type='OmniVLQA', shake=True).eval()


def test_answer_loss_by_hand():
    """Two answers to one of two questions: summed over pieces, weighted, summed, halved."""
    probabilities = torch.tensor([[[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]], [[0.1, 0.8, 0.1], [0.3, 0.3, 0.4]]])
    targets = torch.tensor([[0, 2], [1, -100]])
    expected = -(0.7 * (torch.tensor(0.5).log() + torch.tensor(0.6).log()) + 0.3 * torch.tensor(0.8).log()) / 2
    weights = torch.tensor([0.7, 0.3])
    prediction = TextPrediction(probabilities.log(), targets, torch.nn.Identity())
    assert answer_loss(prediction, weights, 2, 0.0).item() == pytest.approx(expected.item())
    smoothed = answer_loss(prediction, weights, 2, 0.1)
    uniform = -(0.7 * (probabilities[0].log().mean(1).sum()) + 0.3 * probabilities[1, 0].log().mean()) / 2
    assert smoothed.item() == pytest.approx((0.9 * expected + 0.1 * uniform).item())


def test_ranks_with_different_numbers_of_answers_average_to_their_joined_batch(monkeypatch):
    """Two ranks: one question with one answer, and three questions with four."""
    torch.manual_seed(0)
    logits, targets, weights = torch.randn(5, 3, 7), torch.randint(0, 7, (5, 3)), torch.rand(5)

    def loss(part, questions):
        return answer_loss(
            TextPrediction(logits[part], targets[part], torch.nn.Identity()), weights[part], questions, 0.1
        )

    joined = loss(slice(5), 4)
    monkeypatch.setattr(answer_module, 'mean_over_ranks', lambda count: torch.tensor(2.0))  # of 1 and 3 questions
    ranks = [loss(part, n) for part, n in ((slice(1), 1), (slice(1, 5), 3))]
    assert torch.allclose(torch.stack(ranks).mean(), joined)


@pytest.mark.parametrize('modality', ['image', 'video'])
@pytest.mark.parametrize('share', ['blip', 'none'])
def test_training_reaches_every_part_it_should(share, modality, tiny_model, random_batch):
    model = tiny_model(type='OmniVLQA', trunk=dict(share=share), shake=True).train()
    model.loss(with_answers(random_batch(modality=modality)))['loss_answer'].backward()
    assert set(model.parts) == {'visual_encoder', 'alignment_decoder', 'generation_decoder'}
    grounded = [model.trunk.alignment_decoder, model.answer_decoder]
    assert all(p.grad is not None for part in grounded for p in part.parameters())
    assert all(p.requires_grad for p in model.parameters())


def test_the_two_decoders_share_nothing(tiny_model):
    for share in ('blip', 'none'):
        model = tiny_model(type='OmniVLQA', trunk=dict(share=share))
        ids = [{id(p) for p in part.parameters()} for part in (model.trunk.alignment_decoder, model.answer_decoder)]
        assert not ids[0] & ids[1]


def test_pretrained_weights_fit(tiny_model, tmp_path):
    """A checkpoint of pretraining names every part, whoever shares it, so it fills the apart decoders."""
    pretrained = tiny_model(shake=True)
    torch.save({'state_dict': pretrained.state_dict()}, tmp_path / 'start.pth')
    model = tiny_model(type='OmniVLQA', seed=1)
    StageReader(str(tmp_path / 'start.pth'), start_video_from_image=False).load(model)
    assert torch.equal(
        model.answer_decoder.layers[0].cross_attention.attention.query.weight,
        pretrained.trunk.alignment_decoder.layers[0].cross_attention.attention.query.weight,
    )
    for name, value in pretrained.trunk.generation_decoder.state_dict().items():
        assert torch.equal(value, model.answer_decoder.state_dict()[name])


def test_a_visual_encoder_of_another_width(tiny_config, random_batch):
    """Answers look at questions, so the width of the visual tokens does not reach the generation decoder."""
    config = tiny_config(type='OmniVLQA', trunk=dict(encoder=dict(mlp_ratio=2.0)))
    config['trunk']['visual_encoder'] |= dict(width=24)
    model = MODELS.build(copy.deepcopy(config))
    assert model.answer_decoder.layers[0].cross_attention.attention.key_value.in_features == 16
    model.loss(with_answers(random_batch()))['loss_answer'].backward()
    key = 'answer_decoder.layers.0.cross_attention.attention.key_value.weight'
    weights = model.state_dict() | {key: torch.zeros(32, 24)}
    model.adapt_state_dict(weights)
    assert key not in weights and key.replace('weight', 'bias') in weights


def test_mean_over_the_batch(model, random_batch):
    """The loss of a batch is the mean of the losses of its questions."""
    batch = with_answers(random_batch())
    single = []
    for question in range(4):
        one = select(batch, [question])
        chosen = batch.answer_owner == question
        one.answer_ids, one.answer_mask = batch.answer_ids[chosen], batch.answer_mask[chosen]
        one.answer_weights, one.answer_owner = batch.answer_weights[chosen], torch.zeros(int(chosen.sum())).long()
        single.append(model.loss(one)['loss_answer'])
    assert torch.allclose(model.loss(batch)['loss_answer'], torch.stack(single).mean(), atol=1e-5)


def test_the_order_of_answers_does_not_matter(model, random_batch):
    batch, order = with_answers(random_batch()), torch.tensor([3, 0, 5, 2, 1, 4])
    expected = model.loss(batch)['loss_answer']
    batch.answer_ids, batch.answer_mask = batch.answer_ids[order], batch.answer_mask[order]
    batch.answer_weights, batch.answer_owner = batch.answer_weights[order], batch.answer_owner[order]
    assert torch.allclose(model.loss(batch)['loss_answer'], expected, atol=1e-6)


def test_answers_depend_on_visual_and_question(model, random_batch):
    batch = with_answers(random_batch())
    loss = model.loss(batch)['loss_answer']
    other = with_answers(random_batch(seed=1))
    for changed in (
        with_answers(VLBatch(other.inputs, text_ids=batch.text_ids, text_mask=batch.text_mask)),
        with_answers(VLBatch(batch.inputs, text_ids=other.text_ids, text_mask=other.text_mask)),
    ):
        assert not torch.allclose(model.loss(changed)['loss_answer'], loss, atol=1e-4)


@torch.no_grad()
def log_likelihood(model, batch, question, pieces):
    """One answer to one question, one piece at a time through the whole decoder, without padding or cache."""
    key_values, mask = model.read_questions(select(batch, [question]))
    total, ids = 0.0, [model.tokenizer.decoder_id]
    for piece in [*pieces, model.tokenizer.sep_id]:
        logits = model.answer_decoder(torch.tensor([ids]), key_values, None, mask)
        total += logits[0, -1].log_softmax(0)[piece].item()
        ids.append(piece)
    return total


@pytest.mark.parametrize('max_pairs', [1, 5, 1024])
def test_ranking_equals_scoring_one_by_one(max_pairs, model, random_batch):
    batch = random_batch()
    table = torch.tensor([[log_likelihood(model, batch, q, pieces) for pieces in ANSWERS] for q in range(4)])
    best, scores = model.rank_answers(batch, ANSWER_IDS, k=100, max_pairs=max_pairs)
    assert torch.equal(best, table.argmax(1))
    assert torch.allclose(scores, table.max(1).values, atol=1e-4)


def test_ranking_looks_in_full_only_at_likely_first_pieces(model, random_batch):
    batch = random_batch()
    first = torch.tensor([[log_likelihood_first(model, batch, q, pieces[0]) for pieces in ANSWERS] for q in range(4)])
    table = torch.tensor([[log_likelihood(model, batch, q, pieces) for pieces in ANSWERS] for q in range(4)])
    for k in (1, 2, 3):
        kept = first.sort(dim=1, descending=True, stable=True).indices[:, :k]
        expected = kept.gather(1, table.gather(1, kept).argmax(1, keepdim=True)).squeeze(1)
        assert torch.equal(model.rank_answers(batch, ANSWER_IDS, k=k)[0], expected)


def log_likelihood_first(model, batch, question, piece):
    key_values, mask = model.read_questions(select(batch, [question]))
    logits = model.answer_decoder(torch.tensor([[model.tokenizer.decoder_id]]), key_values, None, mask)
    return logits[0, -1].log_softmax(0)[piece].item()


def test_a_batch_answers_as_its_questions_one_by_one(model, random_batch):
    """Padding of the questions is never looked at."""
    batch = random_batch()
    for method in ('beam', 'greedy'):
        together = model.generate_answers(batch, method, max_length=6)
        for question, (answer, score) in enumerate(together):
            ((alone, alone_score),) = model.generate_answers(select(batch, [question]), method, max_length=6)
            assert alone == answer and alone_score == pytest.approx(score, abs=1e-5)
    ranked = model.rank_answers(batch, ANSWER_IDS)[0]
    assert ranked.tolist() == [model.rank_answers(select(batch, [q]), ANSWER_IDS)[0].item() for q in range(4)]


def test_greedy_takes_the_likeliest_piece(model, random_batch):
    batch = random_batch()
    questions = model.read_questions(batch)
    key_values, mask = questions
    ids = torch.full((4, 1), model.tokenizer.decoder_id)
    for _ in range(3):
        logits = model.answer_decoder(ids, key_values, None, mask)
        ids = torch.cat([ids, logits[:, -1].argmax(1, keepdim=True)], dim=1)
    written = model.generate_answers(batch, 'greedy', max_length=3, questions=questions)
    assert [text for text, _ in written] == [model.tokenizer.decode(row) for row in ids[:, 1:]]


def test_answers_are_drawn_by_temperature_and_top_p(model, random_batch):
    batch = random_batch()

    def drawn(seed, **options):
        generators = [torch.Generator().manual_seed(seed + row) for row in range(4)]
        written = model.generate_answers(batch, 'nucleus', max_length=6, generator=generators, **options)
        return [text for text, _ in written]

    greedy = [text for text, _ in model.generate_answers(batch, 'greedy', max_length=6)]
    assert drawn(0, temperature=1e-4) == drawn(0, top_p=1e-6) == greedy
    assert drawn(0) == drawn(0) != drawn(7)


def test_a_long_free_answer_wins_only_if_it_may(tiny_model, random_batch):
    batch = random_batch()
    model = tiny_model(
        type='OmniVLQA', shake=True, seed=1
    ).eval()  # one that writes no special tokens, which no text has
    assert all(len(text.split()) >= 2 for text, _ in model.generate_answers(batch, min_length=2, max_length=3))


def test_predict_writes_the_answer(model, random_batch):
    from omnivl.structures import VLDataSample

    batch = random_batch()
    samples = model(batch=batch, data_samples=[VLDataSample() for _ in range(4)], mode='predict')
    assert [(s.pred_answer, s.pred_score) for s in samples] == model.generate_answers(batch)


def test_messages(tiny_model, tiny_config, random_batch):
    model = tiny_model(type='OmniVLQA')
    batch = random_batch()
    with pytest.raises(ValueError, match='training needs answers: is the file a test set'):
        model.loss(batch)
    with pytest.raises(ValueError, match=r"method must be one of .*got 'magic'"):
        model.generate_answers(batch, 'magic')
    with pytest.raises(ValueError, match='ranking needs answers and a k of at least 1, got 0 answers and k=128'):
        model.rank_answers(batch, [])
    batch.text_ids = None
    with pytest.raises(ValueError, match='the batch has no questions: use QADataset'):
        model.read_questions(batch)
    with pytest.raises(ValueError, match=r"share must be one of .*got 'both'"):
        tiny_model(type='OmniVLQA', trunk=dict(share='both'))
    with pytest.raises(ValueError, match='label_smoothing must be in'):
        tiny_model(type='OmniVLQA', label_smoothing=1.0)


def test_key_mask_leaves_keys_out_and_changes_no_bit_when_none():
    torch.manual_seed(0)
    attention = CrossAttention(8, 8, 2).eval()
    tokens, source = torch.randn(4, 3, 8), torch.randn(2, 5, 8)
    key_value = attention.project_visual(source)
    mask = torch.tensor([[True] * 3 + [False] * 2, [True] * 5])
    masked = attention(tokens, key_value, key_mask=mask)
    short = attention(tokens[:2], attention.project_visual(source[:1, :3]))
    assert torch.allclose(masked[:2], short, atol=1e-6)
    assert torch.allclose(masked[2:], attention(tokens, key_value)[2:], atol=1e-6)
    index = torch.tensor([1, 0, 0, 1])
    indexed = attention(tokens, key_value, index, mask)
    assert torch.allclose(indexed[1:3], attention(tokens[1:3], attention.project_visual(source[:1, :3])), atol=1e-6)
    assert torch.equal(attention(tokens, key_value), attention(tokens, key_value, None, None))
