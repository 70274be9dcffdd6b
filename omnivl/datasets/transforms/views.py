"""Several views of a visual: augmented anew for training, crops and clips for testing; and clips out of order.

A view is one clip as one crop shows it. The frames of all views lie end to end, (V * T, H, W, 3), each view's T frames
in one piece, and ``results['num_views']`` says V. Whoever evaluates scores every view and averages; in a training step
views are visuals of their own (``VLBatch.split_views``).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from omnivl.errors import OmniVLTypeError, OmniVLValueError
from omnivl.registry import TRANSFORMS

from .base import Transform, as_size, require

VIEW_KEYS = {'frames', 'pts_seconds', 'num_views'}


@TRANSFORMS.register_module()
class AugmentedViews(Transform):
    """Augment a visual several times, each time with other draws.

    The views are in one batch, and share the text and the class: two samples for the price of one decoding, or what a
    contrastive loss compares (``TrainingStep.view_vectors``).

    Required keys: those of the transforms. Modified keys: ``frames``, to (V * T, H, W, 3), view after view, and
    ``pts_seconds``, to (V * T,). Added keys: ``num_views``.

    Args:
        transforms: What each view goes through: configs of transforms, or callables. They draw from the generator of
            the sample, for one view after the other. With a loader among them, each view is of other moments of a
            video.
        num_views: Number of views V.
    """

    def __init__(self, transforms: Sequence[dict | Callable], num_views: int = 2) -> None:
        if not isinstance(num_views, int) or num_views < 1:
            raise OmniVLValueError(f'AugmentedViews: num_views must be a positive int, got {num_views!r}')
        self.transforms = [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in transforms]
        self.num_views = num_views

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Make the views; raise OmniVLTypeError if these differ in more than frames, OmniVLValueError if in shape."""
        views = [self._view(results) for _ in range(self.num_views)]
        shapes = sorted({view['frames'].shape for view in views})
        if len(shapes) > 1:
            raise OmniVLValueError(
                f'AugmentedViews: its views are of different shapes, {shapes}; end its transforms with one that gives '
                'all frames one size, such as RandomResizedCrop'
            )
        joined = dict(results, frames=np.concatenate([view['frames'] for view in views]))
        if views[0].get('pts_seconds') is not None:
            joined['pts_seconds'] = np.concatenate([view['pts_seconds'] for view in views])
        joined['num_views'] = sum(view.get('num_views', 1) for view in views)
        return joined

    def _view(self, results: dict[str, Any]) -> dict[str, Any]:
        view = dict(results)
        if 'frames' in view:
            view['frames'] = view['frames'].copy()  # a transform may write into what it gets
        for step in self.transforms:
            view = step(view)
        require(view, self, ('frames',))
        if changed := sorted(key for key in view.keys() - VIEW_KEYS if view[key] is not results.get(key)):
            raise OmniVLTypeError(
                f'AugmentedViews: its transforms changed {changed}, which all views of a sample share; put what '
                'changes more than frames before it or after it in the pipeline'
            )
        return view


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
