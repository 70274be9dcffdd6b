"""Transforms of frames, uint8 (T, H, W, 3): one draw for all frames of a clip, from ``results['rng']`` alone.

Sizes are changed by PyTorch's bicubic kernel with antialiasing: shrinking uint8 it equals PIL's within one grey
level, which is what the published numbers were made with, and takes a tenth of PIL's time and a fifth of OpenCV's
INTER_AREA (8 frames of 480 x 360 to 224 x 224 on one core: 0.9, 9.0 and 4.2 ms). OpenCV's own bicubic has no
antialiasing.
"""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from omnivl.datasets.errors import BrokenVisualError
from omnivl.errors import OmniVLValueError
from omnivl.registry import TRANSFORMS

from .base import Transform, as_share, as_size, require
from .limits import CLIP_PIXELS


def resize_frames(frames: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale frames, uint8 (T, H, W, 3), to (height, width) in pixels, bicubic with antialiasing."""
    if frames.shape[1:3] == size:
        return frames
    tensor = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
    resized = F.interpolate(tensor, size, mode='bicubic', align_corners=False, antialias=True)
    return resized.permute(0, 2, 3, 1).contiguous().numpy()


@TRANSFORMS.register_module()
class Resize(Transform):
    """Scale the frames.

    Required and modified keys: ``frames``.

    Args:
        size: Side of a square or (height, width), in pixels.
        keep_ratio: Scale so that the frames just cover ``size``, keeping their proportions (``CenterCrop`` cuts the
            rest off), instead of to ``size`` exactly.
    """

    def __init__(self, size: int | Sequence[int], keep_ratio: bool = False) -> None:
        self.size = as_size(size, 'Resize')
        self.keep_ratio = keep_ratio

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Scale ``frames``."""
        require(results, self, ('frames',))
        size = self.size
        if self.keep_ratio:
            height, width = results['frames'].shape[1:3]
            factor = max(size[0] / height, size[1] / width)
            size = max(size[0], round(height * factor)), max(size[1], round(width * factor))
            if len(results['frames']) * size[0] * size[1] > CLIP_PIXELS:
                raise BrokenVisualError(
                    str(results.get('visual')),
                    f'frames of {height} x {width} are too long and narrow: Resize would make {len(results["frames"])} '
                    f'of {size[0]} x {size[1]} of them, more than {CLIP_PIXELS} pixels; max_side of the loader is '
                    'for such files',
                )
        results['frames'] = resize_frames(results['frames'], size)
        return results


@TRANSFORMS.register_module()
class CenterCrop(Transform):
    """Cut out the middle of the frames.

    Required and modified keys: ``frames``.

    Args:
        size: Side of a square or (height, width), in pixels.
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = as_size(size, 'CenterCrop')

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Cut ``frames``; raise OmniVLValueError if they are smaller than the crop."""
        require(results, self, ('frames',))
        height, width = results['frames'].shape[1:3]
        if height < self.size[0] or width < self.size[1]:
            raise OmniVLValueError(
                f'CenterCrop: frames of {height} x {width} are smaller than the crop of {self.size[0]} x '
                f'{self.size[1]}; put Resize(size={self.size}, keep_ratio=True) before it in the pipeline'
            )
        top, left = (height - self.size[0]) // 2, (width - self.size[1]) // 2
        results['frames'] = results['frames'][:, top : top + self.size[0], left : left + self.size[1]]
        return results


@TRANSFORMS.register_module()
class RandomResizedCrop(Transform):
    """Cut a random box out of the frames, the same for all, and scale it.

    The box has a share of the area drawn from ``scale`` and an aspect drawn log-uniformly from ``ratio``; after ten
    boxes that do not fit, the largest centred one with an allowed aspect is taken (Szegedy et al. 2015; torchvision).

    Required keys: ``frames``, ``rng``. Modified keys: ``frames``.

    Args:
        size: Side of a square or (height, width) of the result, in pixels.
        scale: Smallest and largest share of the area; BLIP's (0.5, 1).
        ratio: Smallest and largest width / height; torchvision's (3/4, 4/3).
    """

    TRIALS = 10

    def __init__(
        self,
        size: int | Sequence[int],
        scale: tuple[float, float] = (0.5, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
    ) -> None:
        self.size = as_size(size, 'RandomResizedCrop')
        if len(scale) != 2 or not 0 < scale[0] <= scale[1] <= 1:
            raise OmniVLValueError(f'RandomResizedCrop: scale must be 0 < smallest <= largest <= 1, got {scale}')
        if len(ratio) != 2 or not 0 < ratio[0] <= ratio[1]:
            raise OmniVLValueError(f'RandomResizedCrop: ratio must be 0 < smallest <= largest, got {ratio}')
        self.scale = scale[0], scale[1]
        self.ratio = ratio[0], ratio[1]

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Crop and scale ``frames``."""
        require(results, self, ('frames', 'rng'))
        frames = results['frames']
        top, left, height, width = self.draw_box(frames.shape[1], frames.shape[2], results['rng'])
        results['frames'] = resize_frames(frames[:, top : top + height, left : left + width], self.size)
        return results

    def draw_box(self, height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """Draw a box (top, left, height, width) inside frames of the given height and width, all in pixels."""
        log_ratio = math.log(self.ratio[0]), math.log(self.ratio[1])
        for _ in range(self.TRIALS):
            area = height * width * rng.uniform(*self.scale)
            aspect = math.exp(rng.uniform(*log_ratio))
            box_height, box_width = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
            if 0 < box_height <= height and 0 < box_width <= width:
                top, left = rng.integers(height - box_height + 1), rng.integers(width - box_width + 1)
                return int(top), int(left), box_height, box_width
        aspect = min(max(width / height, self.ratio[0]), self.ratio[1])
        box_height = max(1, min(height, round(width / aspect)))
        box_width = max(1, min(width, round(height * aspect)))
        return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width


@TRANSFORMS.register_module()
class RandomFlip(Transform):
    """Mirror all frames left to right, or none.

    Not for captions that speak of left and right: the text is left as it is.

    Required keys: ``frames``, ``rng``. Modified keys: ``frames``.

    Args:
        prob: Probability of mirroring, in [0, 1].
    """

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = as_share(prob, 'prob', 'RandomFlip')

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Mirror ``frames`` with probability ``prob``."""
        require(results, self, ('frames', 'rng'))
        if results['rng'].random() < self.prob:
            results['frames'] = np.ascontiguousarray(results['frames'][:, :, ::-1])
        return results


@TRANSFORMS.register_module()
class RandomShift(Transform):
    """Move all frames by the same few pixels; the edge is repeated into the gap.

    Required keys: ``frames``, ``rng``. Modified keys: ``frames``.

    Args:
        max_shift: Largest shift up, down, left and right, in pixels.
    """

    def __init__(self, max_shift: int) -> None:
        if not isinstance(max_shift, int) or max_shift < 0:
            raise OmniVLValueError(f'RandomShift: max_shift must be an int of at least 0 in pixels, got {max_shift!r}')
        self.max_shift = max_shift

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Move ``frames``."""
        require(results, self, ('frames', 'rng'))
        down, right = results['rng'].integers(-self.max_shift, self.max_shift, size=2, endpoint=True)
        results['frames'] = shift_frames(results['frames'], int(down), int(right))
        return results


def shift_frames(frames: np.ndarray, down: int, right: int) -> np.ndarray:
    """Move frames, repeating the edge: ``out[t, y, x] = frames[t, clip(y - down), clip(x - right)]``."""
    height, width = frames.shape[1:3]
    # np.pad copies in C by blocks: a third of the time of an index array.
    vertical, horizontal = (max(down, 0), max(-down, 0)), (max(right, 0), max(-right, 0))
    padded = np.pad(frames, ((0, 0), vertical, horizontal, (0, 0)), mode='edge')
    top, left = max(-down, 0), max(-right, 0)
    return padded[:, top : top + height, left : left + width]


@TRANSFORMS.register_module()
class ColorContrast(Transform):
    """Stretches or flattens the contrast around mid-grey, the same for all frames and channels, so hues stay.

    Required keys: ``frames``, ``rng``. Modified keys: ``frames``.

    Args:
        contrast: The factor is drawn from [1 - contrast, 1 + contrast]; in [0, 1].
    """

    MID_GREY = 127.5

    def __init__(self, contrast: float = 0.2) -> None:
        self.contrast = as_share(contrast, 'contrast', 'ColorContrast')

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change the contrast of ``frames``."""
        require(results, self, ('frames', 'rng'))
        factor = results['rng'].uniform(1 - self.contrast, 1 + self.contrast)
        table = np.rint((np.arange(256) - self.MID_GREY) * factor + self.MID_GREY).clip(0, 255).astype(np.uint8)
        frames = np.ascontiguousarray(results['frames'])
        # OpenCV looks up pictures, not clips: all frames as one tall picture.
        results['frames'] = cv2.LUT(frames.reshape(-1, *frames.shape[2:]), table).reshape(frames.shape)
        return results
