"""Questions about the scenes of the demo world, in the manner of VQAv2 (pictures) and MSRVTT-QA (clips)."""

from typing import NamedTuple

import numpy as np

from .world import ACTIONS, WORLD, ClipScene, PictureScene, Thing, World

QUESTIONS_PER_VISUAL = 2
# One annotator in this many answers wrongly, at most MOST_WRONG of ten, so that the common answer always scores fully.
SLIP = 25
MOST_WRONG = 3


class Question(NamedTuple):
    """A question with its answer, and VQAv2's two ways to sort it.

    Attributes:
        text: The question.
        answer: The true answer.
        question_type: Its first words, as VQAv2 sorts them.
        answer_type: ``'yes/no'``, ``'number'`` or ``'other'``.
        choices: All answers of this sort, the true one included.
    """

    text: str
    answer: str
    question_type: str
    answer_type: str
    choices: tuple[str, ...]


def ask_picture(scene: PictureScene, rng: np.random.Generator, world: World = WORLD) -> list[Question]:
    """Ask about a picture: one open question, and one to be answered with yes, no or a number.

    Args:
        scene: What the picture shows.
        rng: All draws.
        world: What else it could show.

    Returns:
        QUESTIONS_PER_VISUAL questions.
    """
    colours, shapes = world.colours, world.shapes
    which = ('large', 'small')[rng.integers(2)]
    thing = scene.first if which == 'large' else scene.second
    if rng.integers(2):
        opened = Question(f'what color is the {which} shape?', thing.colour, 'what color is the', 'other', colours)
    else:
        opened = Question(f'what shape is the {which} object?', thing.shape, 'what', 'other', shapes)
    if rng.integers(4):
        return [opened, _ask_relation(scene, rng, world)]
    shape = shapes[rng.integers(len(shapes))]
    count = str([thing.shape for thing in scene.things].count(shape))
    plural = f'{shape}es' if shape.endswith('s') else f'{shape}s'
    closed = Question(f'how many {plural} are there?', count, 'how many', 'number', ('0', '1', '2'))
    return [opened, closed]


def ask_clip(scene: ClipScene, rng: np.random.Generator, world: World = WORLD) -> list[Question]:
    """Ask about a clip: what happens, and what or how the shapes are.

    Args:
        scene: What the clip shows.
        rng: All draws.
        world: What else it could show.

    Returns:
        QUESTIONS_PER_VISUAL questions.
    """
    colours, shapes = world.colours, world.shapes
    mover, other, action = scene.mover, scene.other, scene.action
    looks = (
        Question(f'what color is the shape that is {action}?', mover.colour, 'what color is the', 'other', colours),
        Question(f'what shape is {action}?', mover.shape, 'what', 'other', shapes),
        Question(f'what color is the shape near the {mover}?', other.colour, 'what color is the', 'other', colours),
        Question(f'what shape is near the {mover}?', other.shape, 'what', 'other', shapes),
    )
    happening = Question(f'what is the {mover} doing?', action, 'what is the', 'other', ACTIONS)
    return [happening, looks[rng.integers(len(looks))]]


def ten_answers(question: Question, rng: np.random.Generator) -> list[dict]:
    """Let ten annotators answer; now and then one of them is wrong, and unsure.

    Args:
        question: What they are asked.
        rng: All draws.

    Returns:
        VQAv2's ``answers``: ten of answer, answer_confidence and answer_id (from 1).
    """
    wrong = [choice for choice in question.choices if choice != question.answer]
    answers, slips = [], 0
    for number, slip in enumerate(rng.integers(SLIP, size=10) == 0, start=1):
        answer = question.answer
        if slip and slips < MOST_WRONG:
            answer, slips = wrong[rng.integers(len(wrong))], slips + 1
        confidence = 'yes' if answer == question.answer else 'maybe'
        answers.append({'answer': answer, 'answer_confidence': confidence, 'answer_id': number})
    return answers


def _ask_relation(scene: PictureScene, rng: np.random.Generator, world: World) -> Question:
    """Ask whether the one is here of the other: as often yes as no, and a no is wrong in the relation or in a shape."""
    first, second, relation = scene.first, scene.second, scene.relation
    truth = bool(rng.integers(2))
    if not truth and rng.integers(2):
        relation = _another(world.relations, relation, rng)
    elif not truth:
        first = Thing(first.colour, _another(world.shapes, first.shape, rng))
    text = f'is the large {first} {relation} the small {second}?'
    return Question(text, 'yes' if truth else 'no', 'is the', 'yes/no', ('yes', 'no'))


def _another(choices: tuple[str, ...], than: str, rng: np.random.Generator) -> str:
    rest = [choice for choice in choices if choice != than]
    return rest[rng.integers(len(rest))]
