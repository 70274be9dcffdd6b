"""Pictures of CIFAR's binary files."""

from functools import lru_cache
from typing import Any

import numpy as np

from omnivl.datasets.annotations.cifar import PIXELS, SIDE, open_records
from omnivl.datasets.errors import BrokenVisualError
from omnivl.registry import TRANSFORMS

from .base import require
from .decoders import reported_as_broken
from .loading import LoadImage

open_once = lru_cache(maxsize=8)(open_records)


@TRANSFORMS.register_module()
class LoadCIFAR(LoadImage):
    """Load ``<file>.bin#<number>`` of ``CIFARBinary`` as a clip of one frame; all else as ``LoadImage`` does.

    Required keys: ``visual``. Added keys: ``frames``. Arguments are those of ``LoadImage``.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``frames``, uint8 (1, H, W, 3) RGB; raise BrokenVisualError if the file is missing or broken."""
        require(results, self, ('visual',))
        visual = str(results['visual'])
        path, _, number = visual.rpartition('#')
        if not path.endswith('.bin') or not number.isdecimal():
            return super().transform(results)
        with reported_as_broken(visual, 'it cannot be read as a picture of CIFAR'):
            records = open_once(path)
        if int(number) >= len(records):
            raise BrokenVisualError(visual, f'the file has {len(records)} pictures')
        pixels = records[int(number), -PIXELS:].reshape(3, SIDE, SIDE)
        results['frames'] = np.ascontiguousarray(pixels.transpose(1, 2, 0))[None]
        return results
