"""Several true sentences about each scene, most of them in the words that the pretraining corpus has, too.

Every sentence names the whole scene, so sentences of different scenes are never equal, whatever their templates.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..world import ACTION_PAIRS, ACTIONS, COLOURS, SHAPES, UNSEEN_THINGS, ClipScene, PictureScene, Thing

# {large} stands {relation} {small}, which stands {turned} of it.
PICTURE_TEMPLATES = (
    'a large {large} {relation} a small {small}',
    'a small {small} {turned} a large {large}',
    'there is a large {large} {relation} a small {small}',
    'the small {small} is {turned} the large {large}',
    'a photo of a {large} {relation} a smaller {small}',
    'a picture of a {small} {turned} a larger {large}',
    'a large {large} with a small {small} {turned} it',
    'a little {small} is {turned} a big {large}',
)
CLIP_TEMPLATES = (
    'a {mover} {action} near a {other}',
    'a {mover} is {action} near a {other}',
    'there is a {mover} {action} near a {other}',
    'a video of a {mover} that is {action} near a {other}',
    'a {mover} {acts} near a {other}',
    'near a {other} a {mover} is {action}',
    'the shape {action} near the {other} is a {mover}',
    'the {mover} is {action} and the {other} is not',
)
STEP_TEMPLATES = (
    'let the {mover} {act} near the {other}',
    'make the {mover} {act} near the {other}',
    'a {mover} {action} near a {other}',
    'a {mover} is {action} near a {other}',
)
SENTENCES_PER_VISUAL = 5
TURNED = {'above': 'below', 'below': 'above', 'left of': 'right of', 'right of': 'left of'}
OPPOSITE = {**dict(ACTION_PAIRS), **{second: first for first, second in ACTION_PAIRS}}
ACTS = {
    'moving left': 'moves left',
    'moving right': 'moves right',
    'moving up': 'moves up',
    'moving down': 'moves down',
    'growing': 'grows',
    'shrinking': 'shrinks',
    'appearing': 'appears',
    'disappearing': 'disappears',
}


def describe_picture(scene: PictureScene, rng: np.random.Generator) -> list[str]:
    """Say what a picture shows, each time in another way.

    Args:
        scene: What it shows.
        rng: Draws the templates and their order.

    Returns:
        SENTENCES_PER_VISUAL different sentences.
    """
    words = {
        'large': scene.first,
        'small': scene.second,
        'relation': scene.relation,
        'turned': TURNED[scene.relation],
    }
    chosen = rng.permutation(len(PICTURE_TEMPLATES))[:SENTENCES_PER_VISUAL]
    return [PICTURE_TEMPLATES[index].format(**words) for index in chosen]


def describe_clip(scene: ClipScene, rng: np.random.Generator) -> list[str]:
    """Say what a clip shows, each time in another way.

    Args:
        scene: What it shows.
        rng: Draws the templates and their order.

    Returns:
        SENTENCES_PER_VISUAL different sentences.
    """
    chosen = rng.permutation(len(CLIP_TEMPLATES))[:SENTENCES_PER_VISUAL]
    return [CLIP_TEMPLATES[index].format(**_words(scene)) for index in chosen]


def describe_step(scene: ClipScene, rng: np.random.Generator) -> str:
    """Say what happens in one part of a long video, as a recipe would (let the ...) or plainly.

    Args:
        scene: What the part shows.
        rng: Draws the template.

    Returns:
        One sentence.
    """
    return STEP_TEMPLATES[rng.integers(len(STEP_TEMPLATES))].format(**_words(scene))


def five_choices(scene: ClipScene, rng: np.random.Generator) -> tuple[list[str], int]:
    """One true sentence about a clip among four false ones, all from the same template.

    The true action and its opposite each stand beside the true looks and beside looks with another colour or shape: the
    sentences alone do not tell which of these four is true, and only the order of the frames tells the two actions
    apart. The fifth sentence has another action still.

    Args:
        scene: What the clip shows.
        rng: All draws.

    Returns:
        The five sentences, and the index of the true one.
    """
    opposite = OPPOSITE[scene.action]
    changed = _other_looks(scene, rng)
    further = [action for action in ACTIONS if action not in (scene.action, opposite)]
    odd = replace((scene, changed)[rng.integers(2)], action=further[rng.integers(len(further))])
    scenes = [scene, replace(scene, action=opposite), changed, replace(changed, action=opposite), odd]
    template = CLIP_TEMPLATES[rng.integers(len(CLIP_TEMPLATES))]
    order = rng.permutation(len(scenes)).tolist()
    return [template.format(**_words(scenes[index])) for index in order], order.index(0)


def _other_looks(scene: ClipScene, rng: np.random.Generator) -> ClipScene:
    """Change a colour or shape of a scene, so that the scene is one that training may have, too."""
    place = ('mover', 'other')[rng.integers(2)]
    old = getattr(scene, place)
    if rng.integers(2):
        things = [Thing(colour, old.shape) for colour in COLOURS]
    else:
        things = [Thing(old.colour, shape) for shape in SHAPES]
    things = [thing for thing in things if thing not in UNSEEN_THINGS and thing not in scene.things]
    thing = things[rng.integers(len(things))]
    return replace(scene, mover=thing) if place == 'mover' else replace(scene, other=thing)


def _words(scene: ClipScene) -> Mapping[str, object]:
    """Return what the templates of clips may say."""
    acts = ACTS[scene.action]
    verb, _, where = acts.partition(' ')
    act = f'{verb.removesuffix("s")} {where}'.strip()
    return {'mover': scene.mover, 'other': scene.other, 'action': scene.action, 'acts': acts, 'act': act}
