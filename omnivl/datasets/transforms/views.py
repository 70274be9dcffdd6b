"""Views of a video for testing: several crops of several clips, and clips whose order in time is lost.

A view is one clip as one crop shows it. The frames of all views lie end to end, (V * T, H, W, 3), each view's T frames
in one piece, and ``results['num_views']`` says V; whoever evaluates scores every view and averages.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from omnivl.errors import OmniVLValueError
from omnivl.registry import TRANSFORMS

from .base import Transform, as_size, require


@TRANSFORMS.register_module()
class ThreeCrop(Transform):
    """Cut three crops out of the frames, at both ends and in the middle of their longer side (TSN, Wang et al. 2016).

    Required keys: ``frames``. Optional keys: ``num_views``, of the clips that were loaded, ``pts_seconds``. Modified
    keys: ``frames``, to (3 * V * T, h, w, 3), crop after crop, and ``pts_seconds``, to (3 * V * T,). Added keys:
    ``num_views``, three times what it was (1 if it was absent).

    Args:
        size: Side of a square or (height, width), in pixels; with Resize(size, keep_ratio=True) before it the three
            crops cover everything of a video up to three times as long as wide.
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = as_size(size, 'ThreeCrop')

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Cut ``frames``; raise OmniVLValueError if they are smaller than the crop."""
        require(results, self, ('frames',))
        height, width = results['frames'].shape[1:3]
        down, right = height - self.size[0], width - self.size[1]
        if down < 0 or right < 0:
            raise OmniVLValueError(
                f'ThreeCrop: frames of {height} x {width} are smaller than the crop of {self.size[0]} x '
                f'{self.size[1]}; put Resize(size={self.size}, keep_ratio=True) before it in the pipeline'
            )
        corners = [(at, right // 2) for at in (0, down // 2, down)]
        if width >= height:
            corners = [(down // 2, at) for at in (0, right // 2, right)]
        crops = [results['frames'][:, y : y + self.size[0], x : x + self.size[1]] for y, x in corners]
        results['frames'] = np.concatenate(crops)
        if results.get('pts_seconds') is not None:
            results['pts_seconds'] = np.tile(results['pts_seconds'], len(crops))
        results['num_views'] = len(crops) * results.get('num_views', 1)
        return results


@TRANSFORMS.register_module()
class ShuffleFrames(Transform):
    """Put the frames of every view into a random order, to see what a model knows without time.

    For test pipelines: a model that understands motion must do worse with it. Each view is shuffled by itself. The time
    stamps stay where they are, or a model that reads them could put the frames back in order.

    Required keys: ``frames``, ``rng``. Optional keys: ``num_views``. Modified keys: ``frames``.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Shuffle ``frames`` within their views."""
        require(results, self, ('frames', 'rng'))
        frames = results['frames']
        views = frames.reshape(results.get('num_views', 1), -1, *frames.shape[1:])  # (V, T, H, W, 3)
        shuffled = [view[results['rng'].permutation(len(view))] for view in views]
        results['frames'] = np.concatenate(shuffled)
        return results
