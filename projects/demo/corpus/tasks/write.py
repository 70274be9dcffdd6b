"""Writes the corpus of the downstream tasks with the machinery of the demo corpus."""

import math
from pathlib import Path

import numpy as np

from ..plan import Item
from ..render import render_clip
from ..world import LongScene
from ..write import Recipe, follow, write_clip, write_scene
from .annotations import write_task_annotations
from .parameters import FPS, FRAMES_PER_CLIP, TaskParameters
from .plan import plan_tasks


def write_tasks(out: str | Path, parameters: TaskParameters, processes: int = 1, lines_every: float = math.inf) -> bool:
    """Make the corpus, unless a finished one with the same parameters is there.

    Args:
        out: Folder of the corpus.
        parameters: Sizes and seed.
        processes: Processes that draw and encode.
        lines_every: Seconds between lines about the progress where there is no terminal; by default there are none.

    Returns:
        True where it was written, False where it was there.

    Raises:
        OmniVLRuntimeError: The folder holds files of the same names that this function did not write, or a process
            failed.
    """
    recipe = Recipe(parameters, plan_tasks, write_task_item, write_task_annotations)
    return follow(recipe, out, processes, lines_every)


def write_task_item(root: Path, item: Item, parameters: TaskParameters) -> None:
    """Draw and encode one picture, clip or long video.

    Args:
        root: Folder of the corpus; the folder of the item is there.
        item: What to write, and where.
        parameters: Sizes and seed.
    """
    rng, path = item.rng(parameters.seed), root / item.path
    if isinstance(item.scene, LongScene):
        write_clip(path, render_long(item.scene, rng, parameters.size), FPS)
    else:
        write_scene(path, item.scene, rng, parameters.size, FRAMES_PER_CLIP, FPS)


def render_long(scene: LongScene, rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw the clips of a long video, one after the other.

    Args:
        scene: What to show.
        rng: All draws.
        size: Height and width, pixels.

    Returns:
        RGB uint8 (T, size, size, 3), FPS frames per second.
    """
    return np.concatenate(
        [render_clip(clip, rng, size, seconds * FPS) for clip, seconds in zip(scene.clips, scene.seconds)]
    )
