"""RandAugment for clips (Cubuk et al. 2019, arXiv:1909.13719): one draw of operations and signs for all frames."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps

from omnivl.errors import OmniVLValueError
from omnivl.registry import TRANSFORMS

from .base import Transform, as_share, require

MAX_MAGNITUDE = 10
GREY = (128, 128, 128)


def _over_all_frames(operation: Callable[[Image.Image], Image.Image], frames: np.ndarray) -> np.ndarray:
    """Apply an operation that looks at the histogram: one of the whole clip, so that it does not flicker."""
    tall = Image.fromarray(np.ascontiguousarray(frames).reshape(-1, *frames.shape[2:]))
    return np.asarray(operation(tall)).reshape(frames.shape)


def _with_torchvision(operation: str, frames: np.ndarray, factor: float) -> np.ndarray:
    from torchvision.transforms.v2 import functional  # reading it takes two seconds

    tensor = torch.from_numpy(np.array(frames)).permute(0, 3, 1, 2)
    return getattr(functional, operation)(tensor, factor).permute(0, 2, 3, 1).contiguous().numpy()


def warp(frames: np.ndarray, matrix: Sequence[Sequence[float]]) -> np.ndarray:
    """Warp all frames, uint8 (T, H, W, 3), by one affine map, bilinear, grey outside.

    ``matrix`` tells where a pixel (x, y) goes, relative to the middle of the frame; float (2, 3), the last column in
    pixels.
    """
    height, width = frames.shape[1:3]
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    around = np.array(matrix, dtype=np.float64)
    around[:, 2] += middle - around[:, :2] @ middle
    warped = [
        cv2.warpAffine(
            np.ascontiguousarray(frame),
            around,
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=GREY,
        )
        for frame in frames
    ]
    return np.stack(warped)


def _rotate(frames: np.ndarray, amount: float) -> np.ndarray:
    angle = np.deg2rad(30 * amount)
    return warp(frames, [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0]])


# Each takes the frames and an amount in [-1, 1]: magnitude / MAX_MAGNITUDE with a drawn sign. The ranges of shear,
# shift and rotation are BLIP's (0.3, 10 pixels of 224, 30 degrees). BLIP's factor for brightness and sharpness,
# 0.1 + 1.8 * magnitude / 10, is 1 at BLIP's own magnitude of 5 and changes nothing; here it is 1 + 0.9 * amount, as in
# torchvision's RandAugment.
OPERATIONS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    'Identity': lambda frames, amount: frames,
    'AutoContrast': lambda frames, amount: _over_all_frames(ImageOps.autocontrast, frames),
    'Equalize': lambda frames, amount: _over_all_frames(ImageOps.equalize, frames),
    'Brightness': lambda frames, amount: _with_torchvision('adjust_brightness', frames, 1 + 0.9 * amount),
    'Sharpness': lambda frames, amount: _with_torchvision('adjust_sharpness', frames, 1 + 0.9 * amount),
    'ShearX': lambda frames, amount: warp(frames, [[1, 0.3 * amount, 0], [0, 1, 0]]),
    'ShearY': lambda frames, amount: warp(frames, [[1, 0, 0], [0.3 * amount, 1, 0]]),
    'TranslateX': lambda frames, amount: warp(frames, [[1, 0, 10 / 224 * amount * frames.shape[2]], [0, 1, 0]]),
    'TranslateY': lambda frames, amount: warp(frames, [[1, 0, 0], [0, 1, 10 / 224 * amount * frames.shape[1]]]),
    'Rotate': _rotate,
}


@TRANSFORMS.register_module()
class RandAugment(Transform):
    """Apply a few operations drawn from a list, with the same strength and sign for all frames.

    The list leaves colours alone (no posterise, solarise, invert or hue), because captions name them.

    Required keys: ``frames``, ``rng``. Modified keys: ``frames``.

    Args:
        num_ops: Number of operations drawn per clip, with repetition; BLIP's 2.
        magnitude: Their strength, in [0, 10]; BLIP's 5.
        prob: Probability with which each drawn operation is applied; BLIP's 0.5.
        operations: Names to draw from, of ``OPERATIONS``; None for all.
    """

    def __init__(
        self, num_ops: int = 2, magnitude: float = 5, prob: float = 0.5, operations: list[str] | None = None
    ) -> None:
        if not isinstance(num_ops, int) or num_ops < 0:
            raise OmniVLValueError(f'RandAugment: num_ops must be an int of at least 0, got {num_ops!r}')
        if not 0 <= magnitude <= MAX_MAGNITUDE:
            raise OmniVLValueError(f'RandAugment: magnitude must be in [0, {MAX_MAGNITUDE}], got {magnitude!r}')
        self.operations = list(OPERATIONS) if operations is None else list(operations)
        unknown = [name for name in self.operations if name not in OPERATIONS]
        if unknown or not self.operations:
            raise OmniVLValueError(f'RandAugment: operations must be some of {sorted(OPERATIONS)}, got {operations}')
        import_module('torchvision.transforms.v2')  # now: workers forked later have it, and each would read it else
        self.num_ops = num_ops
        self.magnitude = magnitude
        self.prob = as_share(prob, 'prob', 'RandAugment')

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Augment ``frames``."""
        require(results, self, ('frames', 'rng'))
        rng = results['rng']
        for index in rng.integers(len(self.operations), size=self.num_ops):
            # Both are drawn whether used or not, so that later draws do not depend on this one.
            applied, sign = rng.random() < self.prob, 1 if rng.random() < 0.5 else -1
            if applied:
                amount = sign * self.magnitude / MAX_MAGNITUDE
                results['frames'] = OPERATIONS[self.operations[index]](results['frames'], amount)
        return results
