"""Tables of files and what is said of them: CSV, TSV, and rows of JSON such as Hugging Face's ``metadata.jsonl``."""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from omnivl.datasets.annotations.files import iter_json_rows, iter_table
from omnivl.structures import MODALITIES, modality_of_path

from .columns import COLUMNS, SPLITS
from .items import Found, Item, OwnDataError, make_item, media_in

SUFFIXES = ('.csv', '.tsv', '.jsonl', '.json')


def read_tables(tables: Iterable[Path], folder: Path, columns: Mapping[str, str]) -> Found:
    """Read tables of one folder.

    Args:
        tables: The files; one that is called like a split, or lies in a folder called so, holds that split.
        folder: Where files are looked for that do not lie where a row says.
        columns: What a column holds -> its name, where it was told.

    Returns:
        The items, one per row, and the rows left out.

    Raises:
        OwnDataError: A column that is needed is missing.
        AnnotationError: A table is damaged.
    """
    tables = list(tables)
    found = Found(f'{"a table" if len(tables) == 1 else "tables"} ({", ".join(table.name for table in tables)})')
    places = _Places(folder)
    for table in tables:
        split = SPLITS.get(table.stem.lower()) or (
            SPLITS.get(table.parent.name.lower()) if table.parent != folder else ''
        )
        roles: dict[str, str] | None = None
        for place, row in rows_of(table):
            if roles is None:
                roles = assign_columns(list(row), columns, table)
                found.notes.append('columns: ' + ', '.join(f'{role} = {name!r}' for role, name in roles.items()))
            where = f'{table.name}, {place if isinstance(place, str) else f"row {place}"}'
            try:
                item = _item(row, roles, where, table, places)
            except _LeftOutError as error:
                found.leave_out(*error.args)
                continue
            item.split = item.split or split or None
            found.items.append(item)
    return found


def rows_of(table: Path) -> Iterator[tuple[int | str, Mapping[str, Any]]]:
    """Yield place and content, by column, of each row of a table."""
    if table.suffix in ('.json', '.jsonl'):
        for place, row in iter_json_rows(str(table)):
            if not isinstance(row, dict):
                raise OwnDataError(f'{table}, row {place}: got {row!r:.60}, a row must be an object with named values')
            yield place, row
    else:
        yield from iter_table(str(table), _delimiter(table), ())


def _delimiter(table: Path) -> str:
    """Return what separates the columns; some spreadsheets write ``;`` into CSV files."""
    with table.open(encoding='utf-8-sig', errors='replace') as file:
        header = file.readline()
    counts = {mark: header.count(mark) for mark in ('\t', ',', ';')}
    return max(counts, key=lambda mark: counts[mark]) if any(counts.values()) else ','


def assign_columns(header: list[str], chosen: Mapping[str, str], table: Path) -> dict[str, str]:
    """Find out what the columns of a table hold.

    Args:
        header: Their names.
        chosen: What a column holds -> its name, where it was told.
        table: The file, for messages.

    Returns:
        What a column holds -> its name.

    Raises:
        OwnDataError: There is no column of files, or none that says something of them, or none of a name that was told.
    """
    by_name = {name.strip().lower().replace(' ', '_').replace('-', '_'): name for name in reversed(header)}
    roles = {}
    for role, usual in COLUMNS.items():
        if role in chosen:
            if chosen[role] not in header:
                raise OwnDataError(
                    f'{table} has no column {chosen[role]!r} (--{role}-column); it has {", ".join(map(repr, header))}'
                )
            roles[role] = chosen[role]
        elif (known := next((by_name[name] for name in usual if name in by_name), None)) is not None:
            roles[role] = known
    if 'file' not in roles:
        raise OwnDataError(
            f'{table} has the columns {", ".join(map(repr, header))}, none of which is of files: call it file_name, or '
            'name it with --file-column'
        )
    if not {'text', 'label', 'answer'} & set(roles):
        raise OwnDataError(
            f'{table} has the columns {", ".join(map(repr, header))}, none of which says what a file shows: call it '
            'caption, label, or question and answer, or name it with --text-column, --label-column, --answer-column'
        )
    return roles


class _LeftOutError(OwnDataError):
    """A row that is of no use: why, and which."""


class _Places:
    """Finds the files that rows name: beside the table, below the folder, or the only one of that name anywhere."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.by_name: dict[str, list[Path]] | None = None

    def find(self, name: str, table: Path) -> Path | None:
        """Find the file that a row of a table names; None if there is none, or several of that name alone."""
        for place in (table.parent / name, self.folder / name):
            if place.is_file():
                return place
        if self.by_name is None:
            self.by_name = {}
            for path in media_in(self.folder):
                for key in (path.name, path.stem):
                    self.by_name.setdefault(key, []).append(path)
        same = self.by_name.get(Path(name).name, [])
        return same[0] if len(set(same)) == 1 else None


def _item(row: Mapping[str, Any], roles: Mapping[str, str], where: str, table: Path, places: _Places) -> Item:
    """Make an item of a row; a ``_LeftOutError`` where there is none."""
    values = {role: row.get(name) for role, name in roles.items()}
    path = _file_of(values['file'], where, table, places)
    item = make_item(path, f'{str(values["file"]).strip()}#{where}', group=_text(values.get('group')))
    record = item.record
    record.text, record.label = texts_of(values.get('text')), _text(values.get('label'))
    record.question, record.answers = _text(values.get('question')), texts_of(values.get('answer')) or None
    if (split := _text(values.get('split'))) is not None:
        if split.lower() not in SPLITS:
            raise OwnDataError(
                f'{where}: the split is {split!r}; allowed are {", ".join(SPLITS)}; another column is named with '
                '--split-column'
            )
        item.split = SPLITS[split.lower()]
    if not record.text and record.label is None and record.answers is None:
        raise _LeftOutError('rows that say nothing of their file', where)
    return item


def _file_of(name: Any, where: str, table: Path, places: _Places) -> Path:
    """Find the picture or clip that a row names."""
    if not isinstance(name, str) or not name.strip():
        raise _LeftOutError('rows without the name of a file', where)
    if '://' in name:
        raise _LeftOutError('rows whose file is an address of the network (download it first)', name)
    path = places.find(name.strip(), table)
    if path is None:
        raise _LeftOutError('rows whose file is missing', name)
    if modality_of_path(path.name) is None:
        raise _LeftOutError(f'rows whose file is none of {" and ".join(MODALITIES)}', name)
    return path


def _text(value: Any) -> str | None:
    """Return a value as a text; None for an empty one."""
    text = '' if value is None else str(value).strip()
    return text or None


def texts_of(value: Any) -> list[str]:
    """Return the texts of a value: a text, a list of texts, or a list of texts written as JSON."""
    if isinstance(value, str) and value.strip().startswith('["'):
        with contextlib.suppress(ValueError):  # a caption that begins so
            value = json.loads(value)
    values = value if isinstance(value, list) else [value]
    values = [one.get('answer', one.get('raw')) if isinstance(one, dict) else one for one in values]
    return [text for one in values if (text := _text(one)) is not None]
