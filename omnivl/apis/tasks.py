"""The tasks of the inferencer: from a batch to one answer per visual, with the code of the evaluations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from omnivl.datasets.labels import distinct_names
from omnivl.errors import OmniVLValueError
from omnivl.evaluation import CaptionEvaluation, ZeroShotEvaluation
from omnivl.evaluation.texts import pad_texts, to_numpy
from omnivl.models.interfaces import Answers, Classifies, Contrasts, Matches, Writes, serving
from omnivl.models.writing import write_texts
from omnivl.structures import MODALITIES, VLBatch

from .base import Answer, Work
from .loading import LoadedModel
from .preparation import Preparation

PAIR_BATCH = 128  # visual-text pairs per forward pass of the alignment decoder
ANSWER_LENGTH = 40  # most word pieces of an answer to choose from


def listed(names: str | Sequence[str]) -> list[str]:
    """Return names as a list; one text with commas, as a person types ``circle, square``, is several names."""
    names = [names] if isinstance(names, str) else list(names)
    if len(names) == 1 and ',' in names[0]:
        return [name.strip() for name in names[0].split(',') if name.strip()]
    return names


def captioning(model: Writes, protocol: CaptionEvaluation, method: str) -> Work:
    """Write captions with one of the methods of a protocol; the task gives ``caption`` and ``score``."""
    options = protocol.methods[method]
    seed = options.get('seed', 0) if method == 'nucleus' else None

    def work(batch: VLBatch) -> list[Answer]:
        """Write the caption of each visual of a batch."""
        tokens = model.encode(batch).tokens
        # Each visual draws from the seed anew: what it gets must not depend on its neighbours in the batch.
        drawn = {} if seed is None else {method: [torch.Generator(tokens.device).manual_seed(seed) for _ in tokens]}
        lengths = protocol.max_length, protocol.min_length
        written = write_texts(model, tokens, {method: options}, protocol.prompt, *lengths, drawn)
        return [dict(caption=caption, score=score) for caption, score in written[method]]

    return work


def matching(model: nn.Module, texts: Sequence[str], ids: Sequence[np.ndarray], features: np.ndarray) -> Work:
    """Score every visual with every one of G texts.

    Args:
        model: Offers ``Contrasts`` and ``Matches``.
        texts: As the model gets them.
        ids: Their word pieces; int64 (L_i,) each.
        features: Their unit vectors; float32 (G, E).

    Returns:
        The task: ``matches`` with ``text``, ``score`` and ``similarity`` for each text.
    """
    contrasts, matches = serving(model, Contrasts, 'match'), serving(model, Matches, 'match')

    def work(batch: VLBatch) -> list[Answer]:
        """Score the texts with each visual of a batch."""
        visual = contrasts.encode(batch)
        similarity = to_numpy(contrasts.project_visual(visual.pooled, batch.modality)) @ features.T  # (B, G)
        key_values = matches.matching_key_values(visual.tokens)
        group = max(PAIR_BATCH // len(batch), 1)
        scores = []
        for start in range(0, len(ids), group):
            text_ids, text_mask = pad_texts(ids[start : start + group], matches.tokenizer, visual.tokens.device)
            pairs = text_ids.repeat(len(batch), 1), text_mask.repeat(len(batch), 1)  # grouped by visual
            logits = matches.match_logits(*pairs, key_values)
            scores.append(to_numpy(logits.float().softmax(dim=1)[:, 1]).reshape(len(batch), -1))
        columns = np.concatenate(scores, axis=1)
        return [
            dict(matches=[dict(text=t, score=float(p), similarity=float(s)) for t, p, s in zip(texts, *rows)])
            for rows in zip(columns, similarity)
        ]

    return work


@dataclass
class Prompted:
    """What ``ZeroShotEvaluation`` needs of a dataset: names of classes, and what makes word pieces of their prompts."""

    classes: list[str]
    preparation: Preparation

    def tokenize(self, prompt: str) -> np.ndarray:
        """Return the word pieces of a prompt, int64 (L,)."""
        return self.preparation.texts([prompt])[1][0]


def classifying(
    loaded: LoadedModel,
    preparation: Preparation,
    names: Sequence[str],
    templates: str | Sequence[str] | None,
    top_k: int,
) -> Work:
    """Find the class of each visual by prompts: ``predicted``, ``score`` and the ``top_k`` best ``scores``.

    No names of classes, or one twice, are an ``OmniVLValueError``; templates are as for ``OmniVLInferencer.classify``.
    """
    names = listed(names)
    if not names or len(set(names)) < len(names):
        raise OmniVLValueError(f'names must be different names of classes, at least one; got {names}')
    contrasts = serving(loaded.model, Contrasts, 'classify')
    of_modality: dict[str, np.ndarray] = {}

    def class_features(modality: str) -> np.ndarray:
        if modality not in of_modality:
            known = loaded.evaluation(ZeroShotEvaluation, modality)
            protocol = ZeroShotEvaluation(templates or (known.templates if known else MODALITIES[modality].templates))
            of_modality[modality] = protocol.class_features(loaded.model, Prompted(names, preparation), 'classes')
        return of_modality[modality]

    def work(batch: VLBatch) -> list[Answer]:
        pooled = contrasts.encode(batch).pooled
        vectors = to_numpy(contrasts.project_visual(pooled, batch.modality))
        scores = vectors @ class_features(batch.modality).T
        return [_best_classes(of_visual, names, top_k) for of_visual in scores]

    return work


def classifying_by_head(
    model: Classifies, known: Sequence[str] | None, names: Sequence[str] | None, top_k: int, several: bool
) -> Work:
    """Find the class of each visual with the head of a classifier.

    Args:
        model: The model.
        known: Names of its classes, if they are known.
        names: Names of all classes, in the order of the head; None = those that are known, or else ``class 0`` ...
        top_k: Classes in ``scores``.
        several: Whether a visual may be of several classes, each of which has a probability of its own.

    Returns:
        The task: ``predicted``, ``score`` and ``scores``.

    Raises:
        OmniVLValueError: There are not as many names as classes.
    """
    count = model.num_classes
    names = None if names is None else listed(names)
    if names is None:
        known = known or ()  # what is known may be a part of the set
        names = known if len(known) == count else [f'class {label}' for label in range(count)]
    if len(names) != count:
        raise OmniVLValueError(
            f'the model has a head for {count} classes, got {len(names)} names: give all in order, or none'
        )
    names = distinct_names(names)

    def work(batch: VLBatch) -> list[Answer]:
        logits = model.classify(batch).double()
        probabilities = logits.sigmoid() if several else logits.softmax(dim=1)
        return [_best_classes(of_visual, names, top_k) for of_visual in probabilities.cpu().numpy()]

    return work


def _best_classes(scores: np.ndarray, names: Sequence[str], top_k: int) -> Answer:
    order = np.argsort(-scores, kind='stable')[:top_k]
    found = {names[place]: float(scores[place]) for place in order}
    return dict(predicted=names[order[0]], score=float(scores[order[0]]), scores=found)


def answering(
    model: Answers,
    questions: Sequence[str],
    ids: Sequence[np.ndarray],
    answers: Sequence[str] | None,
    options: Mapping[str, Any],
) -> Work:
    """Answer every question about every visual: ``answers`` with ``question``, ``answer`` and ``score`` for each.

    Questions are as the model gets them, with their word pieces, int64 (L_i,) each. ``answers`` are those to choose
    from; None = written freely. ``options`` are of ``rank_answers`` or ``generate_answers``.
    """
    answers = None if answers is None else listed(answers)
    choices = [model.tokenizer.encode(answer, ANSWER_LENGTH) for answer in answers or []]

    def answer(batch: VLBatch, question: np.ndarray) -> list[tuple[str, float]]:
        """Give an answer and its score for each visual of a batch."""
        text_ids, text_mask = pad_texts([question] * len(batch), model.tokenizer, batch.frames.device)
        batch = replace(batch, text_ids=text_ids, text_mask=text_mask)
        if answers is None:
            return model.generate_answers(batch, **options)
        best, scores = model.rank_answers(batch, choices, **options)
        return [(answers[place], score) for place, score in zip(best.tolist(), scores.tolist())]

    def work(batch: VLBatch) -> list[Answer]:
        columns = [answer(batch, question) for question in ids]
        return [
            dict(answers=[dict(question=q, answer=a, score=s) for q, (a, s) in zip(questions, found)])
            for found in zip(*columns)
        ]

    return work
