"""Retrieval equals a naive reference over whole matrices, scores no pair too many, and survives odd galleries."""

import numpy as np
import pytest
import torch
from evaluation_fakes import FakeModel, loader, sample
from test_evaluation_functional import naive_rank

from omnivl.evaluation import RetrievalEvaluation
from omnivl.evaluation.ranking import Direction, dual_softmax_ranks, rank_gallery
from omnivl.registry import EVALUATIONS

VISUALS, WORDS, WIDTH = 9, 14, 6
# Words 0..13; visuals 0 and 4 share word 3, visual 2 has one caption twice.
CAPTIONS = [[0, 3], [1], [2, 2], [4, 5, 6], [3, 7], [8], [9], [10, 11], [12, 13]]


def make_model(seed=0, visuals=VISUALS, words=WORDS):
    rng = np.random.default_rng(seed)
    return FakeModel(
        rng.normal(size=(visuals, WIDTH)), rng.normal(size=(words, WIDTH)), rng.normal(size=(visuals, words))
    )


def make_samples(captions=CAPTIONS, **options):
    return [sample(number, words, **options) for number, words in enumerate(captions)]


def naive(model, captions, k, rerank_with):
    """Metrics by loops over queries, the whole matrices at hand."""
    texts = sorted({word for words in captions for word in words})
    similarity = (model.visual_features @ model.text_features.T).numpy()[:, texts]
    match = model.match.numpy()[:, texts]
    new = {
        'match': match - 0.25,
        'match+similarity': match + similarity,
        'match+scaled_similarity': -np.log1p(np.exp(0.25 - match)) + similarity / 0.5,
    }[rerank_with]
    truth = np.array([[text in words for text in texts] for words in captions])
    metrics = {}
    for name, old, scores, is_true in (('i2t', similarity, new, truth), ('t2i', similarity.T, new.T, truth.T)):
        plain, reranked = [], []
        for query in range(len(old)):
            plain.append(naive_rank(old[query], is_true[query]))
            first = np.argsort(-old[query])[:k]
            mixed = old[query] - 1000
            mixed[first] = scores[query, first]
            reranked.append(naive_rank(mixed, is_true[query]))
        for suffix, ranks in (('', plain), ('_reranked', reranked)):
            for r in (1, 5, 10):
                metrics[f'{name}_r{r}{suffix}'] = 100 * np.mean(np.array(ranks) <= r)
            metrics[f'{name}_median_rank{suffix}'] = np.median(ranks)
            metrics[f'{name}_mean_rank{suffix}'] = np.mean(ranks)
    for suffix in ('', '_reranked'):
        metrics[f'mean_recall{suffix}'] = np.mean(
            [metrics[f'{d}_r{r}{suffix}'] for d in ('t2i', 'i2t') for r in (1, 5, 10)]
        )
    return metrics


@pytest.mark.parametrize('rerank_with', ['match', 'match+similarity', 'match+scaled_similarity'])
@pytest.mark.parametrize('k', [1, 3, 100])
def test_equals_the_naive_reference(k, rerank_with):
    for seed in range(3):
        model = make_model(seed)
        evaluation = RetrievalEvaluation(
            rerank_k=k, rerank_with=rerank_with, text_batch=4, visual_batch=2, pair_batch=5
        )
        result = evaluation.run(model, loader(make_samples()), 'image.retrieval')
        assert result.metrics == pytest.approx(naive(model, CAPTIONS, k, rerank_with))
        assert set(result.chance) == {name for name in result.metrics if 'median' not in name}


@pytest.mark.parametrize(('k', 'visual_batch', 'pair_batch'), [(2, 1, 1), (2, 4, 3), (3, 100, 100), (50, 3, 7)])
def test_scores_the_needed_pairs_once(k, visual_batch, pair_batch):
    model = make_model(1)
    evaluation = RetrievalEvaluation(rerank_k=k, visual_batch=visual_batch, pair_batch=pair_batch)
    result = evaluation.run(model, loader(make_samples()), 'x')
    similarity = (model.visual_features @ model.text_features.T).numpy()
    needed = {(v, int(t)) for v in range(VISUALS) for t in np.argsort(-similarity[v])[:k]}
    needed |= {(int(v), t) for t in range(WORDS) for v in np.argsort(-similarity[:, t])[:k]}
    assert sorted(model.scored) == sorted(needed)
    assert result.protocol['rerank_pairs'] == len(needed)
    assert sorted(model.with_key_values) == list(range(VISUALS))


