"""Sounds of one class each: ESC-50, Speech Commands, VGGSound."""

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from omnivl.errors import OmniVLValueError
from omnivl.registry import ANNOTATIONS
from omnivl.structures import AUDIO, VIDEO, check_modality

from .base import AnnotationReader, Record
from .files import (
    iter_delimited,
    iter_lines,
    iter_table,
    read_class_list,
    require_file,
    require_folder,
    unknown_label_message,
)

ESC_FOLDS = (1, 2, 3, 4, 5)
SPEECH_LISTS = {'val': 'validation_list.txt', 'test': 'testing_list.txt'}
SPEECH_SPLITS = ('train', *SPEECH_LISTS)
NOISE = '_background_noise_'
VGG_SPLITS = ('train', 'test')


@ANNOTATIONS.register_module()
class ESC50CSV(AnnotationReader):
    """Read ``meta/esc50.csv`` (filename,fold,target,category,esc10,src_file,take).

    Figures of ESC-50 are means over five runs, each tested on one fold and trained on the others.

    Args:
        ann_file: The file.
        visual_root: Folder of the sounds, ``audio``.
        folds: The folds to use.
        esc10: Whether to use the ten classes of ESC-10 only.
    """

    modality = AUDIO.name

    def __init__(self, ann_file: str, visual_root: str, folds: Sequence[int] = ESC_FOLDS, esc10: bool = False) -> None:
        super().__init__(ann_file, visual_root)
        if not folds or not set(folds) <= set(ESC_FOLDS):
            raise OmniVLValueError(f'ESC50CSV: folds={folds!r}; allowed are some of {ESC_FOLDS}')
        self.folds = tuple(folds)
        self.esc10 = esc10

    @cached_property
    def classes(self) -> list[str]:
        """The categories in the order of their targets, of all folds."""
        require_file(self.ann_file, 'ann_file', 'ESC50CSV')
        by_target: dict[int, str] = {}
        for line, row in self._rows():
            if by_target.setdefault(int(row['target']), row['category']) != row['category']:
                known = by_target[int(row['target'])]
                raise self.error(f'line {line}', 'category', f'target {row["target"]} was {known!r} before')
        return [by_target[target] for target in sorted(by_target)]

    def _rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        for line, row in iter_table(self.ann_file, ',', ('filename', 'fold', 'target', 'category', 'esc10')):
            for column in ('fold', 'target'):
                if not (row[column].isascii() and row[column].isdigit()):
                    raise self.error(f'line {line}', column, f'expected a number, got {row[column]!r}')
            if row['esc10'] not in ('True', 'False'):
                raise self.error(f'line {line}', 'esc10', f'expected True or False, got {row["esc10"]!r}')
            if not self.esc10 or row['esc10'] == 'True':
                yield line, row

    def read(self) -> Iterator[Record]:
        """Yield the records of the folds, row after row."""
        for line, row in self._rows():
            if int(row['fold']) not in ESC_FOLDS or not row['filename']:
                raise self.error(f'line {line}', 'fold', f'expected a file of a fold of {ESC_FOLDS}, got {row}')
            if int(row['fold']) in self.folds:
                yield Record(row['filename'], self.path(row['filename']), label=row['category'])


