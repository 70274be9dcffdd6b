"""Something-Something v2 in its official files."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from omnivl.registry import ANNOTATIONS
from omnivl.structures import VIDEO

from ..errors import AnnotationError
from .base import AnnotationReader, Record
from .files import iter_json_list, read_json, require_file, unknown_label_message

_HINT = 'the lists of mmaction (lines "path label") are read by MMActionList'


@ANNOTATIONS.register_module()
class SomethingSomethingJSON(AnnotationReader):
    """Read ``something-something-v2-{train,validation}.json``: ``[{id, label, template, placeholders}]``.

    The class is the template: 'Holding [something]' in a row is 'Holding something' in the list of classes. The test
    file is published without templates; the validation set is the one that is reported. mmaction2's lists
    (``sthv2_train_list_videos.txt``) are read by ``MMActionList``.

    Args:
        ann_file: The JSON file.
        visual_root: Folder that ``path_template`` is relative to.
        labels_file: ``something-something-v2-labels.json``, ``{class: index as a string}``.
        path_template: Where a clip lies; placeholder ``id``.
    """

    modality = VIDEO.name
    placeholders = dict(id='')

    def __init__(self, ann_file: str, visual_root: str, labels_file: str, path_template: str = '{id}.webm') -> None:
        super().__init__(ann_file, visual_root, path_template=path_template)
        self.labels_file = labels_file

    @cached_property
    def classes(self) -> list[str]:
        """The templates without brackets, in the order of their indices."""
        require_file(self.labels_file, 'labels_file', 'SomethingSomethingJSON')
        labels = read_json(self.labels_file)
        try:
            names = sorted(labels, key=lambda name: int(labels[name]))
            whole = [int(labels[name]) for name in names] == list(range(len(names))) and names
        except (TypeError, ValueError):
            whole = False
        if not whole:
            raise AnnotationError(
                self.labels_file, None, None, 'expected a JSON object {class: index} with the indices "0", "1", ...'
            )
        return names

    @cached_property
    def class_names(self) -> list[str]:
        """The templates as sentences in small letters."""
        return [label.lower() for label in self.classes]

    def read(self) -> Iterator[Record]:
        """Yield the records, clip after clip."""
        allowed = set(self.classes)
        for row, item in iter_json_list(self.ann_file, _HINT):
            name = str(self.value(item, 'id', (str, int), row))
            label = self._label(item, row)
            if label not in allowed:
                raise self.error(row, 'template', unknown_label_message(label, self.classes))
            relative = self.fill_template(id=name)
            yield Record(id=name, visual=self.path(relative), label=label)

    def _label(self, item: dict[str, Any], row: int) -> str:
        if 'template' not in item:
            raise self.error(
                row, 'template', 'the field is missing, as in the published test file; test on the validation file'
            )
        return self.value(item, 'template', str, row).replace('[', '').replace(']', '')
