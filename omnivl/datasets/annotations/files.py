"""Reading annotation files row by row, with the place of every row known for the error messages."""

import csv
import difflib
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any, Literal, TextIO

from omnivl.errors import OmniVLFileNotFoundError

from ..errors import AnnotationError

_CHUNK = 1 << 20
MAX_ROW_LINES = 20  # of a CSV file; captions with so many line breaks do not exist
_QUOTE_HINT = 'is a double quote not closed, or one inside a quoted field not doubled?'
# A JSON value cut off by the end of the buffer is reported at most this far before the end ('-Infinity', '\\uXXXX').
_CUT_MARGIN = 16
_WHITESPACE = ' \t\r\n'
_JSONL_HINT = 'a file with one row per line must end in .jsonl'


def require_file(path: str, option: str, reader: str) -> None:
    """Raise a FileNotFoundError that names the option to change, unless ``path`` is a file."""
    if not os.path.isfile(path):
        kind = 'is a folder' if os.path.isdir(path) else 'does not exist'
        raise OmniVLFileNotFoundError(f'{reader}: the file {path!r} {kind}; set {option!r} in the config')


def require_folder(path: str, option: str, reader: str) -> None:
    """Raise a FileNotFoundError that names the option to change, unless ``path`` is a folder."""
    if not os.path.isdir(path):
        kind = 'is a file' if os.path.isfile(path) else 'does not exist'
        raise OmniVLFileNotFoundError(f'{reader}: the folder {path!r} {kind}; set {option!r} in the config')


