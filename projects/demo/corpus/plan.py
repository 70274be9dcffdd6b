"""Which file shows which scene: the whole corpus as a list, made from the parameters alone."""

import itertools
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Generic, TypeVar

import numpy as np

from .manifest import CorpusParameters
from .sound import SILENT
from .world import (
    SPLITS,
    WORLD,
    AnyScene,
    ClipScene,
    LoneScene,
    LongScene,
    PictureScene,
    Scene,
    World,
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
# Of a narrated video, and the training clips for each of them.
CLIPS_PER_NARRATION = 6
VIDEOS_PER_NARRATION = 8
Shown = TypeVar('Shown')


@dataclass(frozen=True)
class Item(Generic[Shown]):
    """One file of the corpus.

    Attributes:
        kind: ``'images'``, ``'image_labels'``, ``'videos'`` or ``'video_labels'``, in a world with sound ``'narrated'``
            too; other corpora have other kinds.
        split: One of :data:`~projects.demo.corpus.world.SPLITS`.
        number: Unique within its kind, from 1.
        path: Relative to the root of the corpus.
        scene: What it shows.
    """

    kind: str
    split: str
    number: int
    path: str
    scene: Shown

    def rng(self, seed: int) -> np.random.Generator:
        """Return the generator of all draws of this file, independent of every other file.

        Args:
            seed: Of the corpus.

        Returns:
            A fresh generator, the same at every call.
        """
        return purpose_rng(seed, self.kind, self.number)


def plan_corpus(parameters: CorpusParameters) -> list[Item]:
    """List every picture and clip of a corpus.

    Args:
        parameters: Sizes and seed.

    Returns:
        The items, kind after kind and split after split.
    """
    pictures, lone, clips = split_world(parameters.seed, parameters.num_eval, parameters.world)
    captioned_images = round(parameters.num_images * CAPTIONED_IMAGES)
    captioned_videos = round(parameters.num_videos * CAPTIONED_VIDEOS)
    sources: dict[str, tuple[Mapping[str, Sequence[Scene]], int, Sequence[str]]] = {
        'images': (pictures, captioned_images, SPLITS),
        'image_labels': (lone, parameters.num_images - captioned_images, SPLITS[:3]),
        'videos': (clips, captioned_videos, SPLITS),
        'video_labels': (clips, parameters.num_videos - captioned_videos, SPLITS[:3]),
    }
    items: list[Item] = []
    for kind, (scenes, num_train, splits) in sources.items():
        number = 0
        for split in splits:
            count = num_train if split == 'train' else parameters.num_eval
            for scene in draw_scenes(scenes[split], count, purpose_rng(parameters.seed, f'{kind} {split}')):
                number += 1
                path = _path(kind, split, number, scene, parameters.seconds)
                items.append(Item(kind, split, number, path, scene))
    return items + (plan_narrated(parameters, clips['train']) if parameters.sound else [])


def plan_narrated(parameters: CorpusParameters, scenes: Sequence[ClipScene]) -> list[Item]:
    """List the videos that have a narration, all of them for training.

    Args:
        parameters: Sizes and seed.
        scenes: The clips that they may be made of.

    Returns:
        Items of kind ``narrated``, each of ``CLIPS_PER_NARRATION`` clips.
    """
    count = max(parameters.num_videos // VIDEOS_PER_NARRATION, 1)
    drawn = draw_scenes(scenes, count * CLIPS_PER_NARRATION, purpose_rng(parameters.seed, 'narrated'))
    order = purpose_rng(parameters.seed, 'order of the narrated').permutation(len(drawn))
    shuffled = [drawn[place] for place in order]
    items: list[Item] = []
    for number in range(1, count + 1):
        mine = tuple(shuffled[(number - 1) * CLIPS_PER_NARRATION : number * CLIPS_PER_NARRATION])
        scene = LongScene(mine, (parameters.seconds,) * len(mine))
        items.append(Item('narrated', 'train', number, f'narrated/{number:05d}.mp4', scene))
    return items


def is_silent(item: Item, seed: int) -> bool:
    """Say whether a clip of a world with sound has none; ``seed`` is that of the corpus."""
    return bool(purpose_rng(seed, f'silence of {item.kind}', item.number).random() < SILENT)


def split_world(
    seed: int, num_eval: int, world: World = WORLD
) -> tuple[dict[str, list[PictureScene]], dict[str, list[LoneScene]], dict[str, list[ClipScene]]]:
    """Deal all scenes to the splits; every corpus of this seed and number has the same split.

    Args:
        seed: Of the corpus.
        num_eval: Scenes of each of val, test and test_unseen, for pictures as for clips.
        world: What there is.

    Returns:
        Split -> scenes, of the pictures, the lone shapes and the clips.
    """
    lone = lone_scenes(world)
    return (
        split_scenes(picture_scenes(world), num_eval, purpose_rng(seed, 'pictures'), world.unseen),
        split_scenes(lone, int(HELD_OUT_LONE * len(lone)), purpose_rng(seed, 'lone shapes'), world.unseen),
        split_scenes(clip_scenes(world), num_eval, purpose_rng(seed, 'clips'), world.unseen),
    )


def draw_scenes(
    scenes: Sequence[AnyScene],
    count: int,
    rng: np.random.Generator,
    kind_of: Callable[[AnyScene], Any] = attrgetter('kind'),
) -> list[AnyScene]:
    """Draw scenes as evenly as can be: the kinds in turn, and every scene of a kind before any of it comes twice.

    Args:
        scenes: What to draw from.
        count: Scenes to draw.
        rng: Decides the order within each kind.
        kind_of: What is to be balanced; sortable.

    Returns:
        ``count`` scenes.
    """
    shuffled = [scenes[index] for index in rng.permutation(len(scenes))]
    kinds = sorted({kind_of(scene) for scene in scenes})
    of_kind = [[scene for scene in shuffled if kind_of(scene) == kind] for kind in kinds]
    turns = [itertools.cycle(group) for group in of_kind]
    return [next(turns[place % len(turns)]) for place in range(count)]


def purpose_rng(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """Return the generator of the draws for one purpose, independent of every other.

    Args:
        seed: Of the corpus.
        purpose: What is drawn.
        *numbers: Of the file or sentence that it is drawn for.

    Returns:
        A fresh generator, the same at every call.
    """
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), *numbers])


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
    """Return the made-up id of a labelled clip, eleven characters like a real one."""
    return f'demo{number:07d}'


def page_dir(number: int) -> str:
    """Return the folder of a captioned clip, named after the numbers in it as WebVid's are."""
    first = (number - 1) // VIDEOS_PER_FOLDER * VIDEOS_PER_FOLDER + 1
    return f'{first:06d}_{first + VIDEOS_PER_FOLDER - 1:06d}'


def _path(kind: str, split: str, number: int, scene: Scene, seconds: int) -> str:
    if kind == 'images':
        return f'images/{split}/{number:05d}.jpg'
    if kind == 'image_labels':
        return f'image_labels/{split}/{scene.kind}/{number:05d}.jpg'
    if kind == 'videos':
        return f'videos/{page_dir(number)}/{number}.mp4'
    return f'video_labels/{scene.kind.replace(" ", "_")}/{youtube_id(number)}_{0:06d}_{seconds:06d}.mp4'
