"""Pictures of what a batch holds, one function for each kind of values (registry ``PICTURES``)."""

from collections.abc import Sequence

from PIL import Image
from torch import Tensor

from omnivl.registry import PICTURES
from omnivl.structures import FRAMES, MODALITIES

from .sheets import frame_strip

COLUMNS = 8  # images side by side in one strip


def draw_values(values: Sequence[Tensor], modality: str, height: int) -> list[Image.Image]:
    """Draw what PackSample makes of one sample in each of several epochs: strips to be shown one below the other.

    Each strip is ``height`` pixels high.
    """
    return PICTURES.get(MODALITIES[modality].kind)(values, height)


@PICTURES.register_module(FRAMES)
def draw_frames(values: Sequence[Tensor], height: int) -> list[Image.Image]:
    """Draw clips, uint8 (T, 3, H, W), one below the other, and images side by side; see :func:`draw_values`."""
    clips = [clip.permute(0, 2, 3, 1).numpy() for clip in values]
    if len(clips[0]) > 1:
        return [frame_strip(list(clip), height) for clip in clips]
    groups = [clips[start : start + COLUMNS] for start in range(0, len(clips), COLUMNS)]
    return [frame_strip([clip[0] for clip in group], height) for group in groups]
