"""Visuals with questions, one item per question."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from typing_extensions import Unpack

from omnivl.errors import OmniVLValueError
from omnivl.registry import DATASETS

from .annotations import AnnotationReader, Record
from .base import DatasetOptions, VisualDataset


@DATASETS.register_module()
class QADataset(VisualDataset):
    """Questions about visuals, with the answers that were given to them.

    ``results``: ``visual, modality, clip, question, sample_id, question_id, source, rng`` and, where they are
    published, ``answers`` (all of them), ``distinct_answers``, ``answer_weights``, ``question_type``, ``answer_type``.

    A distinct answer weighs as much as the share of annotators who gave it (BLIP: 1/10 for each of VQAv2's ten), times
    ``answer_weight``.

    Args:
        annotations: See VisualDataset; a reader of questions.
        pipeline: See VisualDataset.
        name: See VisualDataset.
        answer_weight: What the answers to one question weigh in all: 1; BLIP gives those of Visual Genome 0.2.
        **options: See VisualDataset.
    """

    def __init__(
        self,
        annotations: dict | AnnotationReader,
        pipeline: Sequence[dict | Callable],
        name: str,
        answer_weight: float = 1.0,
        **options: Unpack[DatasetOptions],
    ) -> None:
        if not answer_weight > 0:
            raise OmniVLValueError(f'QADataset {name!r}: answer_weight={answer_weight}; it must be above 0')
        self.answer_weight = answer_weight
        super().__init__(annotations, pipeline, name, **options)

    def make_rows(self, records: Iterator[Record]) -> Iterable[tuple]:
        """One row per question."""
        for record in records:
            if record.question is None:
                raise OmniVLValueError(
                    f'QADataset {self.name!r}: record {record.id!r} has no question; captions go into a PairDataset'
                )
            about = (record.question, record.answers, record.question_type, record.answer_type)
            yield record.visual, record.clip, record.id, *about

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Return a question with what is known of its answers."""
        visual, clip, record_id, question, answers, question_type, answer_type = self._full_rows()[index]
        info = self._base_info(visual, clip, record_id)
        # Servers know questions by numbers, and want them back as numbers.
        info.update(question=question, question_id=int(record_id) if record_id.isdecimal() else record_id)
        if answers:
            weights = {answer: count / len(answers) for answer, count in Counter(answers).items()}
            info.update(
                answers=answers,
                distinct_answers=list(weights),
                answer_weights=[self.answer_weight * weight for weight in weights.values()],
            )
        for key, value in (('question_type', question_type), ('answer_type', answer_type)):
            if value is not None:
                info[key] = value
        return info
