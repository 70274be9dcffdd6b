"""Questions about images: VQAv2's official files, BLIP's lists (VQAv2 and Visual Genome), and lists of answers."""

from collections.abc import Iterator
from typing import Any

from omnivl.registry import ANNOTATIONS
from omnivl.structures import IMAGE

from ..errors import AnnotationError
from .base import AnnotationReader, Record, shorten
from .files import iter_json_list, read_json, require_file

_HINT = "the official files ({'questions': [...]}) are read by VQAv2JSON"


@ANNOTATIONS.register_module()
class VQAv2JSON(AnnotationReader):
    """Read VQAv2's two files: ``v2_OpenEnded_mscoco_*_questions.json`` and ``v2_mscoco_*_annotations.json``.

    ``{questions: [{image_id, question, question_id}], data_subtype}`` and ``{annotations: [{question_id, image_id,
    question_type, answer_type, answers: [10 x {answer}]}]}``. One record per question, with all ten answers.

    Args:
        ann_file: The questions.
        visual_root: Folder that ``path_template`` is relative to.
        answers_file: The annotations; None for test sets, whose answers are not published.
        path_template: Where an image lies under it; placeholders ``image_id`` and ``subtype``, the ``data_subtype`` of
            the file, where ``test-dev2015`` counts as ``test2015``, whose images it asks about.
    """

    placeholders = dict(image_id=0, subtype='')

    def __init__(
        self,
        ann_file: str,
        visual_root: str,
        answers_file: str | None = None,
        path_template: str = '{subtype}/COCO_{subtype}_{image_id:012d}.jpg',
    ) -> None:
        super().__init__(ann_file, visual_root, path_template=path_template)
        self.answers_file = answers_file

    def read(self) -> Iterator[Record]:
        """Yield the records, question after question."""
        subtype, questions = self._questions()
        annotations = self._annotations()
        seen: set[int] = set()
        for row, item in enumerate(questions):
            number = self.value(item, 'question_id', int, row)
            if number in seen:
                raise self.error(row, 'question_id', f'{number} is there twice')
            seen.add(number)
            record = Record(
                id=str(number),
                visual=self._visual(self.value(item, 'image_id', int, row), subtype),
                question=self.value(item, 'question', str, row),
            )
            if annotations is not None:
                if number not in annotations:
                    raise self.error(row, 'question_id', f'{self.answers_file} has no answers to question {number}')
                annotation = annotations[number]
                if annotation['image_id'] != item['image_id']:
                    raise self.error(
                        row,
                        'image_id',
                        f'is {item["image_id"]}, but {annotation["image_id"]} in {self.answers_file}: '
                        'are the two files of one split?',
                    )
                record.answers = annotation['answers']
                record.question_type, record.answer_type = annotation['question_type'], annotation['answer_type']
            yield record

    def _visual(self, image_id: int, subtype: str) -> str:
        return self.path(self.fill_template(image_id=image_id, subtype=subtype))

    def _questions(self) -> tuple[str, list]:
        content = read_json(self.ann_file)
        if not isinstance(content, dict) or not isinstance(content.get('questions'), list):
            raise self.error(
                None, 'questions', "expected {'questions': [...]}; BLIP's lists are read by BLIPQuestionJSON"
            )
        return str(content.get('data_subtype', '')).replace('-dev', ''), content['questions']

    def _annotations(self) -> dict[int, dict[str, Any]] | None:
        """Question id -> what of the annotations a record needs."""
        if self.answers_file is None:
            return None
        require_file(self.answers_file, 'answers_file', 'VQAv2JSON')
        content = read_json(self.answers_file)
        rows = content.get('annotations') if isinstance(content, dict) else None
        if not isinstance(rows, list):
            raise AnnotationError(self.answers_file, None, 'annotations', "expected {'annotations': [...]}")
        kept = {}
        for row, item in enumerate(rows):
            try:
                kept[item['question_id']] = dict(
                    image_id=item['image_id'],
                    answers=[answer['answer'] for answer in item['answers']],
                    question_type=item.get('question_type'),
                    answer_type=item.get('answer_type'),
                )
            except (KeyError, TypeError) as error:
                raise AnnotationError(
                    self.answers_file, row, None, f'expected question_id, image_id and answers, got {shorten(item)}'
                ) from error
        return kept


@ANNOTATIONS.register_module()
class BLIPQuestionJSON(AnnotationReader):
    """Read ``[{question_id?, question, answer: [str] | str, image}]``: vqa_train.json, vqa_test.json, vg_qa.json.

    A row without ``answer`` is of a test set; one without ``question_id`` is named after its place. The list is
    streamed. For the arguments see AnnotationReader.
    """

    def read(self) -> Iterator[Record]:
        """Yield the records, question after question."""
        for row, item in iter_json_list(self.ann_file, _HINT):
            visual = self.path(self.value(item, IMAGE.name, str, row))
            name = self.value(item, 'question_id', (int, str), row) if 'question_id' in item else row
            yield Record(
                id=str(name),
                visual=visual,
                question=self.value(item, 'question', str, row),
                answers=self._answers(item, row),
            )

    def _answers(self, item: dict[str, Any], row: int) -> list[str] | None:
        if 'answer' not in item:
            return None
        answers = [item['answer']] if isinstance(item['answer'], str) else item['answer']
        if not isinstance(answers, list) or not answers or not all(isinstance(answer, str) for answer in answers):
            raise self.error(row, 'answer', f'expected an answer or a list of answers, got {shorten(item["answer"])}')
        return answers


def read_answer_list(path: str) -> list[str]:
    """Read the answers to choose from: ``[answer]`` (answer_list.json) or ``{answer: index}`` (train_ans2label.json).

    They come in the order of the file or of their indices; an answer that is there twice is an error.
    """
    require_file(path, 'answer_list', 'QAEvaluation')
    content = read_json(path)
    if isinstance(content, dict) and all(isinstance(index, int) for index in content.values()):
        content = sorted(content, key=content.__getitem__)
    if not isinstance(content, list) or not content or not all(isinstance(answer, str) for answer in content):
        raise AnnotationError(path, None, None, f'expected a list of answers, got {shorten(content)}')
    if len(set(content)) < len(content):
        twice = next(answer for number, answer in enumerate(content) if answer in content[:number])
        raise AnnotationError(path, None, None, f'the answer {twice!r} is there twice')
    return content
