"""Which file shows which scene: the whole corpus as a list, made from the parameters alone."""

import itertools
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .manifest import CorpusParameters
from .world import (
    SPLITS,
    AnyScene,
    ClipScene,
    LoneScene,
    PictureScene,
    clip_scenes,
    lone_scenes,
    picture_scenes,
    split_scenes,
)

# Share of the training pictures and clips that have a caption; the others have a label.
CAPTIONED_IMAGES = 0.75
CAPTIONED_VIDEOS = 0.7
# Share of the scenes of lone shapes that go to each of val and test.
HELD_OUT_LONE = 0.15
VIDEOS_PER_FOLDER = 500


@dataclass(frozen=True)
class Item:
    """One file of the corpus.

    Attributes:
        kind: ``'images'``, ``'image_labels'``, ``'videos'`` or ``'video_labels'``.
        split: One of :data:`~omnivl.datasets.demo.world.SPLITS`.
        number: Unique within its kind, from 1.
        path: Relative to the root of the corpus.
        scene: What it shows.
    """

    kind: str
    split: str
    number: int
    path: str
    scene: PictureScene | LoneScene | ClipScene

    def rng(self, seed: int) -> np.random.Generator:
        """The generator of all draws of this file, independent of every other file.

        Args:
            seed: Of the corpus.

        Returns:
            A fresh generator, the same at every call.
        """
        return np.random.default_rng([seed, zlib.crc32(self.kind.encode()), self.number])


def plan_corpus(parameters: CorpusParameters) -> list[Item]:
    """List every picture and clip of a corpus.

    Args:
        parameters: Sizes and seed.

    Returns:
        The items, kind after kind and split after split.
    """
    pictures = split_scenes(picture_scenes(), parameters.num_eval, _rng(parameters, 'pictures'))
    clips = split_scenes(clip_scenes(), parameters.num_eval, _rng(parameters, 'clips'))
    lone = lone_scenes()
    lone = split_scenes(lone, int(HELD_OUT_LONE * len(lone)), _rng(parameters, 'lone shapes'))
    captioned_images = round(parameters.num_images * CAPTIONED_IMAGES)
    captioned_videos = round(parameters.num_videos * CAPTIONED_VIDEOS)
    sources = {
        'images': (pictures, captioned_images, SPLITS),
        'image_labels': (lone, parameters.num_images - captioned_images, SPLITS[:3]),
        'videos': (clips, captioned_videos, SPLITS),
        'video_labels': (clips, parameters.num_videos - captioned_videos, SPLITS[:3]),
    }
    items = []
    for kind, (scenes, num_train, splits) in sources.items():
        number = 0
        for split in splits:
            count = num_train if split == 'train' else parameters.num_eval
            for scene in _drawn(scenes[split], count, _rng(parameters, f'{kind} {split}')):
                number += 1
                path = _path(kind, split, number, scene, parameters.seconds)
                items.append(Item(kind, split, number, path, scene))
    return items


def count_items(items: Sequence[Item]) -> dict[str, dict[str, int]]:
    """Count the items of each kind and split.

    Args:
        items: A plan.

    Returns:
        Kind -> split -> items.
    """
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for item in items:
        counts[item.kind][item.split] += 1
    return {kind: dict(of_kind) for kind, of_kind in counts.items()}


def youtube_id(number: int) -> str:
    """The made-up id of a labelled clip, eleven characters like a real one."""
    return f'demo{number:07d}'


def page_dir(number: int) -> str:
    """Folder of a captioned clip, named after the numbers in it as WebVid's are."""
    first = (number - 1) // VIDEOS_PER_FOLDER * VIDEOS_PER_FOLDER + 1
    return f'{first:06d}_{first + VIDEOS_PER_FOLDER - 1:06d}'


def _rng(parameters: CorpusParameters, purpose: str) -> np.random.Generator:
    return np.random.default_rng([parameters.seed, zlib.crc32(purpose.encode())])


def _drawn(scenes: Sequence[AnyScene], count: int, rng: np.random.Generator) -> list[AnyScene]:
    """Draw scenes as evenly as can be: the kinds in turn, and every scene of a kind before any of it comes twice."""
    shuffled = [scenes[index] for index in rng.permutation(len(scenes))]
    of_kind = [[scene for scene in shuffled if scene.kind == kind] for kind in sorted({s.kind for s in scenes})]
    turns = [itertools.cycle(group) for group in of_kind]
    return [next(turns[place % len(turns)]) for place in range(count)]


def _path(kind: str, split: str, number: int, scene: AnyScene, seconds: int) -> str:
    if kind == 'images':
        return f'images/{split}/{number:05d}.jpg'
    if kind == 'image_labels':
        return f'image_labels/{split}/{scene.kind}/{number:05d}.jpg'
    if kind == 'videos':
        return f'videos/{page_dir(number)}/{number}.mp4'
    return f'video_labels/{scene.kind.replace(" ", "_")}/{youtube_id(number)}_{0:06d}_{seconds:06d}.mp4'
