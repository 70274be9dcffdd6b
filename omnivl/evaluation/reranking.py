"""Ordering the first items of each query anew, by the alignment decoder's score of the pair.

What a pair's score is made of: match logits :math:`(l_0, l_1)`, the cosine similarity :math:`s` of the unit vectors,
and the temperature :math:`\\tau` of the contrastive loss.

=============================  =====================================================================================
``'match'``                    :math:`l_1 - l_0`, the log-odds of a match: the order is that of the probability
``'match+similarity'``         :math:`l_1 + s`: as in BLIP's retrieval evaluation, which adds the raw values
``'match+scaled_similarity'``  :math:`\\log p(match) + s / \\tau`: the product of both probabilities, up to a factor
                               that is the same for all items of a query
=============================  =====================================================================================
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from mmengine.dist import all_gather_object
from torch import Tensor, nn

from omnivl.models.interfaces import Matches, serving
from omnivl.storage.progress import track

from .functional import reranked_ranks
from .ranking import Direction, Ranking
from .texts import pad_texts, to_numpy

RERANK_WITH = ('match', 'match+similarity', 'match+scaled_similarity')


class PairLogits:
    """Match logits of visual-text pairs.

    Args:
        codes: ``visual * texts + text`` of each pair, sorted; int64 (P,).
        logits: float32 (P, 2).
        texts: Number of texts.
    """

    def __init__(self, codes: np.ndarray, logits: np.ndarray, texts: int) -> None:
        self.codes, self.logits, self.texts = codes, logits, texts

    @classmethod
    def joined(cls, parts: Sequence[tuple[np.ndarray, np.ndarray]], texts: int) -> 'PairLogits':
        """Put parts together, codes and logits each; codes need not be sorted."""
        codes, logits = map(np.concatenate, zip(*parts))
        order = np.argsort(codes)
        return cls(codes[order], logits[order], texts)

    def get(self, visuals: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """Return the logits of pairs that were scored: int64 (Q, K) twice to float32 (Q, K, 2)."""
        return self.logits[np.searchsorted(self.codes, visuals * self.texts + texts)]


def needed_pairs(visual_to_text: np.ndarray, text_to_visual: np.ndarray, row: np.ndarray | None = None) -> np.ndarray:
    """List the pairs that re-ranking both ways needs, each once.

    Args:
        visual_to_text: The first texts of each visual; int64 (visuals, K).
        text_to_visual: The first visuals of each text; int64 (texts, K').
        row: What stands for each text, where equal ones are scored once; int64 (texts,). None = itself.

    Returns:
        (visual, text or what stands for it), sorted; int64 (P, 2).
    """
    texts = len(text_to_visual)
    row = np.arange(texts) if row is None else row
    one_way = np.arange(len(visual_to_text))[:, None] * texts + row[visual_to_text]
    other_way = text_to_visual * texts + row[:, None]
    codes = np.unique(np.concatenate([one_way.ravel(), other_way.ravel()]))
    return np.stack([codes // texts, codes % texts], axis=1)


def score_pairs(
    model: nn.Module,
    tokens: Mapping[int, Tensor],
    texts: Sequence[np.ndarray],
    pairs: np.ndarray,
    visual_batch: int,
    pair_batch: int,
    name: str,
) -> PairLogits:
    """Score pairs; each rank those whose visual it holds, the keys and values of a visual once.

    Args:
        model: Offers ``Matches``.
        tokens: Visual -> its tokens, float (S, D), in CPU memory; this rank's visuals.
        texts: Word-piece ids of all texts; each int64 (L_i,).
        pairs: From :func:`needed_pairs`, the same on every rank; int64 (P, 2).
        visual_batch: Visuals whose keys and values are held on the device at a time.
        pair_batch: Pairs per forward pass.
        name: Shown before the progress bar.

    Returns:
        The logits of all pairs, the same on every rank.
    """
    parameter = next(model.parameters())
    device = parameter.device
    matches = serving(model, Matches, name)
    visuals = sorted(tokens)
    scored: list[tuple[np.ndarray, np.ndarray]] = []
    chunks = [visuals[start : start + visual_batch] for start in range(0, len(visuals), visual_batch)]
    for chunk in track(chunks, f'{name} (re-ranking)'):
        stacked = torch.stack([tokens[visual] for visual in chunk]).to(device, parameter.dtype)
        key_values = matches.matching_key_values(stacked)
        for batch in _pair_batches(chunk, texts, pairs, pair_batch):
            text_ids, text_mask = pad_texts([texts[text] for text in batch[:, 1]], matches.tokenizer, device)
            places = np.searchsorted(chunk, batch[:, 0])
            if places[0] == places[-1]:
                # All texts of the batch look at one visual: its keys and values are used in place, without a copy.
                place = slice(places[0], places[0] + 1)
                of_visual = [(key[place], value[place]) for key, value in key_values]
                logits = matches.match_logits(text_ids, text_mask, of_visual)
            else:
                logits = matches.match_logits(text_ids, text_mask, key_values, torch.tensor(places, device=device))
            scored.append((batch[:, 0] * len(texts) + batch[:, 1], to_numpy(logits)))
    return PairLogits.joined([part for of_rank in all_gather_object(scored) for part in of_rank], len(texts))


def _pair_batches(
    chunk: Sequence[int], texts: Sequence[np.ndarray], pairs: np.ndarray, pair_batch: int
) -> Iterator[np.ndarray]:
    """Yield pairs (n, 2) of a chunk of visuals by visual, texts of similar length together, n up to ``pair_batch``.

    Pieces of one visual are put together only as long as they fit, so that visuals with many texts fill batches alone.
    """
    waiting: list[np.ndarray] = []
    for visual in chunk:
        first, last = np.searchsorted(pairs[:, 0], [visual, visual + 1])
        mine = pairs[first:last]
        mine = mine[np.argsort([len(texts[text]) for text in mine[:, 1]], kind='stable')]
        for start in range(0, len(mine), pair_batch):
            piece = mine[start : start + pair_batch]
            if waiting and sum(map(len, waiting)) + len(piece) > pair_batch:
                yield np.concatenate(waiting)
                waiting = []
            waiting.append(piece)
    if waiting:
        yield np.concatenate(waiting)


def combine(logits: np.ndarray, similarity: np.ndarray, rerank_with: str, temperature: float | None) -> np.ndarray:
    """Compute the score of each pair, float32 (Q, K); see the top of this file.

    ``logits`` are float32 (Q, K, 2), ``similarity``, of cosines, float32 (Q, K). ``temperature`` is that of the
    contrastive loss, for ``'match+scaled_similarity'``.
    """
    odds = logits[..., 1] - logits[..., 0]
    if rerank_with == 'match':
        return odds
    if rerank_with == 'match+similarity':
        return logits[..., 1] + similarity
    return -np.logaddexp(0, -odds) + similarity / temperature


def rerank(direction: Direction, ranking: Ranking, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order the first K items of each query by new scores.

    Args:
        direction: Queries, gallery, truth.
        ranking: The ranking by similarity, with at least K items.
        scores: New scores of the first K items; float32 (Q, K).

    Returns:
        The new ranks of the best true items, int64 (Q,), and the new order as places in ``ranking.top``, int64 with its
        shape: the K first, then the rest where they were.
    """
    k = scores.shape[1]
    ranks = reranked_ranks(ranking.ranks, scores, direction.top_is_true(ranking.top[:, :k]))
    rest = np.broadcast_to(np.arange(k, ranking.top.shape[1]), (len(scores), ranking.top.shape[1] - k))
    return ranks, np.concatenate([np.argsort(-scores, axis=1, kind='stable'), rest], axis=1)
