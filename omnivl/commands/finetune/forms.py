"""Finds out in which form a folder of one's own is, and reads it."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from omnivl.datasets.annotations import COCOCaptions, KarpathyJSON, Record
from omnivl.structures import MODALITIES, modality_of_path

from .columns import SPLITS
from .items import Found, Item, OwnDataError, files_in, make_item, media_in
from .shards import unpack_shards
from .tables import SUFFIXES, assign_columns, read_tables, rows_of

METADATA = ('metadata.jsonl', 'metadata.csv')
FORMS = {
    'metadata': 'metadata.jsonl or metadata.csv of Hugging Face beside pictures and clips',
    'shards': 'tar files of img2dataset or video2dataset',
    'table': 'a CSV, TSV, JSON or JSONL file whose columns name files and what they show',
    'coco': 'captions in the JSON of COCO, or of Karpathy',
    'texts': 'pictures and clips with a .txt beside each, one caption a line',
    'classes': 'a folder for each class',
}
# Of several forms that are there at once these are taken; among the others a person decides.
SURE = ('metadata', 'shards')


def understand(folder: Path, form: str | None, columns: Mapping[str, str], unpacked: Path) -> Found:
    """Find out the form of a folder, and read it.

    Args:
        folder: The folder; or a table, a JSON file or a tar file, beside the files that it names.
        form: A key of ``FORMS``; None = found out.
        columns: See ``read_tables``.
        unpacked: Folder that shards are unpacked into.

    Returns:
        What is there.

    Raises:
        OwnDataError: There is nothing, or several forms, or nothing of the form that was asked for.
    """
    if not folder.exists():
        raise OwnDataError(f'there is no folder {folder}: give one that holds {_allowed()}')
    root = folder if folder.is_dir() else folder.parent
    files = files_in(folder) if folder.is_dir() else [folder]
    forms = _forms_of(files, root, columns)
    if form is not None and form not in forms:
        raise OwnDataError(
            f'{folder} has nothing of the form {form!r} ({FORMS[form]})'
            + (f'; it has {" and ".join(forms)}' if forms else '')
        )
    if not forms:
        what = f'{len(files)} files' if files else 'nothing'
        raise OwnDataError(f'{folder} holds {what}, and no form that is known: {_allowed()}')
    chosen = form or next((name for name in SURE if name in forms), None) or next(iter(forms))
    others = [name for name in forms if name != chosen]
    if form is None and chosen not in SURE and others and others != ['classes']:
        named = ' and '.join(f'{name} ({", ".join(path.name for path in forms[name][:2])})' for name in forms)
        raise OwnDataError(f'{folder} can be read as {named}: say which with --form {" or --form ".join(forms)}')
    found = READERS[chosen](forms[chosen], root, columns, unpacked)
    if not found.items:
        raise OwnDataError(f'{folder}: no item can be used. {"; ".join(found.lines()[1:]) or found.form}')
    if others and chosen != 'classes':
        found.notes.append(f'not used: {", ".join(others)}, as {chosen} says more (--form takes another)')
    return found


def _allowed() -> str:
    return '; '.join(f'{line} ({name})' for name, line in FORMS.items())


def _forms_of(files: list[Path], root: Path, columns: Mapping[str, str]) -> dict[str, list[Path]]:
    """Map each form that is there to the files that show it, in the order of ``FORMS``."""
    media = [path for path in files if modality_of_path(path.name) is not None]
    stems = {path.with_suffix('') for path in media}
    texts = [path for path in files if path.suffix == '.txt' and path.with_suffix('') in stems]
    # Such a file beside a picture is its own, as img2dataset writes them.
    alone = [path for path in files if path.suffix in SUFFIXES and path.with_suffix('') not in stems]
    found = {
        'metadata': [path for path in alone if path.name in METADATA],
        'shards': [path for path in files if path.suffix == '.tar'],
        'table': [path for path in alone if path.name not in METADATA and _is_table(path, columns)],
        'coco': [path for path in alone if path.suffix == '.json' and _captions_in(path) is not None],
        'texts': texts,
        'classes': [path for path in media if _class_of(path, root) is not None],
    }
    return {name: paths for name, paths in found.items() if paths}


def _is_table(path: Path, columns: Mapping[str, str]) -> bool:
    """Say whether a file is meant to be a table; one of CSV always is, others may be anything."""
    if path.suffix in ('.csv', '.tsv'):
        return True
    try:
        row = next((row for _, row in rows_of(path)), None)
        return row is not None and bool(assign_columns(list(row), columns, path))
    except (OwnDataError, ValueError):
        return False


def _captions_in(path: Path) -> str | None:
    """Tell whether a JSON file has captions as COCO has them, or as Karpathy; None if neither."""
    try:
        content = json.loads(path.read_text(encoding='utf-8-sig'))
    except (ValueError, OSError):
        return None
    images = content.get('images') if isinstance(content, dict) else None
    if not isinstance(images, list):
        return None
    first = images[0] if images and isinstance(images[0], dict) else {}
    return 'karpathy' if 'sentences' in first else 'coco' if 'annotations' in content else None


def _class_of(path: Path, root: Path) -> tuple[str, str | None] | None:
    """Return the class of a picture by its folder, and its split where there is a folder of that above; None = none."""
    parts = path.relative_to(root).parts[:-1]
    split = SPLITS.get(parts[0].lower()) if parts else None
    parts = parts[1:] if split else parts
    return ('/'.join(parts), split) if parts else None


def read_beside(texts: list[Path], root: Path, columns: Mapping[str, str], unpacked: Path) -> Found:
    """Read pictures and clips with a text of the same name beside each, one caption a line."""
    found = Found('pictures and clips with .txt beside them')
    _read_texts(root, found)
    return found


def _read_texts(folder: Path, found: Found) -> None:
    media = media_in(folder)
    stems = {path.with_suffix('') for path in media}
    for path in media:
        text = path.with_suffix('.txt')
        name = str(path.relative_to(folder))
        try:
            lines = text.read_text(encoding='utf-8-sig').splitlines() if text.is_file() else None
        except UnicodeDecodeError:
            found.leave_out('texts that are not UTF-8', text.name)
            continue
        captions = [line.strip() for line in lines or () if line.strip()]
        if captions:
            parts = path.relative_to(folder).parts
            # Two files of one name, as a picture and the clip that it was taken from, share the text, and the group.
            item = make_item(path, name, str(path.with_suffix('')), SPLITS.get(parts[0].lower()) if parts[1:] else None)
            item.record.text = captions
            found.items.append(item)
        else:
            found.leave_out('pictures and clips without a .txt' if lines is None else 'with an empty .txt', name)
    for path in files_in(folder):
        if path.suffix == '.txt' and path.with_suffix('') not in stems:
            found.leave_out('texts without a picture or clip of their name', path.relative_to(folder))


def read_shards(shards: list[Path], root: Path, columns: Mapping[str, str], unpacked: Path) -> Found:
    """Read tar files, unpacked into the work directory."""
    found = Found(f'{len(shards)} shards of img2dataset or video2dataset, unpacked into {unpacked}')
    _read_texts(unpack_shards(shards, unpacked, found), found)
    return found


def read_classes(media: list[Path], root: Path, columns: Mapping[str, str], unpacked: Path) -> Found:
    """Read class folders, with or without folders of splits above them."""
    found = Found('a folder for each class')
    for path in media_in(root):
        name, placed = str(path.relative_to(root)), _class_of(path, root)
        if placed is None:
            found.leave_out('pictures and clips in no class folder', name)
            continue
        item = make_item(path, name, split=placed[1])
        item.record.label = placed[0]
        found.items.append(item)
    return found


def read_coco(files: list[Path], root: Path, columns: Mapping[str, str], unpacked: Path) -> Found:
    """Read captions in the JSON of COCO or of Karpathy, by the readers of these."""
    found = Found(f'captions of {", ".join(path.name for path in files)}')
    by_name: dict[str, list[Path]] = {}
    for place in media_in(root):
        by_name.setdefault(place.name, []).append(place)
    for file in files:
        for split, record in _caption_records(file):
            places = [place for place in (root / record.visual, file.parent / record.visual) if place.is_file()]
            same = places[:1] or by_name.get(Path(record.visual).name, [])
            path = same[0] if len(same) == 1 else None
            if path is None or modality_of_path(path.name) is None:
                found.leave_out('entries whose file is missing', record.visual)
                continue
            item = make_item(path, record.id, split=split)
            item.record.text = record.text
            found.items.append(item)
    return found


def _caption_records(file: Path) -> Iterator[tuple[str | None, Record]]:
    """Yield split and record of each entry that has a caption."""
    if _captions_in(file) == 'coco':
        named = next((split for word, split in SPLITS.items() if word in file.stem.lower()), None)
        yield from ((named, record) for record in COCOCaptions(str(file), '', empty='drop') if record.text)
        return
    images = json.loads(file.read_text(encoding='utf-8-sig'))['images']
    splits = sorted({str(image.get('split')) for image in images if isinstance(image, dict)})
    for name in splits:
        # 'train' of the reader takes 'restval' along.
        if name == 'restval' and 'train' in splits:
            continue
        yield from ((SPLITS.get(name), record) for record in KarpathyJSON(str(file), '', name, empty='drop'))


def _read_tables(files: list[Path], root: Path, columns: Mapping[str, str], unpacked: Path) -> Found:
    by_split = {SPLITS.get(path.stem.lower()) for path in files}
    if (
        len(files) > 1
        and (None in by_split or len(by_split) < len(files))
        and len({path.parent for path in files}) == 1
    ):
        raise OwnDataError(
            f'{root} has several tables ({", ".join(path.name for path in files)}): give the path of one instead of '
            'the folder, or call them train and test'
        )
    return read_tables(files, root, columns)


def _read_metadata(files: list[Path], root: Path, columns: Mapping[str, str], unpacked: Path) -> Found:
    return read_tables(files, root, columns)


READERS: dict[str, Callable[[list[Path], Path, Mapping[str, str], Path], Found]] = {
    'metadata': _read_metadata,
    'shards': read_shards,
    'table': _read_tables,
    'coco': read_coco,
    'texts': read_beside,
    'classes': read_classes,
}


def task_of(items: list[Item]) -> tuple[str, str]:
    """Infer the task from what the items offer.

    Args:
        items: What was found.

    Returns:
        The task and the reason.

    Raises:
        OwnDataError: They offer nothing that is trained.
    """
    offered = offers(items)
    if not offered:
        raise OwnDataError(f'nothing is said of the {len(items)} files: captions, labels, or questions with answers')
    reasons = {
        'vqa': 'there are questions with answers',
        'caption': 'there are captions',
        'classify': 'there are labels',
    }
    task = next(task for task in reasons if task in offered)
    others = [name for name in offered if name != task]
    return task, reasons[task] + (f'; possible too: {", ".join(others)}' if others else '')


def offers(items: list[Item]) -> list[str]:
    """List the tasks that some of the items can be trained on."""
    records = [item.record for item in items]
    found = ['caption', 'retrieval'] if any(record.text for record in records) else []
    found += ['vqa'] if any(record.question is not None and record.answers for record in records) else []
    return found + (['classify'] if any(record.label is not None for record in records) else [])


def kinds_of(items: list[Item]) -> list[str]:
    """List the modalities of items, in the order of their table."""
    there = {item.modality for item in items}
    return [name for name in MODALITIES if name in there]
