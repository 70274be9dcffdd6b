"""Multiple choice: which of several texts is true of a visual, as in MSRVTT-MC."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from omnivl.errors import OmniVLValueError
from omnivl.models.interfaces import Contrasts, Encodes, Matches, serving
from omnivl.registry import EVALUATIONS
from omnivl.structures import VLBatch, VLDataSample

from .base import Evaluation, EvaluationResult, batches, describe, gather_described
from .functional import best_true_ranks
from .reranking import combine
from .texts import pad_texts, to_numpy

SCORES = ('match', 'similarity', 'match+similarity')


@EVALUATIONS.register_module()
class MultipleChoiceEvaluation(Evaluation):
    """Takes the text with the best score, each visual with its own texts; several questions may be of one visual.

    Metric: ``accuracy`` in percent. Ties count against the model; a text with the words of the true one is true as
    well. Chance is a guess among the texts of each question.

    Predictions have for each question ``choices``, ``scores`` of each, ``answer_index``, ``predicted`` (the place of
    the best one) and ``correct``.

    Args:
        score_with: ``'match'``, the alignment decoder's log-odds of a match; ``'similarity'``, the cosine of the
            contrastive features; or ``'match+similarity'``, their sum as in retrieval (see ``reranking.py``).
        pair_batch: Visual-text pairs per forward pass.
    """

    def __init__(self, score_with: str = 'match', pair_batch: int = 128) -> None:
        if score_with not in SCORES:
            raise OmniVLValueError(f'score_with is {score_with!r}; allowed: {", ".join(map(repr, SCORES))}')
        if pair_batch < 1:
            raise OmniVLValueError(f'pair_batch must be at least 1, got {pair_batch}')
        self.score_with = score_with
        self.pair_batch = pair_batch

    @property
    def needs(self) -> tuple[type, ...]:
        """What the score is made of."""
        made_of = {'similarity': Contrasts, 'match': Matches}
        return tuple(made_of[part] for part in self.score_with.split('+'))

    def evaluate(self, model: nn.Module, dataloader: Iterable, name: str) -> EvaluationResult:
        """Score the texts of each question once."""
        rows: list[dict[str, Any]] = []
        for batch, samples in batches(model, dataloader, name):
            questions = [_question(sample, name) for sample in samples]
            sizes = [len(question['choices']) for question in questions]
            owner = np.repeat(np.arange(len(samples)), sizes)
            texts = [ids for sample in samples for ids in sample.caption_ids]
            scores = np.split(self._scores(model, batch, texts, owner), np.cumsum(sizes)[:-1])
            rows += [
                describe(sample, batch) | question | _scored(question, of_question)
                for sample, question, of_question in zip(samples, questions, scores)
            ]
        rows, shared = gather_described(rows, name)
        sizes = [len(row['choices']) for row in rows]
        guesses = [row['choices'].count(row['choices'][row['answer_index']]) / len(row['choices']) for row in rows]
        return EvaluationResult(
            {'accuracy': 100.0 * sum(row['correct'] for row in rows) / len(rows)},
            {'accuracy': 100.0 * float(np.mean(guesses))},
            rows,
            dict(
                task='multiple_choice',
                **shared,
                questions=len(rows),
                choices=sizes[0] if len(set(sizes)) == 1 else [min(sizes), max(sizes)],
                score_with=self.score_with,
                ties='pessimistic',
            ),
        )

    def _scores(self, model: nn.Module, batch: VLBatch, texts: Sequence[np.ndarray], owner: np.ndarray) -> np.ndarray:
        """Score each text, int64 (L_i,), with its visual, int64 (N,): float32 (N,)."""
        features = serving(model, Encodes, 'multiple choice').encode(batch)
        index = torch.from_numpy(owner).to(features.tokens.device)
        parts = [slice(start, start + self.pair_batch) for start in range(0, len(texts), self.pair_batch)]
        scores = np.zeros(len(texts), dtype=np.float32)
        if 'similarity' in self.score_with:
            contrasts = serving(model, Contrasts, 'multiple choice')
            vectors = contrasts.project_visual(features.pooled, batch.modality)
            for part in parts:
                text_vectors = contrasts.embed_text(*pad_texts(texts[part], contrasts.tokenizer, index.device))
                scores[part] = to_numpy((vectors[index[part]] * text_vectors).sum(dim=-1))
        if 'match' in self.score_with:
            matches = serving(model, Matches, 'multiple choice')
            key_values = matches.matching_key_values(features.tokens)
            for part in parts:
                text_ids, text_mask = pad_texts(texts[part], matches.tokenizer, index.device)
                logits = to_numpy(matches.match_logits(text_ids, text_mask, key_values, index[part]))
                scores[part] = combine(logits, scores[part], self.score_with, None)
        return scores


def _question(sample: VLDataSample, name: str) -> dict[str, Any]:
    """Return the texts of a question and the place of the true one, checked."""
    choices, ids, answer = list(sample.get('captions', [])), sample.get('caption_ids', []), sample.get('answer_index')
    if not choices or answer is None:
        raise OmniVLValueError(
            f'{name}: sample {sample.sample_id!r} has {len(choices)} texts to choose from and answer_index {answer}; '
            'use a ChoiceDataset'
        )
    if len(choices) != len(ids):
        raise OmniVLValueError(
            f'{name}: sample {sample.sample_id!r} has {len(choices)} texts, but word pieces for {len(ids)}: '
            'TokenizeText must stand in the pipeline, after what changes the texts'
        )
    if not 0 <= answer < len(choices):
        raise OmniVLValueError(
            f'{name}: sample {sample.sample_id!r} has answer_index {answer}, but {len(choices)} texts'
        )
    return {'choices': choices, 'answer_index': int(answer)}


def _scored(question: dict[str, Any], scores: np.ndarray) -> dict[str, Any]:
    truth = question['choices'][question['answer_index']]
    is_true = np.array([choice == truth for choice in question['choices']])
    rank = best_true_ranks(scores[None], is_true[None])[0]
    return {
        'scores': [float(score) for score in scores],
        'predicted': int(np.argmax(scores)),
        'correct': bool(rank == 1),
    }
