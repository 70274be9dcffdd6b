"""Keys that differ between weights and a model: which of them are wanted, and how a message lists them."""

import fnmatch
from collections.abc import Sequence

Patterns = bool | Sequence[str]


def not_allowed(keys: list[str], allowed: Patterns) -> list[str]:
    """Return the keys that are not allowed: by ``True`` any are, by ``False`` none, else those that fit a pattern."""
    if isinstance(allowed, bool):
        return [] if allowed else keys
    return [key for key in keys if not any(fnmatch.fnmatchcase(key, pattern) for pattern in allowed)]


def key_list(title: str, keys: list[str], limit: int = 20) -> str:
    """List keys below a title, a line each; without any the text is empty."""
    if not keys:
        return ''
    more = f'\n    ... and {len(keys) - limit} more' if len(keys) > limit else ''
    return f'  {len(keys)} {title}:\n    ' + '\n    '.join(keys[:limit]) + more
