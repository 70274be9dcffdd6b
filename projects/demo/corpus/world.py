"""The demo's small world: what can be in a picture or a clip, what is said of it, and which scenes each split gets.

A scene is its content, not its pixels: the shapes, how they stand, what they do. Position, size, tint and background
are drawn when it is rendered (:mod:`projects.demo.corpus.render`), so one scene gives many pictures. Splits share no
scene, and so no caption; every attribute of a held-out scene is known from training, only its combination is new. Four
colour-shape pairs are in no scene but those of ``test_unseen``; in the harder world, which has more of all, two of each
colour.
"""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

COLOURS = ('red', 'yellow', 'green', 'blue', 'purple', 'black')
SHAPES = ('circle', 'square', 'triangle', 'cross')
RELATIONS = ('above', 'below', 'left of', 'right of')
# The second action of each pair is the first one played backwards: the same frames in the opposite order, so that no
# single frame can tell them apart.
ACTION_PAIRS = (
    ('moving left', 'moving right'),
    ('moving up', 'moving down'),
    ('growing', 'shrinking'),
    ('appearing', 'disappearing'),
)
ACTIONS = tuple(itertools.chain.from_iterable(ACTION_PAIRS))
SPLITS = ('train', 'val', 'test', 'test_unseen')
# What the harder world has besides.
MORE_COLOURS = ('orange', 'brown', 'pink')
MORE_SHAPES = ('diamond', 'ring', 'bar')
DIAGONALS = ('northwest of', 'northeast of', 'southwest of', 'southeast of')
# A lone shape stands in one cell of a GRID x GRID board: the "place" of its scene.
GRID = 4


class Thing(NamedTuple):
    """A coloured shape, 'red circle'."""

    colour: str
    shape: str

    def __str__(self) -> str:
        return f'{self.colour} {self.shape}'


# Each shape once and four different colours, so that every colour and every shape is known from training.
UNSEEN_THINGS = frozenset(
    {Thing('red', 'triangle'), Thing('blue', 'cross'), Thing('green', 'square'), Thing('yellow', 'circle')}
)


class World(NamedTuple):
    """What there is to be combined.

    Attributes:
        colours: Of things.
        shapes: Of things.
        relations: Of two things in a picture.
        unseen: Things that only ``test_unseen`` shows.
    """

    colours: tuple[str, ...]
    shapes: tuple[str, ...]
    relations: tuple[str, ...]
    unseen: frozenset[Thing]

    @property
    def things(self) -> list[Thing]:
        """Every colour-shape pair, the unseen ones included."""
        return [Thing(colour, shape) for colour in self.colours for shape in self.shapes]


WORLD = World(COLOURS, SHAPES, RELATIONS, UNSEEN_THINGS)
_COLOURS, _SHAPES = (*COLOURS, *MORE_COLOURS), (*SHAPES, *MORE_SHAPES)
HARD_WORLD = World(
    _COLOURS,
    _SHAPES,
    (*RELATIONS, *DIAGONALS),
    # Two shapes of each colour and two or three colours of each shape, so that all are known from training.
    frozenset(
        Thing(colour, _SHAPES[(2 * row + step) % len(_SHAPES)])
        for row, colour in enumerate(_COLOURS)
        for step in (0, 3)
    ),
)


@dataclass(frozen=True)
class PictureScene:
    """Two shapes of different size; the larger one is named first, so the caption is a function of the picture."""

    first: Thing
    second: Thing
    relation: str

    @property
    def caption(self) -> str:
        """The one true caption."""
        return f'a large {self.first} {self.relation} a small {self.second}'

    @property
    def kind(self) -> str:
        """What the splits are balanced over."""
        return self.relation

    @property
    def things(self) -> tuple[Thing, ...]:
        """What can be seen."""
        return (self.first, self.second)


@dataclass(frozen=True)
class LoneScene:
    """One shape alone, for the image-label split: its class is the shape."""

    thing: Thing
    size: str
    cell: int

    @property
    def kind(self) -> str:
        """The class of the image-label split."""
        return self.thing.shape

    @property
    def things(self) -> tuple[Thing, ...]:
        """What can be seen."""
        return (self.thing,)


