"""Answers to questions about images and videos, chosen from a list or written freely."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from torch import nn

from omnivl.datasets.annotations import read_answer_list
from omnivl.errors import OmniVLValueError
from omnivl.models.interfaces import Answers, TextTokenizer, serving
from omnivl.registry import EVALUATIONS
from omnivl.storage.hashes import file_sha256
from omnivl.structures import VLBatch, VLDataSample

from .base import Evaluation, EvaluationResult, batches, describe, gather_described
from .caption_scores import split_words
from .vqa_accuracy import RULES, soft_accuracy

PROTOCOLS = ('vqav2', 'exact')
SUFFIXES = {'rank': '', 'generate': '_generated'}
# Kinds of questions that are rarer than this get no figure of their own, where the data set does not name the kinds.
RARE = 0.01

Row = dict[str, Any]
Score = Callable[[str, Sequence[str]], float]


@EVALUATIONS.register_module()
class QAEvaluation(Evaluation):
    """Answers each question and compares with what people answered.

    Protocols: ``'vqav2'`` is the soft accuracy of VQAv2 (``vqa_accuracy.py``), over all questions and by type of
    answer; ``'exact'`` the share of right answers of video QA (MSRVTT-QA, MSVD-QA), where a question whose answer is
    not in the list counts as wrong, over all questions and by their first words.

    Metrics in percent: ``accuracy`` and ``accuracy_<type>``; those of free generation with ``_generated`` at the end.
    Test sets without answers have predictions only. The chance level is that of the best constant answer to each type
    of question (as published, else its first two words): what one can know without looking.

    Predictions have for each question ``question, question_id, answers``, an answer under the name of each method, and
    ``score``: method -> log-likelihood of the ranked answer, or what beam search ranks by.

    Args:
        protocol: See above.
        answer_list: The answers to choose from, or the path of a JSON file, see ``read_answer_list``; None = only free
            generation, and every answer may be right.
        methods: ``'rank'`` (needs the list), ``'generate'``, or both. An answer that is written freely and is one of
            the list but for spaces gets the spelling of the list.
        k: Answers that ranking looks at in full (128 in BLIP).
        num_beams: Of free generation (3 in BLIP); 1 is greedy.
        max_length: Most word pieces of a free answer, the closing one included.
        max_answer_pieces: Most word pieces of an answer of the list, [CLS] and [SEP] included.
        rule: Revision of VQAv2's code, see ``vqa_accuracy.py``.
        type_words: Number of first words by which ``'exact'`` sorts questions that have no published type.
    """

    headline = ('accuracy', 'accuracy_generated')

    def __init__(
        self,
        protocol: str,
        answer_list: Sequence[str] | str | None = None,
        methods: Sequence[str] = ('rank',),
        k: int = 128,
        num_beams: int = 3,
        max_length: int = 10,
        max_answer_pieces: int = 20,
        rule: str = 'official',
        type_words: int = 1,
    ) -> None:
        if protocol not in PROTOCOLS:
            raise OmniVLValueError(f'protocol must be one of {PROTOCOLS}, got {protocol!r}')
        if not methods or not set(methods) <= set(SUFFIXES):
            raise OmniVLValueError(f'methods must be some of {sorted(SUFFIXES)}, got {list(methods)}')
        if 'rank' in methods and not answer_list:
            raise OmniVLValueError(
                "method 'rank' needs an answer_list; without one there is only methods=('generate',)"
            )
        if rule not in RULES:
            raise OmniVLValueError(f'rule must be one of {RULES}, got {rule!r}')
        if min(k, num_beams, max_length, type_words) < 1:
            raise OmniVLValueError('k, num_beams, max_length and type_words must be at least 1')
        self.protocol = protocol
        self.answer_list = answer_list
        self.methods = tuple(methods)
        self.k = k
        self.num_beams = num_beams
        self.max_length = max_length
        self.max_answer_pieces = max_answer_pieces
        self.rule = rule
        self.type_words = type_words

    @property
    def needs(self) -> tuple[type, ...]:
        """A model that answers questions."""
        return (Answers,)

    def evaluate(self, model: nn.Module, dataloader: Iterable, name: str) -> EvaluationResult:
        """Answer every question once with each method."""
        answers = read_answer_list(self.answer_list) if isinstance(self.answer_list, str) else self.answer_list
        answerer = serving(model, Answers, name)
        choices = _Choices(answers, answerer.tokenizer, self.max_answer_pieces)
        rows: list[Row] = []
        for batch, samples in batches(model, dataloader, name):
            rows += self._answer(answerer, batch, samples, choices)
        rows, shared = gather_described(rows, name)
        metrics, chance = self._metrics(rows, choices) if _are_answered(rows, name) else ({}, {})
        protocol = dict(
            task='qa',
            protocol=f'VQAv2 soft accuracy, {self.rule} rule' if self.protocol == 'vqav2' else 'exact match',
            **shared,
            questions=len(rows),
            answers_to_choose_from=len(choices.texts),
            answer_list=_describe_list(self.answer_list),
            answers_outside_the_list=sum(choices.lacks(row['answers']) for row in rows) if metrics else None,
            methods=list(self.methods),
            k=min(self.k, len(choices.texts)) if 'rank' in self.methods else None,
            num_beams=self.num_beams if 'generate' in self.methods else None,
            max_length=self.max_length if 'generate' in self.methods else None,
        )
        return EvaluationResult(metrics, chance, rows, protocol)

    def submission(self, predictions: Sequence[Row]) -> list[dict[str, Any]] | None:
        """Return what VQAv2's server takes: ``[{question_id, answer}]``, the answers of the first method.

        Other protocols have no server: None.
        """
        if self.protocol != 'vqav2':
            return None
        return [{'question_id': row['question_id'], 'answer': row[self.methods[0]]} for row in predictions]

    def _answer(
        self, model: Answers, batch: VLBatch, samples: Sequence[VLDataSample], choices: '_Choices'
    ) -> list[Row]:
        """Write the rows of one batch."""
        questions = model.read_questions(batch)
        rows = [_describe_question(sample, batch) for sample in samples]
        for method in self.methods:
            if method == 'rank':
                best, scores = model.rank_answers(batch, choices.ids, self.k, questions=questions)
                found = [(choices.texts[index], score) for index, score in zip(best.tolist(), scores.tolist())]
            else:
                written = model.generate_answers(
                    batch,
                    'beam' if self.num_beams > 1 else 'greedy',
                    num_beams=self.num_beams,
                    max_length=self.max_length,
                    questions=questions,
                )
                found = [(choices.spelling.get(text, text), score) for text, score in written]
            for row, (text, score) in zip(rows, found):
                row[method] = text
                row['score'][method] = score
        return rows

    def _metrics(self, rows: Sequence[Row], choices: '_Choices') -> tuple[dict[str, float], dict[str, float]]:
        """Compute figures and chance level of all questions and of each type."""
        score = self._score(choices)
        kinds = self._kinds(rows)
        blind = _blind_scores(rows, score)
        metrics: dict[str, float] = {}
        chance: dict[str, float] = {}
        for method in self.methods:
            scores = np.array([score(row[method], row['answers']) for row in rows])
            for kind, index in {'': np.arange(len(rows)), **kinds}.items():
                key = f'accuracy{kind}{SUFFIXES[method]}'
                metrics[key] = 100.0 * float(scores[index].mean())
                chance[key] = 100.0 * float(blind[index].mean())
        return metrics, chance

    def _score(self, choices: '_Choices') -> Score:
        if self.protocol == 'vqav2':
            return lambda answer, truth: soft_accuracy(answer, truth, self.rule)
        return lambda answer, truth: float(
            not choices.lacks(truth) and any(_plain(answer) == _plain(right) for right in truth)
        )

    def _kinds(self, rows: Sequence[Row]) -> dict[str, np.ndarray]:
        """Sort the questions: ``'_<type>'`` -> the questions of this type."""
        kinds: dict[str, list[int]] = defaultdict(list)
        published = all('answer_type' in row for row in rows)
        if not published and self.protocol == 'vqav2':
            return {}
        for number, row in enumerate(rows):
            words = row['answer_type'] if published else _first_words(row, self.type_words)
            kinds['_' + '_'.join(split_words(words))].append(number)
        fewest = 1 if published else RARE * len(rows)
        return {kind: np.array(kinds[kind]) for kind in sorted(kinds) if len(kinds[kind]) >= fewest}


class _Choices:
    """The answers to choose from.

    Args:
        answers: As texts; None = there is no list.
        tokenizer: The model's.
        max_pieces: See ``QAEvaluation``.
    """

    def __init__(self, answers: Sequence[str] | None, tokenizer: TextTokenizer, max_pieces: int) -> None:
        self.texts = list(answers or ())
        self.ids = [tokenizer.encode(text, max_pieces) for text in self.texts]
        # How the decoder would write them: 't - shirt' for 't-shirt'.
        self.spelling = {tokenizer.decode(ids): text for ids, text in zip(self.ids, self.texts)}
        self.known = {_plain(text) for text in self.texts}

    def lacks(self, truth: Sequence[str]) -> bool:
        """Say whether no right answer is in the list."""
        return bool(self.texts) and not any(_plain(text) in self.known for text in truth)


def _describe_list(answer_list: Sequence[str] | str | None) -> dict[str, str] | None:
    """Return file and checksum of a list that is one."""
    return dict(file=answer_list, sha256=file_sha256(answer_list)) if isinstance(answer_list, str) else None


def _plain(text: str) -> str:
    return ' '.join(text.lower().split())


def _first_words(row: Row, count: int) -> str:
    return ' '.join(split_words(row['question'])[:count])


def _describe_question(sample: VLDataSample, batch: VLBatch) -> Row:
    row = describe(sample, batch) | {'score': {}, 'answers': None}
    for key in ('question', 'question_id', 'answers', 'question_type', 'answer_type'):
        if key in sample:
            row[key] = sample.get(key)
    return row


def _are_answered(rows: Sequence[Row], name: str) -> bool:
    """Say whether there is something to compare with; all questions or none."""
    without = [row for row in rows if not row['answers']]
    if without and len(without) < len(rows):
        raise OmniVLValueError(
            f'{name}: question {without[0]["question_id"]!r} has no answers ({len(without)} of {len(rows)} have none): '
            'all questions of an evaluation have answers, or none has'
        )
    return not without


def _blind_scores(rows: Sequence[Row], score: Score) -> np.ndarray:
    """Score each question, float (questions,), as if every type of question got its best constant answer."""
    groups: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        groups[row.get('question_type') or _first_words(row, 2)].append(number)
    scores = np.zeros(len(rows))
    for members in groups.values():
        totals: dict[str, float] = defaultdict(float)
        for number in members:
            truth = rows[number]['answers']
            for answer in set(truth):
                totals[answer] += score(answer, truth)
        best = min(totals, key=lambda answer: (-totals[answer], answer))  # of equals always the same
        scores[members] = [score(best, rows[number]['answers']) for number in members]
    return scores
