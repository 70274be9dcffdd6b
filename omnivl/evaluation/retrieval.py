"""Zero-shot and finetuned retrieval, texts for visuals and visuals for texts."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.models.interfaces import Contrasts, Matches, serving
from omnivl.registry import EVALUATIONS
from omnivl.structures import MODALITIES, VLDataSample

from .base import Evaluation, EvaluationResult, batches, describe, gather_rows, row_key
from .functional import chance_mean_rank, chance_recall_at, retrieval_metrics
from .ranking import Direction, Ranking, dual_softmax_ranks, rank_gallery
from .reranking import RERANK_WITH, combine, needed_pairs, rerank, score_pairs
from .retrieval_rows import SHOWN, CaptionTexts, prediction_rows
from .texts import encode_texts, to_numpy

TOKEN_DTYPES = {None: None, 'float16': torch.float16, 'bfloat16': torch.bfloat16}
DUPLICATES = ('merge', 'keep')


@EVALUATIONS.register_module()
class RetrievalEvaluation(Evaluation):
    """All visuals against all captions, from the contrastive features and, re-ranked, by the alignment decoder.

    Metrics, with ``t2i`` and ``i2t`` for images, ``t2v`` and ``v2t`` for videos: ``t2i_r1``, ``t2i_r5``, ``t2i_r10``
    (percent), ``t2i_median_rank``, ``t2i_mean_rank``, the same the other way, and ``mean_recall``, the mean of all
    recalls; after re-ranking all of them again as ``..._reranked``, with ``dual_softmax`` as ``..._dual_softmax``. A
    query counts by its best true item. Ties count against the model.

    Predictions have for each visual ``captions``, ``ranks`` (direction -> rank; texts have one for each caption),
    ``top_captions`` (``caption, score, similarity``) and ``top_visuals``, found for its first caption
    (``sample_id, score, similarity``): five each, in the re-ranked order where there is one.

    Args:
        rerank_k: Number of first items to re-rank for each query, cut to the size of the gallery; None = no re-ranking.
            (BLIP: 256 on COCO, 128 on Flickr30K and MSR-VTT.)
        rerank_with: What re-ranks: ``'match'``, ``'match+similarity'`` (BLIP's) or ``'match+scaled_similarity'``; see
            ``reranking.py``.
        recall_k: The k of the recalls.
        duplicate_captions: What captions with the same words are: ``'merge'`` makes them one text that belongs to all
            their visuals; ``'keep'`` leaves each a text of its own that is right for its own visual only (as BLIP
            counts), though they are scored once and tie.
        text_batch: Texts per forward pass of the text encoder.
        visual_batch: Visuals whose keys and values are on the device at a time during re-ranking.
        pair_batch: Visual-text pairs per forward pass of the alignment decoder.
        token_dtype: Type of the visual tokens that wait in CPU memory for the re-ranking: None = as they are,
            ``'float16'`` or ``'bfloat16'`` for half the memory (COCO 5k at 384 px: 9 GB in float32).
        dual_softmax: Whether to give the figures of the similarities weighed by their softmax over all queries, too
            (see ``dual_softmax_ranks``). They know the whole test set, so they are no figures to compare plain ones
            with.
    """

    headline = ('*_r1', '*_r1_reranked', 'mean_recall*')

    def __init__(
        self,
        rerank_k: int | None = 16,
        rerank_with: str = 'match+similarity',
        recall_k: Sequence[int] = (1, 5, 10),
        duplicate_captions: str = 'merge',
        text_batch: int = 256,
        visual_batch: int = 32,
        pair_batch: int = 128,
        token_dtype: str | None = None,
        dual_softmax: bool = False,
    ) -> None:
        if rerank_k is not None and rerank_k < 1:
            raise OmniVLValueError(f'rerank_k must be at least 1, or None for no re-ranking, got {rerank_k}')
        if not recall_k or min(recall_k) < 1:
            raise OmniVLValueError(f'recall_k must be numbers of at least 1, e.g. (1, 5, 10), got {recall_k}')
        sizes = {'text_batch': text_batch, 'visual_batch': visual_batch, 'pair_batch': pair_batch}
        for option, size in sizes.items():
            if size < 1:
                raise OmniVLValueError(f'{option} must be at least 1, got {size}')
        _check_choice('rerank_with', rerank_with, RERANK_WITH)
        _check_choice('duplicate_captions', duplicate_captions, DUPLICATES)
        _check_choice('token_dtype', token_dtype, tuple(TOKEN_DTYPES))
        self.rerank_k = rerank_k
        self.rerank_with = rerank_with
        self.recall_k = tuple(recall_k)
        self.duplicate_captions = duplicate_captions
        self.text_batch, self.visual_batch, self.pair_batch = text_batch, visual_batch, pair_batch
        self.token_dtype = TOKEN_DTYPES[token_dtype]
        self.dual_softmax = dual_softmax

    @property
    def needs(self) -> tuple[type, ...]:
        """A model with a shared space; for the re-ranking one that scores pairs, too."""
        return (Contrasts,) if self.rerank_k is None else (Contrasts, Matches)

    def evaluate(self, model: nn.Module, dataloader: Iterable, name: str) -> EvaluationResult:
        """Encode everything once, rank, re-rank."""
        temperature = serving(model, Contrasts, name).temperature_value()
        mine, tokens_by_key = self._encode_visuals(model, dataloader, name)
        rows = gather_rows(mine, name)
        texts = CaptionTexts(rows, merge=self.duplicate_captions == 'merge')
        text_features = encode_texts(model, texts.ids, self.text_batch, name)[texts.row]
        directions = _directions(rows, texts, text_features, name)
        rankings = [rank_gallery(direction, max(self.rerank_k or 0, SHOWN)) for direction in directions]
        metrics, chance = self._measure(directions, [ranking.ranks for ranking in rankings], '')
        protocol = self._protocol(rows, texts)
        if self.dual_softmax:
            ranks = [dual_softmax_ranks(direction, temperature) for direction in directions]
            weighed = self._measure(directions, ranks, '_dual_softmax')
            metrics, chance = metrics | weighed[0], chance | weighed[1]
            protocol['dual_softmax'] = f'transductive: softmax over all queries of the test set at {temperature:.4g}'
        scores = orders = new_ranks = None
        if self.rerank_k is not None:
            # A sample that a padding sampler gave to two ranks is scored by the first of them only.
            tokens = {i: tokens_by_key[row_key(row)] for i, row in enumerate(rows) if row['rank'] == get_rank()}
            scores, protocol['rerank_pairs'] = self._score(model, tokens, texts, rankings, temperature, name)
            new_ranks, orders = zip(*map(rerank, directions, rankings, scores))
            reranked = self._measure(directions, new_ranks, '_reranked')
            metrics, chance = metrics | reranked[0], chance | reranked[1]
        predictions = prediction_rows(rows, texts, directions, rankings, scores, orders, new_ranks)
        return EvaluationResult(metrics, chance, predictions, protocol)

    def _encode_visuals(
        self, model: nn.Module, dataloader: Iterable, name: str
    ) -> tuple[list[dict[str, Any]], dict[tuple[str, str], Tensor]]:
        """Encode this rank's visuals: their rows, and for the re-ranking the tokens (S, D) of each in CPU memory."""
        rows: list[dict[str, Any]] = []
        tokens: dict[tuple[str, str], Tensor] = {}
        contrasts = serving(model, Contrasts, name)
        for batch, samples in batches(model, dataloader, name):
            features = contrasts.encode(batch)
            vectors = to_numpy(contrasts.project_visual(features.pooled, batch.modality))
            new = [
                describe(sample, batch) | _captions(sample, name) | {'feature': vector, 'rank': get_rank()}
                for sample, vector in zip(samples, vectors)
            ]
            rows += new
            if self.rerank_k is not None:
                waiting = features.tokens.to('cpu', self.token_dtype or features.tokens.dtype)
                tokens.update(zip(map(row_key, new), waiting))
        return rows, tokens

    def _score(
        self,
        model: nn.Module,
        tokens: dict[int, Tensor],
        texts: CaptionTexts,
        rankings: Sequence[Ranking],
        temperature: float,
        name: str,
    ) -> tuple[list[np.ndarray], int]:
        """Score the first k items both ways (texts first) anew; also the number of pairs that took."""
        t2v, v2t = (ranking.top[:, : self.rerank_k] for ranking in rankings)
        pairs = needed_pairs(v2t, t2v, texts.row)
        logits = score_pairs(model, tokens, texts.ids, pairs, self.visual_batch, self.pair_batch, name)
        found = [logits.get(t2v, texts.row[:, None]), logits.get(np.arange(len(v2t))[:, None], texts.row[v2t])]
        scores = [
            combine(pair_logits, ranking.similarity[:, : self.rerank_k], self.rerank_with, temperature)
            for pair_logits, ranking in zip(found, rankings)
        ]
        return scores, len(pairs)

    def _measure(
        self, directions: Sequence[Direction], ranks: Sequence[np.ndarray], suffix: str
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Compute metrics and their chance levels, of both directions."""
        metrics, chance = {}, {}
        for direction, values in zip(directions, ranks):
            counts, size = direction.true_counts, len(direction.gallery)
            for metric, value in retrieval_metrics(values, self.recall_k).items():
                metrics[f'{direction.name}_{metric}'] = value
            for k in self.recall_k:
                chance[f'{direction.name}_r{k}'] = chance_recall_at(counts, size, k)
            chance[f'{direction.name}_mean_rank'] = chance_mean_rank(counts, size)
        recalls = [f'{direction.name}_r{k}' for direction in directions for k in self.recall_k]
        for figures in (metrics, chance):
            figures['mean_recall'] = float(np.mean([figures[recall] for recall in recalls]))
        named = [{f'{metric}{suffix}': value for metric, value in part.items()} for part in (metrics, chance)]
        return named[0], named[1]

    def _protocol(self, rows: Sequence[dict[str, Any]], texts: CaptionTexts) -> dict[str, Any]:
        protocol = dict(
            task='retrieval',
            modality=rows[0]['modality'],
            **rows[0]['shape'],
            visuals=len(rows),
            texts=len(texts.words),
            captions=texts.captions,
            duplicate_captions=texts.captions - texts.distinct,
            duplicates=self.duplicate_captions,
            ties='pessimistic',
            rerank_k=self.rerank_k,
            dual_softmax=None,
        )
        if self.rerank_k is not None:
            protocol['rerank_with'] = self.rerank_with
            protocol['reranked_visuals'] = min(self.rerank_k, len(rows))
            protocol['reranked_texts'] = min(self.rerank_k, len(texts.words))
        return protocol


def _captions(sample: VLDataSample, name: str) -> dict[str, Any]:
    captions, ids = list(sample.get('captions', [])), list(sample.get('caption_ids', []))
    if not captions:
        raise OmniVLValueError(f'{name}: sample {sample.sample_id!r} has no captions; use a RetrievalDataset')
    if len(captions) != len(ids):
        raise OmniVLValueError(
            f'{name}: sample {sample.sample_id!r} has {len(captions)} captions, but word pieces for {len(ids)}: '
            f'TokenizeText must stand in the pipeline, after what changes the captions'
        )
    return {'captions': captions, 'caption_ids': ids}


def _directions(
    rows: Sequence[dict[str, Any]], texts: CaptionTexts, text_features: np.ndarray, name: str
) -> tuple[Direction, Direction]:
    """Lay out both directions: texts to visuals, visuals to texts."""
    modalities = sorted({row['modality'] for row in rows})
    if len(modalities) > 1:
        raise OmniVLValueError(f'{name}: one evaluation is of one modality, got {modalities}')
    letter = MODALITIES[modalities[0]].letter
    visual_features = np.stack([row['feature'] for row in rows])
    truth = np.array([(visual, text) for visual, mine in enumerate(texts.of_visual) for text in mine])
    by_text = truth[np.argsort(truth[:, 1], kind='stable')][:, ::-1]
    return (
        Direction(f't2{letter}', text_features, visual_features, np.unique(by_text, axis=0)),
        Direction(f'{letter}2t', visual_features, text_features, np.unique(truth, axis=0)),
    )


def _check_choice(option: str, value: object, allowed: tuple) -> None:
    if value not in allowed:
        raise OmniVLValueError(f'{option} is {value!r}; allowed: {", ".join(map(repr, allowed))}')
