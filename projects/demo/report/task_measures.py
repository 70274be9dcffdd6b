"""Which figures stand for a downstream task, and what the task is called in plain words."""

from typing import NamedTuple

DIRECTION = 'direction'
# Without Java the official tokenizer cannot run, and the rows of our own have other names.
CIDER = ('cider_beam', 'cider_simple_beam')


class Headline(NamedTuple):
    """What stands for a task.

    Attributes:
        title: What the task is called.
        metrics: Metric of its evaluation; of several the first that the test has.
        more: Further figures of the table, as far as the test has them; ``'direction'`` is reckoned here.
        meaning: What the model has to do, in one sentence.
    """

    title: str
    metrics: tuple[str, ...]
    more: tuple[str, ...]
    meaning: str


HEADLINES = {
    'image_retrieval': Headline(
        'Image-text retrieval',
        ('t2i_r1',),
        ('i2t_r1', 'mean_recall'),
        'Find the picture of a caption, and the captions of a picture.',
    ),
    'video_retrieval': Headline(
        'Text-to-video retrieval', ('t2v_r1',), ('v2t_r1', 'mean_recall'), 'Find the clip that a caption tells of.'
    ),
    'image_caption': Headline('Image captioning', CIDER, (), 'Say of a picture what five people would say.'),
    'video_caption': Headline('Video captioning', CIDER, (), 'Describe a given segment of a longer video.'),
    'vqa': Headline('Visual question answering', ('accuracy',), (), 'Answer a question about a picture.'),
    'video_qa': Headline(
        'Video question answering',
        ('accuracy',),
        ('accuracy_what_is', DIRECTION),
        'Answer a question about a clip; "what is ... doing?" asks for the motion.',
    ),
    'video_multiple_choice': Headline(
        'Video multiple choice', ('accuracy',), (DIRECTION,), 'Choose the one of five sentences that is true of a clip.'
    ),
    'image_classification': Headline('Image classification', ('top1',), (), 'Name the class of a picture.'),
    'linear_probe': Headline(
        'Linear probe', ('top1',), (), 'Name the class of a picture by a linear classifier on frozen features.'
    ),
    'action_recognition': Headline('Action recognition', ('top1',), (DIRECTION,), 'Name the motion of a clip.'),
}
