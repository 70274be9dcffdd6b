"""Ties of retrieval are exact: equal texts and equal features score the same to the last bit, wherever they stand."""

import numpy as np
import pytest
import torch
from evaluation_fakes import sample

from omnivl.evaluation import RetrievalEvaluation
from omnivl.evaluation.ranking import Direction, rank_gallery


def test_equal_captions_that_are_kept_tie_exactly_and_are_scored_once(tiny_model):
    """A real model, whose last bits depend on the batch: eleven visuals of one caption, and one of eleven others."""
    model = tiny_model(shake=True)
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (12, 1, 3, 32, 32), generator=generator, dtype=torch.uint8)
    captions = [['w3 w1 w4']] * 11 + [[f'w{number} w5' for number in range(11)]]
    samples = [sample(number, words) for number, words in enumerate(captions)]
    for one in samples:
        one.caption_ids = [model.trunk.tokenizer.encode(caption, 20) for caption in one.captions]
    scored = []
    logits = model.trunk.match_logits
    model.trunk.match_logits = lambda *arguments: scored.append(len(arguments[0])) or logits(*arguments)
    evaluation = RetrievalEvaluation(rerank_k=22, duplicate_captions='keep', text_batch=4, pair_batch=5, visual_batch=3)
    found = evaluation.run(model, [{'inputs': {'image': frames}, 'data_samples': samples}], 'x')
    assert found.protocol['texts'] == 22
    assert sum(scored) == found.protocol['rerank_pairs'] == 12 * 12
    for row in found.predictions[:11]:  # the visual's own copy stands behind the ten of the others
        assert row['ranks']['i2t'] >= 11
        assert row['ranks_reranked']['i2t'] >= 11


@pytest.mark.parametrize('size', [3, 20, 77])
def test_equal_items_have_equal_similarities(size):
    """However the product of the matrices rounds its columns: the first and the last item are the same."""
    rng = np.random.default_rng(size)
    gallery = rng.normal(size=(size, 64)).astype(np.float32)
    gallery[-1] = gallery[0]
    queries = rng.normal(size=(40, 64)).astype(np.float32)
    truth = np.stack([np.arange(40), np.zeros(40, dtype=int)], axis=1)
    ranking = rank_gallery(Direction('t2i', queries, gallery, truth), size)
    for top, similarity in zip(ranking.top.tolist(), ranking.similarity):
        assert similarity[top.index(0)] == similarity[top.index(size - 1)]
    assert (ranking.ranks >= 2).all()
