"""Errors that name the file, the row and the field a person has to look at."""

from __future__ import annotations

from omnivl.errors import OmniVLRuntimeError, OmniVLValueError


class AnnotationError(OmniVLValueError):
    """A row of an annotation file that cannot be used.

    Args:
        file (str): The annotation file.
        row (int | str | None): Line number (text files, from 1), row index (JSON lists, from 0) or a spelled-out place;
            None when the whole file is meant.
        field (str | None): The field of the row, or None when the whole row is meant.
        message (str): What was found and what is allowed.
    """

    def __init__(self, file: str, row: int | str | None, field: str | None, message: str) -> None:
        # All four go to ValueError, so that the error survives the pickling between a worker and the main process.
        super().__init__(file, row, field, message)
        self.file = file
        self.row = row
        self.field = field
        self.message = message

    def __str__(self) -> str:
        place = str(self.file)
        if self.row is not None:
            place += f', row {self.row}' if isinstance(self.row, int) else f', {self.row}'
        if self.field is not None:
            place += f', field {self.field!r}'
        return f'{place}: {self.message}'


class BrokenVisualError(OmniVLRuntimeError):
    """An image or video that is missing or cannot be decoded.

    Args:
        path (str): The file.
        reason (str): Why it cannot be used, in a few words.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f'{self.path}: {self.reason}'
