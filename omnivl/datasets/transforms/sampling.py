"""Which frames of a clip are looked at."""

import numpy as np

from omnivl.errors import OmniVLValueError


def segment_indices(available: int, wanted: int, rng: np.random.Generator | None = None) -> np.ndarray:
    """Sparse segment sampling (TSN, Wang et al. 2016): one frame from each of ``wanted`` equal segments.

    ``index_i = floor((i + u_i) * available / wanted)`` with ``u_i = 1/2`` (the middle) or drawn from [0, 1) by ``rng``.
    A clip with fewer frames than asked repeats some; the order is never reversed. There is no ``np.arange`` with a
    float step, whose rounding returns one frame more or less. Returns int64 (wanted,) in [0, available).
    """
    if available < 1 or wanted < 1:
        raise OmniVLValueError(
            f'segment_indices: available and wanted must be at least 1, got {available} and {wanted}'
        )
    offsets = 0.5 if rng is None else rng.random(wanted)
    positions = (np.arange(wanted) + offsets) * available / wanted
    # A draw just below 1 in the last segment may round up to `available`.
    return np.minimum(positions.astype(np.int64), available - 1)


def clip_indices(available: int, wanted: int, num_clips: int, rng: np.random.Generator | None = None) -> np.ndarray:
    """Frames of several clips of one video, each spread over all of it as in training.

    The segments of ``segment_indices(available, wanted * num_clips)`` are dealt out in turn: clip c takes number c,
    c + num_clips, and so on. One clip is ``segment_indices`` itself. Returns them clip after clip, non-decreasing
    within each; int64 (num_clips * wanted,).
    """
    indices = segment_indices(available, wanted * num_clips, rng)
    return indices.reshape(wanted, num_clips).T.reshape(-1)
