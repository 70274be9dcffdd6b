"""omnivl: one foundation model for images and videos with language."""

from .version import __version__

__all__ = ['__version__']
