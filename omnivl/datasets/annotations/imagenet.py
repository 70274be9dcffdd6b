"""Image folders, one per class: ImageNet and everything that is laid out like it."""

import os
from collections.abc import Iterator
from functools import cached_property

from omnivl.registry import ANNOTATIONS

from ..errors import AnnotationError
from .base import AnnotationReader, Record
from .files import iter_lines, read_class_list, read_json, require_file, require_folder, unknown_label_message

_SUFFIXES = ('.jpeg', '.jpg', '.png', '.bmp', '.webp', '.ppm')


@ANNOTATIONS.register_module()
class ImageNetFolder(AnnotationReader):
    """Read ``<visual_root>/<split>/<class>/*.JPEG``; classes and files in alphabetic order.

    Args:
        visual_root: The folder.
        split: Folder of the split inside it; None when the class folders lie directly in ``visual_root``.
        class_names_file: Words for the class folders: a JSON object ``{folder: words}``, or lines ``folder words`` as
            LOC_synset_mapping.txt has them (``n01440764 tench, Tinca tinca``; the first synonym is used). None = the
            folder's name, underscores as spaces.
        classes_file: The allowed class folders, one per line, in the order of their indices; None = the folders found.
    """

    def __init__(
        self,
        visual_root: str,
        split: str | None = None,
        class_names_file: str | None = None,
        classes_file: str | None = None,
    ) -> None:
        super().__init__('', os.path.join(visual_root, split) if split else visual_root)
        self.class_names_file = class_names_file
        self.classes_file = classes_file

    @cached_property
    def classes(self) -> list[str]:
        """The class folders."""
        require_folder(self.visual_root, 'visual_root', type(self).__name__)
        with os.scandir(self.visual_root) as entries:
            found = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith('.'))
        if not found:
            raise AnnotationError(self.visual_root, None, None, 'has no class folders; expected <class>/<image>')
        if self.classes_file is None:
            return found
        require_file(self.classes_file, 'classes_file', type(self).__name__)
        allowed = read_class_list(self.classes_file)
        unknown = sorted(set(found) - set(allowed))
        if unknown:
            raise AnnotationError(
                self.visual_root, f'folder {unknown[0]!r}', 'class', unknown_label_message(unknown[0], allowed)
            )
        return allowed

    @cached_property
    def class_names(self) -> list[str]:
        """The classes in words."""
        if self.class_names_file is None:
            return [name.replace('_', ' ') for name in self.classes]
        require_file(self.class_names_file, 'class_names_file', type(self).__name__)
        words = self._words(self.class_names_file)
        missing = [name for name in self.classes if name not in words]
        if missing:
            raise AnnotationError(
                self.class_names_file,
                None,
                'class',
                f'no words for {len(missing)} class folders, such as {missing[0]!r}',
            )
        return [words[name] for name in self.classes]

    @staticmethod
    def _words(path: str) -> dict[str, str]:
        if path.endswith('.json'):
            words = read_json(path)
            if not isinstance(words, dict) or not all(isinstance(value, str) and value for value in words.values()):
                raise AnnotationError(path, None, None, 'expected a JSON object {class folder: words}')
            return words
        words = {}
        for line, text in iter_lines(path):
            folder, _, name = text.strip().partition(' ')
            name = name.split(',')[0].strip()
            if not name:
                raise AnnotationError(path, f'line {line}', 'words', f'expected "folder words", got {text!r}')
            words[folder] = name
        return words

    def read(self) -> Iterator[Record]:
        """Yield the records, row after row."""
        found = False
        for label in self.classes:
            folder = os.path.join(self.visual_root, label)
            # A class of the list may have no folder here: a subset was downloaded.
            for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
                if name.lower().endswith(_SUFFIXES):
                    found = True
                    yield Record(id=f'{label}/{name}', visual=os.path.join(folder, name), label=label)
        if not found:
            raise AnnotationError(self.visual_root, None, None, f'the class folders hold no images ({_SUFFIXES})')
