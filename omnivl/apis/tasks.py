"""The tasks of the inferencer: from a batch to one answer per visual, with the code of the evaluations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from omnivl.evaluation import CaptionEvaluation, ZeroShotEvaluation
from omnivl.evaluation.captioning import OPTIONS, prompt_ids
from omnivl.evaluation.texts import pad_texts, to_numpy
from omnivl.models.qa import OmniVLQA
from omnivl.structures import VLBatch

from .base import Answer, Work
from .loading import LoadedModel
from .preparation import Preparation

PAIR_BATCH = 128  # visual-text pairs per forward pass of the alignment decoder
ANSWER_LENGTH = 40  # most word pieces of an answer to choose from
TEMPLATES = {'image': 'clip_image', 'video': 'actionclip'}


def captioning(model: nn.Module, protocol: CaptionEvaluation, method: str) -> Work:
    """Writes captions with one method of a protocol.

    Args:
        model: The model.
        protocol: Says how.
        method: One of ``protocol.methods``.

    Returns:
        The task: ``caption`` and ``score``.
    """
    tokenizer = model.tokenizer
    options = dict(protocol.methods[method])
    seed = options.pop('seed', 0) if method == 'nucleus' else None
    prompt = prompt_ids(tokenizer, protocol.prompt)

    def write(tokens: torch.Tensor) -> list[Answer]:
        key_values = model.visual_key_values(tokens, decoders=('generation',))

        def step(ids: torch.Tensor, cache: Any) -> tuple[torch.Tensor, Any]:
            return model.decoder_step(ids, cache, key_values)

        drawn = {} if seed is None else dict(generator=torch.Generator(tokens.device).manual_seed(seed))
        output = OPTIONS[method][0](
            step,
            model.reorder_cache,
            torch.tensor([prompt] * len(tokens), device=tokens.device),
            end_id=tokenizer.sep_id,
            pad_id=tokenizer.pad_id,
            max_length=protocol.max_length,
            min_length=protocol.min_length,
            **drawn,
            **options,
        )
        captions = map(tokenizer.decode, output.ids)
        return [dict(caption=caption, score=score) for caption, score in zip(captions, output.scores.tolist())]

    def work(batch: VLBatch) -> list[Answer]:
        tokens = model.encode_visual(batch.frames, batch.modality).tokens
        if seed is None:
            return write(tokens)
        # Each visual draws from the seed anew: what it gets must not depend on its neighbours in the batch.
        return [write(one)[0] for one in tokens.split(1)]

    return work


def matching(model: nn.Module, texts: Sequence[str], ids: Sequence[np.ndarray], features: np.ndarray) -> Work:
    """Judges every visual against every text.

    Args:
        model: The model.
        texts: G texts as the model gets them.
        ids: Their word pieces; int64 (L_i,) each.
        features: Their unit vectors; float32 (G, E).

    Returns:
        The task: ``matches`` with ``text``, ``score`` and ``similarity`` for each text.
    """

    def work(batch: VLBatch) -> list[Answer]:
        visual = model.encode_visual(batch.frames, batch.modality)
        similarity = to_numpy(model.project_visual(visual.pooled)) @ features.T  # (B, G)
        key_values = model.visual_key_values(visual.tokens, decoders=('alignment',))
        group = max(PAIR_BATCH // len(batch), 1)
        scores = []
        for start in range(0, len(ids), group):
            text_ids, text_mask = pad_texts(ids[start : start + group], model)
            pairs = text_ids.repeat(len(batch), 1), text_mask.repeat(len(batch), 1)  # grouped by visual
            logits = model.match_logits(*pairs, key_values)
            scores.append(to_numpy(logits.float().softmax(dim=1)[:, 1]).reshape(len(batch), -1))
        columns = np.concatenate(scores, axis=1)
        return [
            dict(matches=[dict(text=t, score=float(p), similarity=float(s)) for t, p, s in zip(texts, *rows)])
            for rows in zip(columns, similarity)
        ]

    return work


@dataclass
class Prompted:
    """What ``ZeroShotEvaluation`` needs of a dataset.

    Attributes:
        classes: Names of the classes.
        preparation: Makes word pieces of their prompts.
    """

    classes: list[str]
    preparation: Preparation

    def tokenize(self, prompt: str) -> np.ndarray:
        """Word pieces of a prompt, int64 (L,)."""
        return self.preparation.texts([prompt])[1][0]


def classifying(
    loaded: LoadedModel,
    preparation: Preparation,
    names: Sequence[str],
    templates: str | Sequence[str] | None,
    top_k: int,
) -> Work:
    """Finds the class of each visual by prompts.

    Args:
        loaded: The model and the evaluations of its config.
        preparation: Makes word pieces of the prompts.
        names: Names of the classes.
        templates: As ``OmniVLInferencer.classify``.
        top_k: Classes in ``scores``.

    Returns:
        The task: ``predicted``, ``score`` and ``scores``.

    Raises:
        ValueError: There is no name, or one twice.
    """
    names = [names] if isinstance(names, str) else list(names)
    if not names or len(set(names)) < len(names):
        raise ValueError(f'names must be different names of classes, at least one; got {names}')
    of_modality: dict[str, np.ndarray] = {}

    def class_features(modality: str) -> np.ndarray:
        if modality not in of_modality:
            known = loaded.evaluation(ZeroShotEvaluation, modality)
            protocol = ZeroShotEvaluation(templates or (known.templates if known else TEMPLATES[modality]))
            of_modality[modality] = protocol.class_features(loaded.model, Prompted(names, preparation), 'classes')
        return of_modality[modality]

    def work(batch: VLBatch) -> list[Answer]:
        pooled = loaded.model.encode_visual(batch.frames, batch.modality).pooled
        answers = []
        for scores in to_numpy(loaded.model.project_visual(pooled)) @ class_features(batch.modality).T:
            order = np.argsort(-scores, kind='stable')[:top_k]
            found = {names[place]: float(scores[place]) for place in order}
            answers.append(dict(predicted=names[order[0]], score=float(scores[order[0]]), scores=found))
        return answers

    return work


def answering(
    model: OmniVLQA,
    questions: Sequence[str],
    ids: Sequence[np.ndarray],
    answers: Sequence[str] | None,
    options: Mapping[str, Any],
) -> Work:
    """Answers every question about every visual.

    Args:
        model: A model for questions.
        questions: As the model gets them.
        ids: Their word pieces; int64 (L_i,) each.
        answers: Answers to choose from; None = written freely.
        options: Of ``rank_answers`` or ``generate_answers``.

    Returns:
        The task: ``answers`` with ``question``, ``answer`` and ``score`` for each question.
    """
    choices = [model.tokenizer.encode(answer, ANSWER_LENGTH) for answer in answers or []]

    def answer(batch: VLBatch, question: np.ndarray) -> list[tuple[str, float]]:
        text_ids, text_mask = pad_texts([question] * len(batch), model)
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