def test_without_reranking_no_pair_is_scored():
    model = make_model()
    result = RetrievalEvaluation(rerank_k=None).run(model, loader(make_samples()), 'x')
    assert not model.scored and not model.with_key_values
    assert not any('reranked' in name for name in result.metrics)
    with_reranking = RetrievalEvaluation(rerank_k=3).run(model, loader(make_samples()), 'x')
    assert result.metrics.items() <= with_reranking.metrics.items()


def test_videos_have_their_own_names():
    result = RetrievalEvaluation().run(make_model(), loader(make_samples(modality='video')), 'x')
    assert {'t2v_r1', 'v2t_r1', 't2v_r10_reranked', 'v2t_mean_rank_reranked'} <= set(result.metrics)
    assert result.protocol['modality'] == 'video'
    assert (result.protocol['frames'], result.protocol['height'], result.protocol['width']) == (2, 4, 6)


def test_equal_captions_are_one_text_or_each_their_own():
    """Two visuals of one caption: merged, both are right; kept apart, each copy has one right visual and a tie."""
    model = FakeModel(np.eye(3), np.eye(3))
    samples = make_samples([[0], [0], [2]])
    model.visual_features[1] = model.visual_features[0]
    merged = RetrievalEvaluation(rerank_k=None).run(model, loader(samples), 'x')
    assert merged.metrics['t2i_r1'] == merged.metrics['i2t_r1'] == 100
    assert (merged.protocol['texts'], merged.protocol['captions'], merged.protocol['duplicate_captions']) == (2, 3, 1)
    kept = RetrievalEvaluation(rerank_k=None, duplicate_captions='keep').run(model, loader(samples), 'x')
    assert kept.metrics['t2i_r1'] == pytest.approx(100 / 3)
    assert kept.metrics['t2i_mean_rank'] == pytest.approx((2 + 2 + 1) / 3)
    assert (kept.protocol['texts'], kept.protocol['duplicate_captions']) == (3, 1)


def test_captions_of_several_visuals_and_visuals_of_several_captions():
    """Lists of any shape, each pair of them true: against loops, with k below and above the galleries."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        captions = [rng.choice(WORDS, size=rng.integers(1, 6), replace=False).tolist() for _ in range(VISUALS)]
        model = make_model(seed)
        for k in (2, 100):
            result = RetrievalEvaluation(rerank_k=k).run(model, loader(make_samples(captions)), 'x')
            assert result.metrics == pytest.approx(naive(model, captions, k, 'match+similarity'))
        assert result.protocol['texts'] == len({word for words in captions for word in words})
        assert result.protocol['captions'] == sum(map(len, captions))
        assert result.protocol['reranked_visuals'] == VISUALS


@pytest.mark.parametrize('chunk', [1, 4, 256])
def test_dual_softmax_equals_the_whole_matrix(chunk):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        queries, gallery = (rng.normal(size=(count, 4)).astype(np.float32) for count in (11, 7))
        similarity = (queries @ gallery.T).astype(np.float64)
        truth = rng.random(similarity.shape) < 0.2
        truth[np.arange(11), rng.integers(7, size=11)] = True
        weights = np.exp(similarity / 0.5)
        scores = similarity * weights / weights.sum(axis=0)
        expected = [naive_rank(of_query, is_true) for of_query, is_true in zip(scores, truth)]
        direction = Direction('t2i', queries, gallery, np.argwhere(truth))
        assert dual_softmax_ranks(direction, 0.5, chunk).tolist() == expected


def test_dual_softmax_undoes_an_item_that_is_near_everything():
    """Each text is most similar to visual 0, but less so than to others': then it goes to its own."""
    similarity = np.array([[0.9, 0.1, 0.1], [0.8, 0.7, 0.1], [0.8, 0.1, 0.7]], dtype=np.float32)
    direction = Direction('t2i', similarity, np.eye(3, dtype=np.float32), np.array([[0, 0], [1, 1], [2, 2]]))
    assert rank_gallery(direction, 1).ranks.tolist() == [1, 2, 2]
    assert dual_softmax_ranks(direction, 0.05).tolist() == [1, 1, 1]


def test_dual_softmax_is_a_row_of_its_own_that_says_what_it_is():
    plain = RetrievalEvaluation(rerank_k=3).run(make_model(), loader(make_samples()), 'x')
    assert not any('dual' in metric for metric in plain.metrics) and plain.protocol['dual_softmax'] is None
    both = RetrievalEvaluation(rerank_k=3, dual_softmax=True).run(make_model(), loader(make_samples()), 'x')
    assert plain.metrics.items() <= both.metrics.items() and plain.predictions == both.predictions
    names = {f'{metric}_dual_softmax' for metric in plain.metrics if not metric.endswith('reranked')}
    assert set(both.metrics) - set(plain.metrics) == names
    assert both.chance['t2i_r1_dual_softmax'] == plain.chance['t2i_r1']
    assert both.protocol['dual_softmax'] == 'transductive: softmax over all queries of the test set at 0.5'


