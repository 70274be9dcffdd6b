"""Oxford Flowers-102 as published: one folder of pictures, and two small files of MATLAB that say what they are."""

import importlib
import os
from collections.abc import Iterator
from functools import cached_property

import numpy as np

from omnivl.errors import OmniVLImportError
from omnivl.registry import ANNOTATIONS

from ..errors import AnnotationError
from .base import AnnotationReader, Record
from .files import read_json, require_file

SETS = {'train': 'trnid', 'val': 'valid', 'test': 'tstid'}


@ANNOTATIONS.register_module()
class Flowers102(AnnotationReader):
    """Read ``setid.mat`` (the pictures of a split) and ``imagelabels.mat`` (the class of each picture).

    Args:
        ann_file: ``setid.mat``.
        visual_root: The folder ``jpg``, with ``image_00001.jpg`` and so on.
        labels_file: ``imagelabels.mat``.
        split: ``'train'``, ``'val'`` or ``'test'``: 1020, 1020 and 6149 pictures.
        class_names_file: Words for the classes: a JSON object from number to words, the ``cat_to_name.json`` that goes
            around; None = their numbers, from 1.
    """

    def __init__(
        self, ann_file: str, visual_root: str, labels_file: str, split: str, class_names_file: str | None = None
    ) -> None:
        super().__init__(ann_file, visual_root)
        self.labels_file = labels_file
        self.split = split
        self.class_names_file = class_names_file

    @cached_property
    def labels(self) -> np.ndarray:
        """Number of the class of each picture, from 1; int64 (N,)."""
        require_file(self.labels_file, 'labels_file', 'Flowers102')
        return read_matlab(self.labels_file)['labels']

    @cached_property
    def classes(self) -> list[str]:
        """The numbers of the classes."""
        return [str(number) for number in range(1, int(self.labels.max()) + 1)]

    @cached_property
    def class_names(self) -> list[str]:
        """The classes in words."""
        if self.class_names_file is None:
            return self.classes
        require_file(self.class_names_file, 'class_names_file', 'Flowers102')
        words = read_json(self.class_names_file)
        missing = [label for label in self.classes if not isinstance(words, dict) or label not in words]
        if missing:
            raise AnnotationError(self.class_names_file, None, 'class', f'no words for the classes {missing[:5]}')
        return [words[label] for label in self.classes]

    def read(self) -> Iterator[Record]:
        """Yield the records of the split."""
        sets = read_matlab(self.ann_file)
        numbers = sets.get(SETS.get(self.split, ''))
        if numbers is None:
            raise self.error(None, 'split', f'no {self.split!r} in it; allowed are {list(SETS)}, it has {sorted(sets)}')
        for number in numbers.tolist():
            if not 1 <= number <= len(self.labels):
                raise self.error(None, SETS[self.split], f'no label for picture {number} in {self.labels_file}')
            name = f'image_{number:05d}.jpg'
            yield Record(id=name, visual=self.path(name), label=str(self.labels[number - 1]))


def read_matlab(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read the arrays of numbers of a MATLAB file, whatever their shape.

    Args:
        path: File.

    Returns:
        dict: Name -> values, int64 (N,).

    Raises:
        AnnotationError: It cannot be read.
        OmniVLImportError: scipy is not installed.
    """
    try:
        matlab = importlib.import_module('scipy.io')
    except ImportError as error:
        raise OmniVLImportError("Flowers102 needs scipy: pip install 'omnivl[matlab]'") from error
    try:
        found = matlab.loadmat(path)
    except Exception as error:  # scipy raises whatever a damaged file leads to
        raise AnnotationError(os.fspath(path), None, None, f'cannot be read as a MATLAB file: {error}') from error
    numbers = {name: values for name, values in found.items() if getattr(values, 'dtype', np.dtype('O')).kind in 'iuf'}
    return {name: values.ravel().astype(np.int64) for name, values in numbers.items()}
