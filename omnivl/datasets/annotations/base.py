"""What every annotation reader yields, and what all readers have in common."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

from omnivl.errors import OmniVLValueError
from omnivl.structures import IMAGE

from ..errors import AnnotationError
from .files import require_file, require_folder


@dataclass(slots=True)
class Record:
    """One visual of an annotation file and what is said of it.

    Attributes:
        id: Names the record within its file.
        visual: Path of the image or video.
        text: The captions; empty for label sets.
        label: The class, one of the reader's ``classes``.
        clip: The part of the video that is meant, (start, end) in seconds; None = all of it.
        question: A question about the visual.
        answers: All answers that were given to it, repeated ones too; None where they are not published.
        question_type: How the data set sorts the question, e.g. by its first words.
        answer_type: How the data set sorts the answer, e.g. ``'yes/no'``.
        choices: The texts to choose the true one from.
        answer_index: The place of the true one among them.
        domain: How near to the captions of COCO the visual is: NoCaps' ``'in'``, ``'near'`` or ``'out'``.
    """

    id: str
    visual: str
    text: list[str] = field(default_factory=list)
    label: str | None = None
    clip: tuple[float, float] | None = None
    question: str | None = None
    answers: list[str] | None = None
    question_type: str | None = None
    answer_type: str | None = None
    choices: list[str] | None = None
    answer_index: int | None = None
    domain: str | None = None


class ReaderOptions(TypedDict, total=False):
    """Arguments of AnnotationReader that its subclasses hand on as they are."""

    empty: str
    path_template: str


class AnnotationReader(ABC):
    """Read one published annotation dialect; iterating it yields records, in the order of the file.

    Files are opened when the iteration begins, so a config can be built on a machine without the data. Whether the
    images and videos exist is not looked up here: that is the broken policy of the dataset, at load time.

    Args:
        ann_file: The annotation file; '' for dialects that have none.
        visual_root: Folder that the paths in the file are relative to; '' = the working directory.
        empty: What to do with an empty caption: ``'raise'``, or ``'drop'`` it and count it in ``dropped``.
        path_template: Where a visual lies under it, for dialects whose file tells no paths; None = as the dialect is
            published.

    Attributes:
        modality: What the visuals are.
        placeholders: What ``path_template`` may hold, with values of the right types.
        alternatives: Whether it is known of the set that each of a visual's captions tells all of it, so that they
            cannot be the sentences of one paragraph.
        dropped: Number of empty captions that the last iteration dropped.
    """

    modality: str = IMAGE.name
    path_template: str = ''
    placeholders: Mapping[str, str | int] = {}
    alternatives: bool = False

    def __init__(self, ann_file: str, visual_root: str, empty: str = 'raise', path_template: str | None = None) -> None:
        if empty not in ('raise', 'drop'):
            raise OmniVLValueError(f"{type(self).__name__}: empty={empty!r}; allowed are 'raise' and 'drop'")
        self.ann_file = os.fspath(ann_file)
        self.visual_root = os.fspath(visual_root)
        self.empty = empty
        if path_template is not None:
            if not self.placeholders:
                raise OmniVLValueError(f'{type(self).__name__}: its files tell the paths, there is no path_template')
            self.path_template = path_template
        self.dropped = 0
        self.fill_template(**self.placeholders)  # a placeholder that is none shows now, and not at the first row

    @property
    def classes(self) -> list[str] | None:
        """The classes of a label set, in the order of their indices; None for other sets."""
        return None

    @property
    def class_names(self) -> list[str] | None:
        """The classes in words, for prompts; parallel to ``classes``."""
        return None if self.classes is None else [label.replace('_', ' ') for label in self.classes]

    def __iter__(self) -> Iterator[Record]:
        name = type(self).__name__
        if self.ann_file:
            require_file(self.ann_file, 'ann_file', name)
        if self.visual_root and '://' not in self.visual_root:
            require_folder(self.visual_root, 'visual_root', name)
        self.dropped = 0
        yield from self.read()

    @abstractmethod
    def read(self) -> Iterator[Record]:
        """Yield the records; the paths were checked before."""

    def error(self, row: int | str | None, field: str | None, message: str) -> AnnotationError:
        """Return an error about a row of the annotation file, to be raised."""
        return AnnotationError(self.ann_file or self.visual_root, row, field, message)

    def captions(self, texts: Iterable[Any], row: int | str | None, field: str | None) -> list[str]:
        """Strip captions and apply the policy for empty ones; ``row`` and ``field`` are for the error message."""
        kept = []
        for text in texts:
            if not isinstance(text, str):
                raise self.error(row, field, f'expected a caption, got {shorten(text)}')
            text = text.strip()
            if text:
                kept.append(text)
            elif self.empty == 'raise':
                raise self.error(row, field, "the caption is empty; empty='drop' leaves such captions out")
            else:
                self.dropped += 1
        return kept

    def value(self, row: object, key: str, kinds: type | tuple[type, ...], place: int | str) -> Any:
        """Take a field out of a JSON row, of one of ``kinds`` and not empty; ``place`` is for the error message."""
        if not isinstance(row, dict):
            raise self.error(place, None, f'expected an object, got {shorten(row)}')
        if key not in row:
            raise self.error(place, key, f'the field is missing; the row has {sorted(row)}')
        value = row[key]
        # bool is an int to isinstance, but no id and no path.
        if not isinstance(value, kinds) or isinstance(value, bool) or value == '':
            names = ' or '.join(kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))
            raise self.error(place, key, f'expected {names} (not empty), got {shorten(value)}')
        return value

    def path(self, relative: str) -> str:
        """Return the path of a visual that the file names by a path, or by a URL."""
        return relative if '://' in relative else os.path.join(self.visual_root, relative)

    def fill_template(self, **values: str | int) -> str:
        """Fill ``path_template``; a placeholder without a value is an error, which names the allowed ones."""
        try:
            return self.path_template.format(**values)
        except (KeyError, IndexError, ValueError) as error:
            raise OmniVLValueError(
                f'{type(self).__name__}: path_template={self.path_template!r} cannot be filled ({error!r}); the '
                f'placeholders are {sorted(values)}'
            ) from error


def named(visual: str) -> dict[str, str | int]:
    """Return the placeholders of dialects that name a visual: ``visual`` and, without its suffix, ``stem``."""
    return dict(visual=visual, stem=os.path.splitext(visual)[0])


def shorten(value: object) -> str:
    """Return the beginning of what a file holds, for an error message."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + '...'