@dataclass(frozen=True)
class ClipScene:
    """A shape that does something near a smaller one that does not."""

    mover: Thing
    other: Thing
    action: str

    @property
    def caption(self) -> str:
        """The one true caption."""
        return f'a {self.mover} {self.action} near a {self.other}'

    @property
    def kind(self) -> str:
        """The class of the video-label split."""
        return self.action

    @property
    def things(self) -> tuple[Thing, ...]:
        """What can be seen."""
        return (self.mover, self.other)


@dataclass(frozen=True)
class LongScene:
    """Clips after each other, one video; each lasts a whole number of seconds."""

    clips: tuple[ClipScene, ...]
    seconds: tuple[int, ...]

    @property
    def segments(self) -> list[tuple[int, int]]:
        """Start and end of each clip in seconds, end excluded."""
        ends = list(itertools.accumulate(self.seconds))
        return list(zip([0, *ends[:-1]], ends))

    @property
    def things(self) -> tuple[Thing, ...]:
        """What can be seen."""
        return tuple(itertools.chain.from_iterable(clip.things for clip in self.clips))


Scene = PictureScene | LoneScene | ClipScene
AnyScene = TypeVar('AnyScene', bound=Scene)


def all_things() -> list[Thing]:
    """List every colour-shape pair of the usual world, the unseen ones included."""
    return WORLD.things


def picture_scenes(world: World = WORLD) -> list[PictureScene]:
    """List every picture of two different things."""
    pairs = itertools.permutations(world.things, 2)
    return [PictureScene(first, second, relation) for first, second in pairs for relation in world.relations]


def lone_scenes(world: World = WORLD) -> list[LoneScene]:
    """List every picture of one thing."""
    return [
        LoneScene(thing, size, cell)
        for thing in world.things
        for size in ('large', 'small')
        for cell in range(GRID * GRID)
    ]


def clip_scenes(world: World = WORLD) -> list[ClipScene]:
    """List every clip of two different things."""
    pairs = itertools.permutations(world.things, 2)
    return [ClipScene(mover, other, action) for mover, other in pairs for action in ACTIONS]


def split_scenes(
    scenes: Sequence[AnyScene], held_out: int, rng: np.random.Generator, unseen_things: frozenset[Thing] = UNSEEN_THINGS
) -> dict[str, list[AnyScene]]:
    """Deal scenes to the splits; no scene is in two of them.

    Args:
        scenes: All scenes of one kind.
        held_out: Scenes of each of val, test and test_unseen.
        rng: Decides the order.
        unseen_things: Those that only test_unseen shows.

    Returns:
        Split -> its scenes: ``held_out`` of the seen things each for val and test, all others of the seen things for
        train, and ``held_out`` for test_unseen with at least one thing that the other splits never show.
    """
    shuffled = [scenes[index] for index in rng.permutation(len(scenes))]
    seen = in_turn([scene for scene in shuffled if unseen_things.isdisjoint(scene.things)])
    unseen = in_turn([scene for scene in shuffled if not unseen_things.isdisjoint(scene.things)])
    return {
        'train': seen[2 * held_out :],
        'val': seen[:held_out],
        'test': seen[held_out : 2 * held_out],
        'test_unseen': unseen[:held_out],
    }


def in_turn(scenes: Sequence[AnyScene]) -> list[AnyScene]:
    """Reorder scenes so that the kinds (relations, shapes or actions) take turns, each keeping its own order.

    Args:
        scenes: Scenes of one sort.

    Returns:
        The same scenes; any stretch of them has about as many of each kind.
    """
    seen_of_kind: Counter[str] = Counter()
    places = []
    for scene in scenes:
        places.append((seen_of_kind[scene.kind], scene.kind))
        seen_of_kind[scene.kind] += 1
    return [scenes[index] for index in sorted(range(len(scenes)), key=places.__getitem__)]
