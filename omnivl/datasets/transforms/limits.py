"""How large a picture may be: a file of some hundred kilobytes can stand for gigabytes of pixels."""

from typing import NamedTuple

from omnivl.datasets.errors import BrokenVisualError
from omnivl.errors import OmniVLValueError


class Limits(NamedTuple):
    """Largest picture, or frame of a video, that is decoded.

    Attributes:
        pixels: Height times width.
        side: The longer of the two, in pixels.
        owner: The transform whose arguments ``max_pixels`` and ``max_side`` these are.
    """

    pixels: int
    side: int
    owner: str

    @classmethod
    def of(cls, max_pixels: int, max_side: int, owner: str) -> 'Limits':
        """Make the limits of a transform from its arguments."""
        for name, value in (('max_pixels', max_pixels), ('max_side', max_side)):
            if not isinstance(value, int) or value < 1:
                raise OmniVLValueError(f'{owner}: {name} must be a positive int, got {value!r}')
        return cls(max_pixels, max_side, owner)

    def check(self, path: str, height: int, width: int) -> None:
        """Raise a ``BrokenVisualError`` for a file of that size if it is over the limits."""
        if height * width > self.pixels or max(height, width) > self.side:
            raise BrokenVisualError(
                path,
                f'it is {height} x {width} pixels (height x width), more than max_pixels={self.pixels} or '
                f'max_side={self.side} of {self.owner}',
            )


# The largest frame of broadcast video is 4320 x 7680; a photograph may be what PIL calls a bomb beyond (89 megapixels).
VIDEO_PIXELS, VIDEO_SIDE = 1 << 25, 1 << 14
IMAGE_PIXELS, IMAGE_SIDE = 89_478_485, 1 << 15
# What a clip may have after scaling, over all its frames: 128 frames of 1024 x 1024.
CLIP_PIXELS = 1 << 27