def test_a_model_that_says_the_same_of_everything_has_no_recall():
    model = FakeModel(np.ones((12, 2)), np.ones((12, 2)))
    metrics = RetrievalEvaluation(rerank_k=None).run(model, loader(make_samples([[n] for n in range(12)])), 'x').metrics
    assert metrics['t2i_r10'] == metrics['i2t_r10'] == 0
    assert metrics['t2i_mean_rank'] == 12


def test_one_visual_with_one_caption():
    result = RetrievalEvaluation(rerank_k=16).run(FakeModel([[1.0, 0]], [[1.0, 0]]), loader(make_samples([[0]])), 'x')
    assert result.metrics['t2i_r1'] == result.metrics['i2t_r1_reranked'] == result.chance['t2i_r1'] == 100
    assert (result.protocol['reranked_visuals'], result.protocol['reranked_texts']) == (1, 1)


def test_one_visual_with_several_captions_and_several_with_one():
    several = RetrievalEvaluation(dual_softmax=True).run(make_model(), loader(make_samples([[0, 1, 2]])), 'x')
    assert several.metrics['i2t_r1'] == several.metrics['t2i_r1_reranked'] == 100
    one = RetrievalEvaluation(dual_softmax=True).run(make_model(), loader(make_samples([[0]] * 4)), 'x')
    assert one.metrics['t2i_r1'] == one.metrics['i2t_r1_dual_softmax'] == 100 and one.protocol['texts'] == 1


def test_chance_follows_the_number_of_captions():
    chance = RetrievalEvaluation(rerank_k=None).run(make_model(), loader(make_samples()), 'x').chance
    assert chance['i2t_r1'] == pytest.approx(100 * np.mean([len(set(words)) / WORDS for words in CAPTIONS]))
    assert chance['t2i_r1'] == pytest.approx(100 * (13 * 1 + 2) / 14 / VISUALS)


def test_the_order_of_the_samples_does_not_matter():
    model, samples = make_model(), make_samples()
    evaluation = RetrievalEvaluation(rerank_k=3)
    one = evaluation.run(model, loader(samples), 'x')
    other = evaluation.run(model, loader(samples[::-1], batch_size=4), 'x')
    assert one == other


def test_half_the_memory_for_tokens_changes_nothing_here():
    model = make_model()
    one, other = (
        RetrievalEvaluation(rerank_k=3, token_dtype=dtype).run(model, loader(make_samples()), 'x').metrics
        for dtype in (None, 'float16')
    )
    assert one == other


