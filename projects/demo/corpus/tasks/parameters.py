"""Sizes of the corpus for the downstream tasks."""

from dataclasses import dataclass
from typing import ClassVar

from ..manifest import Parameters

FRAMES_PER_CLIP = 16
FPS = 8
CLIPS_PER_LONG_VIDEO = 4


@dataclass(frozen=True)
class TaskParameters(Parameters):
    """Everything that the files of a corpus of downstream tasks depend on.

    Attributes:
        format: Raised whenever the same parameters give other files than before.
        folders: One per benchmark.
        allowed: Least and greatest value of every number.
        seed: Of every draw. With the same seed and ``num_eval``, the demo corpus deals its scenes in the same way: what
            is tested here was not seen in the pretraining there.
        size: Height and width of pictures and clips, pixels; even, as H.264 wants it.
        num_eval: Captioned pictures, captioned clips, lone shapes and labelled clips of each of val and test; twice as
            many for test of the latter two.
        num_images: Captioned pictures for training.
        num_clips: Captioned clips for training, and labelled ones, as many of each.
        num_long: Long videos for training; there are ``num_eval // 4`` for each of val and test.
        num_lone: Pictures of a lone shape for training.

    Raises:
        ValueError: A number is outside what the world can give.
    """

    format: ClassVar[int] = 1
    folders: ClassVar[tuple[str, ...]] = ('coco', 'msrvtt', 'ssv2', 'things', 'youcook2')
    allowed: ClassVar[dict[str, tuple[int, int]]] = {
        'seed': (0, 2**32 - 1),
        'size': (16, 1024),
        'num_eval': (8, 300),
        'num_images': (16, 90_000),
        'num_clips': (16, 90_000),
        'num_long': (4, 20_000),
        'num_lone': (20, 90_000),
    }

    num_eval: int = 200
    num_images: int = 2400
    num_clips: int = 1600
    num_long: int = 300
    num_lone: int = 1000


SMOKE_TASKS = TaskParameters(num_eval=8, num_images=24, num_clips=16, num_long=4, num_lone=20)
