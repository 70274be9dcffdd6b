"""What was found in a folder: items, the form that they are in, and what had to be left out."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from omnivl.datasets.annotations import Record
from omnivl.errors import OmniVLValueError
from omnivl.structures import MODALITIES, modality_of_path

SHOWN = 3  # examples of what was left out


class OwnDataError(OmniVLValueError):
    """A folder of one's own data, or an option of its use, that cannot be trained on."""


@dataclass(slots=True)
class Item:
    """One picture or clip and what is said of it.

    Attributes:
        record: As a reader yields it; ``visual`` is a path, absolute or from the current folder.
        modality: What it is, by its suffix.
        group: Items of one group are never on both sides of the split; None = a group of its own.
        split: The part that the data itself puts it into, ``'train'``, ``'val'`` or ``'test'``; None = not said.
    """

    record: Record
    modality: str
    group: str | None = None
    split: str | None = None


@dataclass
class Found:
    """What a folder holds.

    Attributes:
        form: The form in words.
        items: In the order of the folder or table.
        left_out: Why -> the names of what was left out for it.
        notes: What else was understood, a line each.
    """

    form: str
    items: list[Item] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def leave_out(self, reason: str, name: object) -> None:
        """Count something that cannot be used."""
        self.left_out.setdefault(reason, []).append(str(name))

    def lines(self) -> list[str]:
        """Say what was understood, and what was left out."""
        texts = sum(len(item.record.text) for item in self.items)
        facts = [counted(self.items)]
        facts += [f'{texts} captions'] if texts else []
        labels = {item.record.label for item in self.items} - {None}
        facts += [f'{len(labels)} classes'] if labels else []
        questions = sum(item.record.question is not None for item in self.items)
        facts += [f'{questions} questions'] if questions else []
        lines = [f'understood: {self.form}: {", ".join(facts)}', *self.notes]
        for reason, names in self.left_out.items():
            more = ', ...' if len(names) > SHOWN else ''
            lines.append(f'left out: {len(names)} {reason}: {", ".join(names[:SHOWN])}{more}')
        return lines


def counted(items: Iterable[Item]) -> str:
    """Count the files of each modality, as '22 images and 3 videos'."""
    found = Counter(modality for _, modality in {(item.record.visual, item.modality) for item in items})
    parts = [f'{found[name]} {one.name if found[name] == 1 else one.plural}' for name, one in MODALITIES.items()]
    return ' and '.join(part for part, name in zip(parts, MODALITIES) if found[name]) or 'nothing'


def files_in(folder: Path) -> list[Path]:
    """List the files in a folder and below, without hidden ones, sorted by path; links to folders are not followed."""
    found = (path for path in folder.rglob('*') if path.is_file())
    return sorted(path for path in found if not any(part.startswith('.') for part in path.relative_to(folder).parts))


def media_in(folder: Path) -> list[Path]:
    """List the pictures and clips in a folder and below."""
    return [path for path in files_in(folder) if modality_of_path(path.name) is not None]


def make_item(path: Path | str, name: str, group: str | None = None, split: str | None = None) -> Item:
    """Make an item of a picture or clip, whose modality its suffix tells; ``name`` is its id."""
    modality = modality_of_path(str(path))
    assert modality is not None, 'callers hand in pictures and clips only'
    return Item(Record(id=name, visual=str(path)), modality, group, split)
