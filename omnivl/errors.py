"""Our errors, which tell a person what to change; every other exception is a fault of the program.

Whoever catches Python's own kinds catches ours too. A command prints an :class:`OmniVLError` in one line and anything
else with its traceback.
"""


class OmniVLError(Exception):
    """Base of every error that omnivl raises for the eyes of a person."""


class OmniVLValueError(OmniVLError, ValueError):
    """A value that is not allowed."""


class OmniVLTypeError(OmniVLError, TypeError):
    """A value of a type that is not allowed."""


class OmniVLConnectionError(OmniVLError, ConnectionError):
    """Nobody answers on a network, or not as it should."""


class OmniVLRuntimeError(OmniVLError, RuntimeError):
    """A state of the machine, the files or the run in which the work cannot go on."""


class OmniVLKeyError(OmniVLError, KeyError):
    """A name that is not there."""

    def __str__(self) -> str:
        # KeyError would show the repr of the message, with its quotes and escapes.
        return Exception.__str__(self)


class OmniVLIndexError(OmniVLError, IndexError):
    """A number past the end."""


class OmniVLFileNotFoundError(OmniVLError, FileNotFoundError):
    """A file or a folder that is not there."""


class OmniVLImportError(OmniVLError, ImportError):
    """A library that is not installed, or cannot be loaded, and that the work needs."""


class OmniVLFloatingPointError(OmniVLError, FloatingPointError):
    """A number that is not finite where only finite ones can be."""