@ANNOTATIONS.register_module()
class SpeechCommandsFolder(AnnotationReader):
    """Read the folder of Speech Commands (1804.03209): ``<word>/<speaker>_nohash_<take>.wav`` and two lists.

    ``validation_list.txt`` and ``testing_list.txt`` name the files of these splits, all others are for training.
    ``_background_noise_`` is not read.

    Args:
        visual_root: The folder.
        split: ``'train'``, ``'val'`` or ``'test'``.
        words: Words to use, which are the classes; None = those of all folders.
        others: Class that all other words are; None = they are left out.
    """

    modality = AUDIO.name

    def __init__(
        self, visual_root: str, split: str, words: Sequence[str] | None = None, others: str | None = None
    ) -> None:
        super().__init__('', visual_root)
        if split not in SPEECH_SPLITS:
            raise OmniVLValueError(f'SpeechCommandsFolder: split={split!r}; allowed are {SPEECH_SPLITS}')
        if others is not None and (words is None or others in words):
            raise OmniVLValueError(f'SpeechCommandsFolder: others={others!r} needs words, and is none of them')
        self.split = split
        self.words = None if words is None else tuple(words)
        self.others = others

    @cached_property
    def _folders(self) -> list[str]:
        require_folder(self.visual_root, 'visual_root', 'SpeechCommandsFolder')
        folders = sorted(entry.name for entry in os.scandir(self.visual_root) if entry.is_dir())
        folders = [name for name in folders if name != NOISE and not name.startswith('.')]
        missing = sorted(set(self.words or ()) - set(folders))
        if missing or not folders:
            raise self.error(None, None, f'there is no folder of the word {missing[0] if missing else "..."!r}')
        return folders

    @property
    def classes(self) -> list[str]:
        """The words, and last the class of the others."""
        return list(self.words or self._folders) + ([] if self.others is None else [self.others])

    def _listed(self) -> dict[str, str]:
        """Map the files that the lists name to their split."""
        listed: dict[str, str] = {}
        for split, name in SPEECH_LISTS.items():
            path = os.path.join(self.visual_root, name)
            require_file(path, f'visual_root (it has {name})', 'SpeechCommandsFolder')
            for line, text in iter_lines(path):
                place = text.strip()
                if place.count('/') != 1 or not place.endswith('.wav'):
                    raise self.error(f'{name}, line {line}', None, f'expected word/file.wav, got {text!r}')
                listed[place] = split
        return listed

    def read(self) -> Iterator[Record]:
        """Yield the records of the split, word after word."""
        listed = self._listed()
        for word in self._folders:
            label = word if self.words is None or word in self.words else self.others
            if label is None:
                continue
            for name in sorted(path.name for path in Path(self.visual_root, word).glob('*.wav')):
                place = f'{word}/{name}'
                if listed.get(place, 'train') == self.split:
                    yield Record(place, self.path(place), label=label)


@ANNOTATIONS.register_module()
class VGGSoundCSV(AnnotationReader):
    """Read ``vggsound.csv``: rows ``YouTube ID,start seconds,label,split`` without a header, of clips of ten seconds.

    Args:
        ann_file: The file.
        visual_root: Folder that ``path_template`` is relative to.
        split: ``'train'`` or ``'test'``; None = both.
        classes_file: Class names, one per line, in the order of their indices; None = those of the file, sorted.
        modality: What the files are to be taken for: videos, or their sounds.
        path_template: Where a clip lies; placeholders ``youtube_id`` and ``start`` in seconds.
    """

    placeholders = dict(youtube_id='', start=0)

    def __init__(
        self,
        ann_file: str,
        visual_root: str,
        split: str | None = None,
        classes_file: str | None = None,
        modality: str = VIDEO.name,
        path_template: str = '{youtube_id}_{start:06d}.mp4',
    ) -> None:
        super().__init__(ann_file, visual_root, path_template=path_template)
        if split is not None and split not in VGG_SPLITS:
            raise OmniVLValueError(f'VGGSoundCSV: split={split!r}; allowed are {VGG_SPLITS}, or None for both')
        self.split = split
        self.classes_file = classes_file
        self.modality = check_modality(modality, type(self).__name__)

    @cached_property
    def classes(self) -> list[str]:
        """The labels, of both splits."""
        if self.classes_file is not None:
            require_file(self.classes_file, 'classes_file', 'VGGSoundCSV')
            return read_class_list(self.classes_file)
        require_file(self.ann_file, 'ann_file', 'VGGSoundCSV')
        return sorted({row[2] for _, row in self._rows()})

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        for line, row in iter_delimited(self.ann_file, ','):
            row = [value.strip() for value in row]
            if len(row) != 4 or not row[0] or not row[2]:
                raise self.error(f'line {line}', None, f'expected YouTube ID,start,label,split, got {row}')
            if not (row[1].isascii() and row[1].isdigit()):
                raise self.error(f'line {line}', 'start', f'expected whole seconds, got {row[1]!r}')
            if row[3] not in VGG_SPLITS:
                raise self.error(f'line {line}', 'split', f'expected one of {VGG_SPLITS}, got {row[3]!r}')
            yield line, row

    def read(self) -> Iterator[Record]:
        """Yield the records of the split, row after row."""
        allowed = set(self.classes)
        for line, (video, start, label, split) in self._rows():
            if label not in allowed:
                raise self.error(f'line {line}', 'label', unknown_label_message(label, self.classes))
            if self.split in (None, split):
                path = self.fill_template(youtube_id=video, start=int(start))
                yield Record(os.path.splitext(path)[0], self.path(path), label=label)
