"""Multiple choice: a visual and several texts, one of which is true."""

from collections.abc import Iterator

from omnivl.registry import ANNOTATIONS
from omnivl.structures import VIDEO, check_modality

from .base import AnnotationReader, Record, named
from .files import iter_json_rows


@ANNOTATIONS.register_module()
class MultipleChoiceList(AnnotationReader):
    """Read rows of ``{video, caption: [texts], answer: place of the true one}``, a JSON list or one JSON row per line.

    ===================================  ================  =================  ==================
    file                                 ``visual_field``  ``choices_field``  ``path_template``
    ===================================  ================  =================  ==================
    ``msrvtt_mc_test.json`` (VindLU)     ``'video'``       ``'caption'``      ``'{visual}'``
    ``msrvtt_mc_test.jsonl`` (ClipBERT)  ``'clip_name'``   ``'options'``      ``'{visual}.mp4'``
    ===================================  ================  =================  ==================

    Args:
        ann_file: The file; one row per line where its name ends in ``.jsonl``.
        visual_root: Folder that ``path_template`` is relative to.
        visual_field: Field of the visual.
        choices_field: Field of the texts to choose from.
        answer_field: Field of the place of the true one, from 0.
        id_field: Field of the question's id; a row without it is named after its place.
        modality: What the visuals are.
        path_template: Where a visual lies; placeholders ``visual``, as the field has it, and ``stem``, without suffix.
    """

    placeholders = named('')

    def __init__(
        self,
        ann_file: str,
        visual_root: str,
        visual_field: str = VIDEO.name,
        choices_field: str = 'caption',
        answer_field: str = 'answer',
        id_field: str = 'qid',
        modality: str = VIDEO.name,
        path_template: str = '{visual}',
    ) -> None:
        super().__init__(ann_file, visual_root, path_template=path_template)
        self.visual_field = visual_field
        self.choices_field = choices_field
        self.answer_field = answer_field
        self.id_field = id_field
        self.modality = check_modality(modality, type(self).__name__)

    def read(self) -> Iterator[Record]:
        """Yield the records, question after question."""
        for number, (row, item) in enumerate(iter_json_rows(self.ann_file)):
            visual = self.value(item, self.visual_field, str, row)
            choices = self.captions(self.value(item, self.choices_field, list, row), row, self.choices_field)
            if len(choices) < 2:
                raise self.error(row, self.choices_field, f'{len(choices)} texts are no choice; give at least 2')
            answer = self.value(item, self.answer_field, int, row)
            if not 0 <= answer < len(choices):
                message = f'{answer} is no place among {len(choices)} texts; places count from 0'
                raise self.error(row, self.answer_field, message)
            name = self.value(item, self.id_field, (int, str), row) if self.id_field in item else number
            yield Record(
                id=str(name),
                visual=self.path(self.fill_template(**named(visual))),
                choices=choices,
                answer_index=answer,
            )
