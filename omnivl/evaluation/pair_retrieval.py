"""Retrieval between two modalities of the same samples, such as a video and its sound."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from omnivl.errors import OmniVLTypeError, OmniVLValueError
from omnivl.models.interfaces import offered_by
from omnivl.registry import EVALUATIONS
from omnivl.structures import MODALITIES, VLBatch, check_modality

from .base import Evaluation, EvaluationResult, batches, describe, gather_described
from .functional import chance_mean_rank, chance_recall_at, retrieval_metrics
from .ranking import Direction, rank_gallery
from .texts import to_numpy


class EmbedsPairs(Protocol):
    """Embeds two modalities of a sample in a space that they share."""

    def embed_pair(self, batch: VLBatch, first: str, second: str) -> tuple[Tensor, Tensor]:
        """Map two modalities of a batch, by name, to unit vectors, float32 (B, E) each."""


@EVALUATIONS.register_module()
class PairRetrievalEvaluation(Evaluation):
    """All samples as one modality shows them against all as another does; the right one is the same sample.

    Samples that lack one of the two (their mask is empty: a silent clip) are neither asked for nor in the gallery, and
    are counted in the protocol. Texts are another matter: ``RetrievalEvaluation`` is for those, of any modality.

    Metrics of two letters, as ``v2a`` and ``a2v``: ``v2a_r1``, ``v2a_r5``, ``v2a_r10`` (percent), ``v2a_median_rank``,
    ``v2a_mean_rank``, the same the other way, and ``mean_recall``. Ties count against the model.

    Predictions have for each sample ``ranks`` (direction -> rank), and ``found``, direction -> the ids of the first
    five; None of one that lacks a modality.

    Args:
        first: Name of a modality.
        second: Name of another.
        recall_k: The k of the recalls.
    """

    headline = ('*_r1', 'mean_recall')

    def __init__(self, first: str, second: str, recall_k: Sequence[int] = (1, 5, 10)) -> None:
        for name in (first, second):
            check_modality(name, 'PairRetrievalEvaluation')
        if first == second or not recall_k or min(recall_k) < 1:
            raise OmniVLValueError(
                f'PairRetrievalEvaluation: it takes two modalities and recall_k of at least 1, got {first!r}, '
                f'{second!r} and {recall_k}'
            )
        self.first, self.second = first, second
        self.recall_k = tuple(recall_k)

    @property
    def needs(self) -> tuple[type, ...]:
        """A model with a space for the two."""
        return (EmbedsPairs,)

    def check(self, model: nn.Module, name: str) -> None:
        """Refuse a model that cannot embed pairs; see ``Evaluation.check``."""
        self._embeds(model, name)

    def _embeds(self, model: nn.Module, name: str) -> EmbedsPairs:
        embeds = offered_by(model, EmbedsPairs)
        if embeds is None:
            raise OmniVLTypeError(
                f'{name} (PairRetrievalEvaluation) needs a model that embeds two modalities in a space that they '
                f'share, which this {type(model).__name__} does not: it has no embed_pair (see EmbedsPairs in '
                'omnivl/evaluation/pair_retrieval.py)'
            )
        return embeds

    def evaluate(self, model: nn.Module, dataloader: Iterable, name: str) -> EvaluationResult:
        """Embed everything once, and rank."""
        embeds = self._embeds(model, name)
        mine: list[dict[str, Any]] = []
        for batch, samples in batches(model, dataloader, name):
            if missing := [one for one in (self.first, self.second) if one not in batch.inputs]:
                raise OmniVLValueError(
                    f'{name}: the batch has no {missing[0]}, only {list(batch.inputs)}: load it and give '
                    f'PackSample(beside=[{missing[0]!r}])'
                )
            vectors = [to_numpy(part) for part in embeds.embed_pair(batch, self.first, self.second)]
            there = self._there(batch)
            mine += [
                describe(sample, batch) | dict(there=bool(is_there), vectors=pair)
                for sample, is_there, *pair in zip(samples, there, *vectors)
            ]
        rows, seen = gather_described(mine, name)
        kept = [row for row in rows if row['there']]
        if not kept:
            raise OmniVLValueError(f'{name}: none of {len(rows)} samples has both {self.first} and {self.second}')
        metrics, chance, ranks, top = self._rank(kept)
        predictions = [{key: row[key] for key in ('sample_id', 'source', 'visual', 'modality')} for row in rows]
        places = {id(row): place for place, row in enumerate(kept)}
        for row, prediction in zip(rows, predictions):
            place = places.get(id(row))
            prediction['ranks'] = None if place is None else {way: int(found[place]) for way, found in ranks.items()}
            prediction['found'] = None if place is None else {
                way: [kept[item]['sample_id'] for item in found[place]] for way, found in top.items()
            }  # fmt: skip
        protocol = dict(task='retrieval of pairs', first=self.first, second=self.second, **seen)
        protocol |= dict(visuals=len(rows), without_both=len(rows) - len(kept), ties='pessimistic')
        return EvaluationResult(metrics, chance, predictions, protocol)

    def _there(self, batch: VLBatch) -> np.ndarray:
        """Say which samples have both; bool (B,)."""
        there = np.ones(len(batch), bool)
        for one in (self.first, self.second):
            if one in batch.masks:
                there &= batch.masks[one].any(dim=1).cpu().numpy()
        return there

    def _rank(
        self, rows: Sequence[dict[str, Any]]
    ) -> tuple[dict[str, float], dict[str, float], dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Rank both ways: metrics, their chance, and by direction the ranks (Q,) and first items (Q, 5)."""
        metrics: dict[str, float] = {}
        chance: dict[str, float] = {}
        ranks, top = {}, {}
        features = [np.stack([row['vectors'][side] for row in rows]) for side in (0, 1)]
        letters = [MODALITIES[one].letter for one in (self.first, self.second)]
        truth = np.stack([np.arange(len(rows))] * 2, axis=1)
        for query, gallery in ((0, 1), (1, 0)):
            way = f'{letters[query]}2{letters[gallery]}'
            ranking = rank_gallery(Direction(way, features[query], features[gallery], truth), 5)
            ranks[way], top[way] = ranking.ranks, ranking.top
            metrics |= {f'{way}_{key}': value for key, value in retrieval_metrics(ranking.ranks, self.recall_k).items()}
            counts = np.ones(len(rows), np.int64)
            chance |= {f'{way}_r{k}': chance_recall_at(counts, len(rows), k) for k in self.recall_k}
            chance[f'{way}_mean_rank'] = chance_mean_rank(counts, len(rows))
        for figures in (metrics, chance):
            recalls = [figures[f'{way}_r{k}'] for way in ranks for k in self.recall_k]
            figures['mean_recall'] = float(np.mean(recalls))
        return metrics, chance, ranks, top
