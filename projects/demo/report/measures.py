"""Which figures the report shows, what they are called in plain words, and what the demo should reach."""

from typing import NamedTuple


class Measure(NamedTuple):
    """One headline figure.

    Attributes:
        name: Dotted name in ``metrics.json``.
        title: What it is called on the page.
        meaning: What the model has to do, in one sentence.
        target: Percent that a run with all steps should reach.
    """

    name: str
    title: str
    meaning: str
    target: float


IMAGE_MEASURES = (
    Measure('image.retrieval.t2i_r1', 'Find the picture', 'Given a caption, the right picture comes first.', 97),
    Measure('image.retrieval.i2t_r1', 'Find the caption', 'Given a picture, the right caption comes first.', 97),
    Measure('image.caption.slots', 'Describe it', 'Colours, shapes and relation named right in a caption.', 97),
    Measure('image.zero_shot.top1', 'Name the shape', 'The right one of the prompts "a photo of a …".', 97),
)
VIDEO_MEASURES = (
    Measure('video.retrieval.t2v_r1', 'Find the clip', 'Given a caption, the right clip comes first.', 92),
    Measure('video.retrieval.v2t_r1', 'Find the caption', 'Given a clip, the right caption comes first.', 92),
    Measure('video.caption.slots', 'Describe it', 'Colours, shapes and action named right in a caption.', 97),
    Measure('video.zero_shot.top1', 'Name the action', 'The right one of the prompts about actions.', 75),
)
MEASURES = {'image': IMAGE_MEASURES, 'video': VIDEO_MEASURES}
DIRECTIONS = {
    'image': {'t2i': 'caption → picture', 'i2t': 'picture → caption'},
    'video': {'t2v': 'caption → clip', 'v2t': 'clip → caption'},
}
# Words of the page for what the code calls a modality.
THING = {'image': 'picture', 'video': 'clip'}
THINGS = {'image': 'pictures', 'video': 'clips'}
HEADINGS = {'image': 'Images', 'video': 'Videos'}
