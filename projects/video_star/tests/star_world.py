"""Clips of one color, questions about them, and a model that is as good as it is told to be."""

import json

import av
import numpy as np

from projects.video_star.cycle import Cycles, Settings
from projects.video_star.generators import Said
from projects.video_star.labels import Label, LabelledClip
from projects.video_star.templates import Asker

COLORS = {'red': (220, 30, 30), 'green': (30, 220, 30), 'blue': (30, 30, 220), 'grey': (120, 120, 120)}


def write_clip(path, color, size=32):
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=4)
        stream.width = stream.height = size
        stream.pix_fmt = 'yuv420p'
        for _ in range(8):
            picture = np.full((size, size, 3), color, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format='rgb24')))
        container.mux(stream.encode())


def write_clips(root, count):
    """Write clips of all colors in turn; returns (path, color)."""
    clips = []
    for number in range(count):
        color = list(COLORS)[number % len(COLORS)]
        write_clip(root / f'{number}.mp4', COLORS[color])
        clips.append((str(root / f'{number}.mp4'), color))
    return clips


def questions_about(clips, source='clips'):
    labelled = [
        LabelledClip(str(number), video, [Label('class', color)]) for number, (video, color) in enumerate(clips)
    ]
    return list(Asker().questions(labelled, source))


class Parrot:
    """Knows the colors in ``knows``, follows hints but for blue, and learns all colors of the answers it is tuned on.

    Args:
        clips: (path, color).
        log: File that each call is noted in.
        knows: Colors of the pretrained model.
        dies_after: Answers before it ends as if it were killed.
    """

    batch_size = 2

    def __init__(self, clips, log, knows=('red',), dies_after=None):
        self.colors = dict(clips)
        self.log = log
        self.pretrained = set(knows)
        self.knows = set(knows)
        self.dies_after = dies_after

    def note(self, *what):
        with self.log.open('a') as file:
            file.write(json.dumps(what) + '\n')

    def load(self, weights):
        self.note('load', weights)
        self.knows = self.pretrained if weights is None else set(json.loads(weights))

    def answer(self, prompts):
        if self.dies_after is not None:
            self.dies_after -= len(prompts)
            if self.dies_after < 0:
                raise KeyboardInterrupt
        for prompt in prompts:
            self.note('answer', prompt.video, prompt.text, prompt.seed)
        return [self.say(prompt) for prompt in prompts]

    def say(self, prompt):
        color = self.colors[prompt.video]
        if color == 'grey':
            return Said('', 'no frame')
        hinted = 'Answer:' in prompt.text and color != 'blue'
        return Said(f'The picture is {color}.' if hinted or color in self.knows else 'It is dark.')

    def finetune(self, samples, folder, seed):
        self.note('finetune', [sample._asdict() for sample in samples], seed)
        learnt = {color for sample in samples for color in COLORS if color in sample.answer}
        return json.dumps(sorted(self.pretrained | learnt))


def calls(log, kind):
    return [row[1:] for row in map(json.loads, log.read_text().splitlines()) if row[0] == kind]


def cycles(tmp_path, clips, held_out=(), out='out', parrot=None, **settings):
    parrot = parrot or Parrot([*clips, *held_out], tmp_path / f'{out}.log')
    asked = questions_about(clips), questions_about(held_out, 'held_out')
    return Cycles(parrot, *asked, Settings(**settings), tmp_path / out)
