"""Errors that name the file, the row and the field a person has to look at.

Each can also be made of its whole message: that is how pickle, and torch for the workers of a loader, hand it over.
"""

from omnivl.errors import OmniVLRuntimeError, OmniVLValueError


class AnnotationError(OmniVLValueError):
    """A row of an annotation file that cannot be used.

    Args:
        file: The annotation file.
        row: Line number (text files, from 1), row index (JSON lists, from 0) or a spelled-out place; None when the
            whole file is meant.
        field: The field of the row, or None when the whole row is meant.
        message: What was found and what is allowed.
    """

    def __init__(self, file: str, row: int | str | None = None, field: str | None = None, message: str = '') -> None:
        place = str(file)
        if row is not None:
            place += f', row {row}' if isinstance(row, int) else f', {row}'
        if field is not None:
            place += f', field {field!r}'
        super().__init__(f'{place}: {message}' if message else place)


class BrokenVisualError(OmniVLRuntimeError):
    """An image or video that is missing or cannot be decoded.

    Args:
        path: The file.
        reason: Why it cannot be used, in a few words.
    """

    def __init__(self, path: str, reason: str = '') -> None:
        super().__init__(f'{path}: {reason}' if reason else path)
        self.path = path
        self.reason = reason
