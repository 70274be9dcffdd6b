"""Options of the form NAME=NUMBER."""

import math

from ..main import UsageError


def numbers_of(words: list[str], option: str) -> dict[str, float]:
    """Read words like ``webvid=2.5e6``, whose numbers are above 0."""
    found = {}
    for word in words:
        name, _, value = word.rpartition('=')
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = math.nan
        if not name or not 0 < found[name] < math.inf:
            raise UsageError(f'--{option} takes NAME=NUMBER with a number above 0, got {word!r}')
    return found
