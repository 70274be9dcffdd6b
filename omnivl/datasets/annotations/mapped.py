"""The classes of one data set as classes of another, such as those of Kinetics-400 as some of Kinetics-710."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import cast

from omnivl.errors import OmniVLFileNotFoundError, OmniVLValueError
from omnivl.registry import ANNOTATIONS

from ..errors import AnnotationError
from .base import AnnotationReader, Record
from .files import read_class_list, read_json, require_file


def read_label_map(path: str, num_classes: int) -> list[int]:
    """Read a label map, a JSON list of indices, each below ``num_classes``: entry i is what class i is called there."""
    try:
        targets = read_json(path)
    except FileNotFoundError as error:
        raise OmniVLFileNotFoundError(f'the label map {path!r} does not exist; set label_map in the config') from error
    if not isinstance(targets, list) or not targets:
        raise AnnotationError(path, None, None, 'expected a JSON list of class indices')
    for row, target in enumerate(targets):
        if not isinstance(target, int) or isinstance(target, bool) or not 0 <= target < num_classes:
            raise AnnotationError(
                path, row, None, f'expected the index of one of {num_classes} classes, got {target!r}'
            )
    return targets


@ANNOTATIONS.register_module()
class MappedClasses(AnnotationReader):
    """Read a label set with another reader and give its labels as those of a second list of classes.

    Args:
        annotations: Config of the reader.
        classes_file: The classes wanted, one per line, in the order of their indices.
        label_map: A JSON list, one index into ``classes_file`` for each class of the reader, in its order; None = by
            equal names.
    """

    def __init__(self, annotations: dict | AnnotationReader, classes_file: str, label_map: str | None = None) -> None:
        reader = ANNOTATIONS.build(annotations) if isinstance(annotations, dict) else annotations
        super().__init__(reader.ann_file, reader.visual_root, reader.empty)
        self.reader = reader
        self.modality = reader.modality
        self.classes_file = classes_file
        self.label_map = label_map

    @cached_property
    def classes(self) -> list[str]:
        """The classes wanted."""
        require_file(self.classes_file, 'classes_file', 'MappedClasses')
        return read_class_list(self.classes_file)

    @cached_property
    def targets(self) -> dict[str, str]:
        """Label of the reader -> label of ``classes``."""
        own = self.reader.classes
        if own is None:
            raise OmniVLValueError(f'MappedClasses: {type(self.reader).__name__} reads captions, not classes')
        if self.label_map is None:
            if missing := sorted(set(own) - set(self.classes)):
                raise AnnotationError(
                    self.classes_file,
                    None,
                    'class',
                    f'{len(missing)} classes are not in it, such as {missing[:5]}; '
                    'give a label_map, which says by indices what they are called there',
                )
            return dict(zip(own, own))
        indices = read_label_map(self.label_map, len(self.classes))
        if len(indices) != len(own):
            raise AnnotationError(
                self.label_map, None, None, f'{len(indices)} entries for the {len(own)} classes of {self.ann_file}'
            )
        return {label: self.classes[index] for label, index in zip(own, indices)}

    def read(self) -> Iterator[Record]:
        """Yield the records of the reader, relabelled."""
        for record in self.reader.read():
            yield replace(record, label=self.targets[cast(str, record.label)])
        self.dropped = self.reader.dropped
