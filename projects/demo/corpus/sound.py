"""Sounds of the demo world, which follow what a clip shows, and narrations, which come too early or too late.

Pitch is the shape of the thing that moves, rhythm its action (an action and its opposite have the same beats in the
opposite order), the mixture of overtones its colour; a low drone is the shape of the thing that stays. So a sound tells
a clip from most others, and nothing tells the colour of what stays. All draws come from the generator that is passed
in.
"""

from collections.abc import Sequence

import numpy as np

from .world import ClipScene

RATE = 16000  # samples per second
BEATS = 8  # of a clip, whatever its length
# The white keys of one octave and two more.
PITCHES = {
    'circle': 261.6,
    'square': 329.6,
    'triangle': 392.0,
    'cross': 493.9,
    'diamond': 587.3,
    'ring': 698.5,
    'bar': 784.0,
}
RHYTHMS = {
    'moving left': 'x.x.x.x.',
    'moving right': '.x.x.x.x',
    'moving up': 'xx..xx..',
    'moving down': '..xx..xx',
    'growing': 'x..x.xxx',
    'shrinking': 'xxx.x..x',
    'appearing': '....xxxx',
    'disappearing': 'xxxx....',
}
# Strength of the tone and of its overtones.
OVERTONES = {
    'red': (1.0,),
    'yellow': (1.0, 0.8),
    'green': (1.0, 0.0, 0.8),
    'blue': (1.0, 0.0, 0.0, 0.8),
    'purple': (1.0, 0.6, 0.6),
    'black': (1.0, 0.7, 0.7, 0.7, 0.7),
    'orange': (0.3, 1.0),
    'brown': (0.3, 0.0, 1.0),
    'pink': (0.5, 0.0, 0.5, 0.0, 0.8),
}
SILENT = 0.1  # share of the clips that have no audio stream
# Of a narration: words that tell nothing, how many clips have some, and how far a text is from what it tells of.
FILLERS = ('hello again', 'now look at this', 'as you can see', 'that is all', 'let us go on')
FILLED = 0.3
MISALIGNED = 0.5
FARTHEST = 1.5  # clips


def render_sound(scene: ClipScene, rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Make the sound of a clip.

    Args:
        scene: What is shown.
        rng: All draws: loudness, tuning, noise, where the first beat begins.
        seconds: Length of the clip.

    Returns:
        One channel, float32 (seconds * RATE,) in [-1, 1].
    """
    times = np.arange(round(seconds * RATE)) / RATE
    beat = seconds / BEATS
    tuning = 1.0 + rng.normal(0, 0.003)
    late = rng.uniform(0, 0.1) * beat
    loudness, noise = rng.uniform(0.3, 0.6), rng.uniform(0.001, 0.01)
    phases = rng.uniform(0, 2 * np.pi, size=8)
    strengths = OVERTONES[scene.mover.colour]
    pitch = PITCHES[scene.mover.shape] * tuning
    tone = sum(
        strength * np.sin(2 * np.pi * pitch * (number + 1) * times + phases[number])
        for number, strength in enumerate(strengths)
    ) / sum(strengths)
    since = times - late
    place = np.floor(since / beat).astype(np.int64)
    struck = np.array([mark == 'x' for mark in RHYTHMS[scene.action]])[np.clip(place, 0, BEATS - 1)] & (since >= 0)
    within = since - place * beat
    # A struck string: loud within 10 ms, then fading.
    strength = struck * np.minimum(within / 0.01, 1.0) * np.exp(-3.0 * within / beat)
    drone = 0.2 * np.sin(2 * np.pi * PITCHES[scene.other.shape] / 2 * tuning * times + phases[-1])
    waveform = loudness * (tone * strength + drone) + rng.normal(0, noise, size=len(times))
    return np.clip(waveform, -1, 1).astype(np.float32)


def narrate(captions: Sequence[str], rng: np.random.Generator, seconds: float) -> dict[str, list]:
    """Say what a video of several clips shows, in time or not.

    Args:
        captions: Of its clips, in their order.
        rng: All draws.
        seconds: Length of each clip.

    Returns:
        ``start``, ``end`` (seconds) and ``text``, as HowTo100M's ``caption.json`` has them, sorted by time.
    """
    spans = []
    for number, caption in enumerate(captions):
        shift = rng.uniform(-FARTHEST, FARTHEST) if rng.random() < MISALIGNED else rng.uniform(-0.1, 0.1)
        spans.append((max((number + 0.1 + shift) * seconds, 0.0), caption))
        if rng.random() < FILLED:
            filler = FILLERS[rng.integers(len(FILLERS))]
            spans.append(((number + rng.random()) * seconds, filler))
    spans.sort()
    starts = [round(start, 2) for start, _ in spans]
    ends = [round(start + 0.8 * seconds, 2) for start in starts]
    return {'start': starts, 'end': ends, 'text': [text for _, text in spans]}
