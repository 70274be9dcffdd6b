"""From data to HTML, by templates: a page has its own, and what all share is in ``templates/`` here."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnivl.errors import OmniVLImportError

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / 'templates'
DASH = '\N{EN DASH}'


def render(template: Path, **data: Any) -> str:
    """Fill a template; all text in the data is escaped.

    Args:
        template: Its file; what it includes and extends is looked up in its folder, then in ``templates/`` here.
        **data: What it shows.

    Returns:
        A whole HTML document.
    """
    return _environment(template.parent).get_template(template.name).render(data)


@cache
def _environment(folder: Path) -> 'Environment':
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise OmniVLImportError(
            "the report is written with jinja2, which is not installed: pip install 'omnivl[demo]'"
        ) from error
    environment = Environment(
        loader=FileSystemLoader([folder, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {'percent': percent, 'figure': figure, 'duration': duration}
    return environment


def percent(value: float | None) -> str:
    """Write a percentage, or a dash where there is none."""
    return DASH if value is None else f'{value:.1f}%'


def figure(value: float | None) -> str:
    """Write a figure, or a dash where there is none."""
    return DASH if value is None else f'{value:.1f}'


def duration(seconds: float) -> str:
    """Write seconds as a person would say them."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 120:
        return f'{minutes // 60} h {minutes % 60:02d} min'
    return f'{minutes} min {rest:02d} s' if minutes else f'{rest} s'