def iter_delimited(path: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Read a CSV or TSV file, UTF-8 with or without a byte order mark.

    Tab-separated files are taken literally, as the published ones do not quote; with any other delimiter double quotes
    protect it. Yields line number (from 1, the last line of the row) and the fields; empty lines are left out. A quote
    that is not closed would swallow the rows after it, so what stands between a closing quote and the delimiter, and a
    row of more than ``MAX_ROW_LINES``, are errors.
    """
    quoting: Literal[0, 3] = csv.QUOTE_NONE if delimiter == '\t' else csv.QUOTE_MINIMAL
    with open(path, encoding='utf-8-sig', newline='') as file:
        reader = csv.reader(file, delimiter=delimiter, quoting=quoting, strict=quoting == csv.QUOTE_MINIMAL)
        begin = 1
        try:
            for row in reader:
                if reader.line_num - begin >= MAX_ROW_LINES:
                    message = f'the row ends on line {reader.line_num} ({MAX_ROW_LINES} are allowed); {_QUOTE_HINT}'
                    raise AnnotationError(path, f'line {begin}', None, message)
                if row:
                    yield reader.line_num, row
                begin = reader.line_num + 1
        except csv.Error as error:
            message = f'the row cannot be read ({error}); {_QUOTE_HINT}'
            raise AnnotationError(path, f'line {begin}', None, message) from error
        except UnicodeDecodeError as error:
            raise AnnotationError(path, f'line {reader.line_num + 1}', None, f'cannot be read: {error}') from error


def iter_table(path: str, delimiter: str, required: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Read a CSV or TSV file whose first row names the columns: yield line number (from 1) and the row by column.

    ``required`` are the columns that must be there; others are passed on as they are.
    """
    columns: list[str] | None = None
    for line, row in iter_delimited(path, delimiter):
        if columns is None:
            columns = [name.strip() for name in row]
            missing = [name for name in required if name not in columns]
            if missing:
                raise AnnotationError(
                    path, f'line {line}', missing[0], f'the column is missing; the header has {columns}'
                )
        elif len(row) != len(columns):
            raise AnnotationError(path, f'line {line}', None, f'{len(row)} fields, the header names {len(columns)}')
        else:
            yield line, dict(zip(columns, row))
    if columns is None:
        raise AnnotationError(path, None, None, f'the file is empty; expected a header with {list(required)}')


def iter_lines(path: str) -> Iterator[tuple[int, str]]:
    """Yield line number (from 1) and text of every line that is not empty, without the line break."""
    with open(path, encoding='utf-8-sig') as file:
        line = 0
        try:
            for line, text in enumerate(file, 1):
                text = text.rstrip('\r\n')
                if text.strip():
                    yield line, text
        except UnicodeDecodeError as error:
            raise AnnotationError(path, f'line {line + 1}', None, f'cannot be read: {error}') from error


def iter_json_list(path: str, hint: str) -> Iterator[tuple[int, Any]]:
    """Read a JSON list element by element: a list of 14 million rows never is in memory at once.

    Yields row index (from 0) and the element. ``hint`` says what to do when the file holds something else than a list.
    """
    with open(path, encoding='utf-8-sig') as file:
        stream = _JSONStream(path, file)
        if stream.peek() != '[':
            raise AnnotationError(path, None, None, f'expected a JSON list, the file begins {stream.begin()!r}; {hint}')
        stream.position += 1
        if stream.peek() == ']':
            return
        row = 0
        while True:
            yield row, stream.value(row)
            mark = stream.peek()
            if mark == ']':
                return
            if mark != ',':
                raise stream.error(row + 1, f"expected ',' or ']', found {mark!r}" if mark else 'the file ends here')
            stream.position += 1
            row += 1


def iter_json_rows(path: str, hint: str = _JSONL_HINT) -> Iterator[tuple[int | str, Any]]:
    """Read rows of JSON: one per line where the name ends in ``.jsonl``, else the elements of a list.

    Yields the place of the row (its index, or its line spelled out) and the row; for ``hint`` see
    :func:`iter_json_list`.
    """
    if not path.endswith('.jsonl'):
        yield from iter_json_list(path, hint)
        return
    for line, text in iter_lines(path):
        try:
            yield f'line {line}', json.loads(text)
        except json.JSONDecodeError as error:
            raise AnnotationError(path, f'line {line}', None, f'not valid JSON: {error.msg}') from error


class _JSONStream:
    """A window on a JSON text; decodes one value after the other."""

    def __init__(self, path: str, file: TextIO) -> None:
        self.path = path
        self.file = file
        self.buffer = ''
        self.position = 0
        self.lines_before = 0
        self.decoder = json.JSONDecoder()

    def begin(self) -> str:
        return self.buffer[:20]

    def fill(self) -> bool:
        """Drop what was decoded and reads more; False at the end of the file."""
        try:
            more = self.file.read(_CHUNK)
        except UnicodeDecodeError as error:
            raise AnnotationError(self.path, None, None, f'is not UTF-8 text: {error}') from error
        self.lines_before += self.buffer.count('\n', 0, self.position)
        self.buffer = self.buffer[self.position :] + more
        self.position = 0
        return bool(more)

    def peek(self) -> str:
        """Find the next character that is no white space; '' at the end of the file."""
        while True:
            while self.position < len(self.buffer):
                if self.buffer[self.position] not in _WHITESPACE:
                    return self.buffer[self.position]
                self.position += 1
            if not self.fill():
                return ''

    def value(self, row: int) -> Any:
        """Decode the next value of the array."""
        self.peek()
        while True:
            try:
                value, self.position = self.decoder.raw_decode(self.buffer, self.position)
                return value
            except json.JSONDecodeError as error:
                # Without this test a mistake near the beginning would pull the whole file into memory.
                cut = 'Unterminated' in error.msg or error.pos > len(self.buffer) - _CUT_MARGIN
                offset = error.pos - self.position
                if not (cut and self.fill()):
                    self.position += offset
                    raise self.error(row, error.msg) from error

    def error(self, row: int, message: str) -> AnnotationError:
        line = self.lines_before + self.buffer.count('\n', 0, self.position) + 1
        return AnnotationError(self.path, f'row {row} (line {line})', None, f'not valid JSON: {message}')


def read_json(path: str) -> Any:
    """Read a whole JSON file (of a moderate size); the error for what is not JSON names the line."""
    with open(path, encoding='utf-8-sig') as file:
        try:
            return json.load(file)
        except json.JSONDecodeError as error:
            raise AnnotationError(path, f'line {error.lineno}', None, f'not valid JSON: {error.msg}') from error
        except UnicodeDecodeError as error:
            raise AnnotationError(path, None, None, f'is not UTF-8 text: {error}') from error


def read_class_list(path: str) -> list[str]:
    """Read class names, one per line, in the order of their indices; none, or one twice, is an error."""
    lines: dict[str, int] = {}
    for line, text in iter_lines(path):
        name = text.strip()
        if name in lines:
            raise AnnotationError(path, f'line {line}', 'class', f'{name!r} was already on line {lines[name]}')
        lines[name] = line
    if not lines:
        raise AnnotationError(path, None, None, 'the file is empty; expected one class name per line')
    return list(lines)


def unknown_label_message(label: str, allowed: Sequence[str]) -> str:
    """Say which labels are allowed (the first ones, and those spelled alike)."""
    shown = ', '.join(repr(name) for name in allowed[:8])
    more = f', ... ({len(allowed)} in all)' if len(allowed) > 8 else ''
    close = difflib.get_close_matches(label, allowed, n=1)
    hint = f'; did you mean {close[0]!r}?' if close else ''
    return f'unknown label {label!r}; allowed are {shown}{more}{hint}'
