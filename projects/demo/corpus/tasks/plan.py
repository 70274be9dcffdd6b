"""Which file of the task corpus shows which scene, made from the parameters alone."""

from collections.abc import Mapping, Sequence
from operator import attrgetter

from ..plan import Item, draw_scenes, purpose_rng, split_world, youtube_id
from ..world import SPLITS, LoneScene, LongScene, Scene, Thing
from .parameters import CLIPS_PER_LONG_VIDEO, TaskParameters

# As published: the test set of the field is YouCook2's validation part, and testing has no annotations. Here it has,
# so that settings can be chosen on other videos than those that are reported.
YOUCOOK2_SUBSETS = {'train': 'training', 'val': 'testing', 'test': 'validation'}
LEAST_SECONDS, MOST_SECONDS = 1, 3


def plan_tasks(parameters: TaskParameters) -> list[Item]:
    """List every picture, clip and long video of a corpus of downstream tasks.

    Args:
        parameters: Sizes and seed.

    Returns:
        The items; their kinds are the folders of the benchmarks. Kind after kind and split after split.
    """
    pictures, lone, clips = split_world(parameters.seed, parameters.num_eval)
    once, twice = (parameters.num_eval,) * 2, (parameters.num_eval, 2 * parameters.num_eval)
    sizes = {
        'coco': (parameters.num_images, *once),
        'msrvtt': (parameters.num_clips, *once),
        'ssv2': (parameters.num_clips, *twice),
        'things': (parameters.num_lone, *twice),
        'youcook2': (parameters.num_long, *(count // CLIPS_PER_LONG_VIDEO for count in once)),
    }
    scenes: dict[str, Mapping[str, Sequence[Scene]]] = {'coco': pictures, 'things': lone}
    items: list[Item] = []
    for kind, counts in sizes.items():
        number = 0
        for split, count in zip(SPLITS, counts):  # the first three; test_unseen is a matter of the pretraining
            for scene in _drawn(kind, split, scenes.get(kind, clips)[split], count, parameters.seed):
                number += 1
                items.append(Item(kind, split, number, _path(kind, split, number, scene), scene))
    return items


def _drawn(kind: str, split: str, scenes: Sequence[Scene], count: int, seed: int) -> list:
    """Draw the scenes of the files of one kind and split."""
    rng = purpose_rng(seed, f'{kind} {split}')
    if kind == 'things':  # the class is the thing, colour and shape
        return draw_scenes(scenes, count, rng, attrgetter('thing'))
    if kind != 'youcook2':
        return draw_scenes(scenes, count, rng)
    drawn = draw_scenes(scenes, count * CLIPS_PER_LONG_VIDEO, rng)
    # Drawn, the actions take turns; a video must not have the same ones in the same places as all others.
    shuffled = [drawn[index] for index in rng.permutation(len(drawn))]
    return [
        LongScene(
            tuple(shuffled[place : place + CLIPS_PER_LONG_VIDEO]),
            tuple(rng.integers(LEAST_SECONDS, MOST_SECONDS + 1, size=CLIPS_PER_LONG_VIDEO).tolist()),
        )
        for place in range(0, len(shuffled), CLIPS_PER_LONG_VIDEO)
    ]


def coco_file(split: str, number: int) -> str:
    """Name a picture, relative to ``coco/images``; as in COCO, val and test of Karpathy are parts of val2014.

    Args:
        split: One of the splits.
        number: The image id.

    Returns:
        The path.
    """
    folder = 'train2014' if split == 'train' else 'val2014'
    return f'{folder}/COCO_{folder}_{number:012d}.jpg'


def class_folder(thing: Thing) -> str:
    """Name the folder of the class of a lone shape.

    Args:
        thing: The shape.

    Returns:
        Such as ``red_circle``.
    """
    return str(thing).replace(' ', '_')


def _path(kind: str, split: str, number: int, scene: Scene | LongScene) -> str:
    if kind == 'coco':
        return f'coco/images/{coco_file(split, number)}'
    if kind == 'msrvtt':
        return f'msrvtt/videos/video{number}.mp4'
    if kind == 'ssv2':
        return f'ssv2/videos/{number}.mp4'
    if isinstance(scene, LoneScene):
        return f'things/{split}/{class_folder(scene.thing)}/{number:05d}.jpg'
    return f'youcook2/videos/{YOUCOOK2_SUBSETS[split]}/{youtube_id(number)}.mp4'