def test_real_model_scores_each_pair_as_it_does_alone(tiny_model):
    """Batches of one visual, of several, and padded ones give what the pair gives by itself."""
    model = tiny_model(shake=True).eval()
    frames = torch.randint(0, 256, (5, 1, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    captions = ['w0', 'w1 w2 w3', 'w4 w5', 'w6 w7 w8 w9', 'w10 w11']
    samples = [sample(number, [caption]) for number, caption in enumerate(captions)]
    tokenizer = model.trunk.tokenizer
    for packed, caption in zip(samples, captions):
        packed.caption_ids = [tokenizer.encode(caption, 20)]
    data = [{'inputs': {'image': frames}, 'data_samples': samples}]
    batch = model.data_preprocessor(data[0])['batch']
    with torch.no_grad():
        tokens = model.encode(batch).tokens
        alone = torch.zeros(5, 5)
        for visual in range(5):
            key_values = model.trunk.matching_key_values(tokens[visual : visual + 1])
            for text, caption in enumerate(captions):
                ids = torch.from_numpy(tokenizer.encode(caption, 20))[None]
                logits = model.trunk.match_logits(ids, torch.ones_like(ids, dtype=torch.bool), key_values)
                alone[visual, text] = logits[0, 1] - logits[0, 0]
    for visual_batch, pair_batch in [(5, 100), (2, 3), (5, 7)]:
        evaluation = RetrievalEvaluation(
            rerank_k=5, rerank_with='match', visual_batch=visual_batch, pair_batch=pair_batch
        )
        for row in evaluation.run(model, data, 'x').predictions:
            for entry in row['top_captions']:
                expected = alone[int(row['sample_id']), captions.index(entry['caption'])]
                assert entry['score'] == pytest.approx(float(expected), abs=1e-5)


def test_predictions_are_in_the_final_order():
    model = make_model(4)
    result = RetrievalEvaluation(rerank_k=2, rerank_with='match').run(model, loader(make_samples()), 'x')
    assert [row['sample_id'] for row in result.predictions] == [str(number) for number in range(VISUALS)]
    similarity = (model.visual_features @ model.text_features.T).numpy()
    for number, row in enumerate(result.predictions):
        order = np.argsort(-similarity[number])[:5].tolist()
        order[:2] = sorted(order[:2], key=lambda word: -model.match[number, word])
        assert [entry['caption'] for entry in row['top_captions']] == [f'w{word}' for word in order]
        scores = [float(model.match[number, word]) - 0.25 for word in order[:2]]
        scores += similarity[number, order[2:]].tolist()
        assert [entry['score'] for entry in row['top_captions']] == pytest.approx(scores)
        assert [entry['similarity'] for entry in row['top_captions']] == pytest.approx(
            similarity[number, order].tolist()
        )
        first = CAPTIONS[number][0]
        order = np.argsort(-similarity[:, first])[:5].tolist()
        order[:2] = sorted(order[:2], key=lambda visual: -model.match[visual, first])
        assert [entry['sample_id'] for entry in row['top_visuals']] == list(map(str, order))
        assert len(row['ranks']['t2i']) == len(row['captions']) == len(CAPTIONS[number])
    ranks = [row['ranks_reranked']['i2t'] for row in result.predictions]
    assert 100 * np.mean(np.array(ranks) == 1) == pytest.approx(result.metrics['i2t_r1_reranked'])


def test_mode_and_gradients_are_put_back():
    model = make_model().train()
    model.frozen.eval()
    RetrievalEvaluation().run(model, loader(make_samples()), 'x')
    assert model.modes == {(False, False)}
    assert model.training and not model.frozen.training and torch.is_grad_enabled()


def test_mode_is_put_back_after_an_error():
    model = make_model().train()
    with pytest.raises(ValueError, match='the dataloader has no samples'):
        RetrievalEvaluation().run(model, [], 'x')
    assert model.training


def test_builds_from_a_config():
    evaluation = EVALUATIONS.build({'type': 'RetrievalEvaluation', 'rerank_k': 4})
    assert evaluation.rerank_k == 4


def test_features_that_are_nan():
    model = make_model()
    model.visual_features[2] = torch.nan
    with pytest.raises(ValueError, match='scores are NaN'):
        RetrievalEvaluation().run(model, loader(make_samples()), 'x')


def test_visual_without_captions():
    with pytest.raises(ValueError, match="x: sample '1' has no captions; use a RetrievalDataset"):
        RetrievalEvaluation().run(make_model(), loader(make_samples([[0], []])), 'x')


def test_captions_without_word_pieces():
    samples = make_samples()
    samples[3].caption_ids = samples[3].caption_ids[:1]
    with pytest.raises(ValueError, match=r"sample '3' has 3 captions, but word pieces for 1: TokenizeText must stand"):
        RetrievalEvaluation().run(make_model(), loader(samples), 'x')


def test_two_samples_of_one_id():
    samples = [sample(1, [0]), sample(1, [1])]
    message = "x: sample_id '1' of source 'fake' is there twice; evaluate one item per vis.* leave broken ones out "
    with pytest.raises(ValueError, match=message):
        RetrievalEvaluation().run(make_model(), loader(samples), 'x')


@pytest.mark.parametrize('options', [dict(dual_softmax=True), dict(rerank_with='match+scaled_similarity')])
def test_a_model_without_temperature(tiny_model, options):
    for model in (tiny_model(type='OmniVLCaption'), tiny_model(losses=[dict(type='LanguageLoss')])):
        with pytest.raises(TypeError, match=r'x .*needs a model that compares .* built without .*temperature'):
            RetrievalEvaluation(**options).run(model, [], 'x')


def test_images_and_videos_in_one_evaluation():
    samples = [sample(0, [0]), sample(1, [1], modality='video')]
    with pytest.raises(ValueError, match=r"x: one evaluation is of one modality, got \['image', 'video'\]"):
        RetrievalEvaluation().run(make_model(), loader(samples, batch_size=1), 'x')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'rerank_k': 0}, 'rerank_k must be at least 1, or None for no re-ranking, got 0'),
        ({'rerank_with': 'logits'}, "rerank_with is 'logits'; allowed: 'match', 'match.similarity'"),
        ({'recall_k': ()}, 'recall_k must be numbers of at least 1'),
        ({'recall_k': (0, 1)}, 'recall_k must be numbers of at least 1'),
        ({'pair_batch': 0}, 'pair_batch must be at least 1, got 0'),
        ({'duplicate_captions': 'drop'}, "duplicate_captions is 'drop'; allowed: 'merge', 'keep'"),
        ({'token_dtype': 'int8'}, "token_dtype is 'int8'; allowed: None, 'float16', 'bfloat16'"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        RetrievalEvaluation(**options)
